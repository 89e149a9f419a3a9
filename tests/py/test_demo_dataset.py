"""The demonstration's data: real, documented, the same every time."""

from __future__ import annotations

import numpy as np
import obspy
import pytest

import dataset
from analysis import Analysis


def records() -> list[dataset.Record]:
    data = memoryview(dataset.block())
    found, offset = [], 0
    while (item := dataset.decode(data, offset)) is not None:
        record, offset = item
        found.append(record)
    assert offset == len(data)
    return found


def test_block_holds_the_recordings_sample_by_sample() -> None:
    (trace,) = obspy.read().select(channel="EHZ")
    pieces = [record for record in records() if record.channel == trace.id]
    assert pieces[0].rate == trace.stats.sampling_rate
    assert pieces[0].start == trace.stats.starttime.ns
    samples = np.concatenate([piece.samples for piece in pieces])
    np.testing.assert_array_equal(samples, trace.data.astype("<f4"))


def test_records_are_numbered_and_follow_each_other_in_time() -> None:
    found = records()
    assert [record.number for record in found] == list(range(len(found)))
    for before, after in zip(found, found[1:]):
        if after.channel == before.channel and before.samples.size == dataset.MAX_SAMPLES:
            expected = before.start + before.samples.size * 1e9 / before.rate
            assert abs(after.start - expected) <= 1


def test_block_is_megabytes_of_several_stations() -> None:
    assert len(dataset.block()) > 5_000_000
    assert len({record.channel.split(".")[1] for record in records()}) >= 8


@pytest.mark.parametrize("least", [0, 1, 10_000_000, 100_000_000])
def test_stream_is_whole_blocks_and_large_enough(least: int) -> None:
    stream = dataset.stream(least)
    views = list(stream)
    assert len(stream) == sum(len(view) for view in views) >= least
    assert len(stream) - least <= len(dataset.block())
    assert all(view.obj is views[0].obj for view in views)  # no copies


def test_default_stream_is_at_least_two_gibibytes() -> None:
    assert len(dataset.stream()) >= 2 << 30


def test_half_a_record_waits_for_the_rest() -> None:
    record = dataset.Record(7, "XX.TEST..BHZ", 20.0, 5, np.arange(10, dtype="<i4"))
    data = dataset.encode(record)
    for cut in (0, 10, dataset.HEADER.size, len(data) - 1):
        assert dataset.decode(data[:cut]) is None
    found = dataset.decode(data)
    assert found
    assert found[1] == len(data)


@pytest.mark.parametrize("at", [0, 4, 6, 11])
def test_damage_is_noticed(at: int) -> None:
    record = dataset.Record(0, "XX.TEST..BHZ", 20.0, 0, np.arange(10, dtype="<i4"))
    data = bytearray(dataset.encode(record))
    data[at] ^= 0xFF
    with pytest.raises(ValueError, match="byte 0"):
        dataset.decode(bytes(data))


def test_analysis_finds_the_one_onset_in_noise() -> None:
    random = np.random.default_rng(1)
    samples = random.normal(1000, 10, 6000)
    samples[4000:4400] += random.normal(0, 200, 400)
    analysis = Analysis()
    analysis.add(dataset.Record(0, "XX.TEST..BHZ", 100.0, 0, samples.astype("<i4")))
    (channel,) = analysis.channels.values()
    assert channel.triggers == 1
    assert channel.peak > 300  # about the mean, which is 1000
    assert channel.samples == 6000
