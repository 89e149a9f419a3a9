"""What a session did, recorded and drawn."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

import scistream
from binding import python
from facility import LIMIT, eventually
from scistream import plot
from scistream.plot import Sample

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

SIZE = 1_000_000


@pytest.fixture(scope="module")
def recorder() -> Iterator[plot.Recorder]:
    """Of a session through which `SIZE` bytes have gone to the consumer."""
    with socket.create_server(("127.0.0.1", 0)) as producer, scistream.LocalFacilities() as both:
        application = f"127.0.0.1:{producer.getsockname()[1]}"
        with (
            both.request(prod_app=[application]) as session,
            plot.Recorder(session, period=0.1) as recorder,
        ):
            with socket.create_connection(session.listeners[0].address, LIMIT) as consumer:
                connection, _ = producer.accept()
                with connection:
                    connection.sendall(bytes(SIZE))
                    left = SIZE
                    while left:
                        left -= len(consumer.recv(min(left, 65536)))
                    eventually(
                        lambda: recorder.samples[-1].bytes_to_consumer == SIZE, "all is counted"
                    )
            eventually(lambda: recorder.samples[-1].connections_active == 0, "it has ended")
        yield recorder


def test_a_recorder_keeps_what_the_counters_were(recorder: plot.Recorder) -> None:
    first, *_, last = recorder.samples
    assert (first.bytes_to_consumer, first.connections_active) == (0, 0)
    assert (last.bytes_to_consumer, last.bytes_to_producer) == (SIZE, 0)
    times = [sample.at for sample in recorder.samples]
    assert times == sorted(times)
    assert recorder.failure is None
    assert repr(recorder) == f"<scistream.plot.Recorder {len(times)} samples>"


def test_rates_are_those_between_the_samples() -> None:
    samples = [Sample(0.0, 0, 0, 0), Sample(2.0, 10**9, 0, 1), Sample(2.5, 10**9, 125_000_000, 1)]
    assert plot.rates(samples) == ([0.0, 2.0, 2.5], [4.0, 0.0, 0.0], [0.0, 2.0, 0.0])
    assert plot.rates(samples[:1]) == ([0.0], [0.0], [0.0])


def test_a_picture_shows_all_that_was_sent(recorder: plot.Recorder) -> None:
    axes: Any = plot.throughput(recorder)
    times, rates = axes.get_lines()[0].get_data()
    sent = sum(rate * (after - at) for rate, at, after in zip(rates, times, times[1:]))
    assert sent * 1e9 / 8 == pytest.approx(SIZE)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("seconds", "Gbit/s")
    assert axes.get_legend().get_texts()[0].get_text() == "to the consumer"


def test_it_is_drawn_where_it_is_wanted(recorder: plot.Recorder) -> None:
    from matplotlib import pyplot

    axes: Any = pyplot.subplots()[1]
    assert plot.connections(recorder, axes) is axes
    lines: Any = axes.get_lines()
    assert max(lines[0].get_ydata()) == 1
    pyplot.close("all")


def test_without_matplotlib_it_is_said() -> None:
    assert "pip install 'scistream[plot]'" in python(
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from scistream import plot\n"
        "try:\n"
        "    plot._axes(None)\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
