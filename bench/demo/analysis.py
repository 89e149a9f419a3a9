"""What the consumer learns from a stream of seismograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import dataset

SHORT_SECONDS = 1.0  # the window of the short-term average,
SHORT_SAMPLES = 20  # and the least that it averages, for slow channels
LONG_WINDOWS = 10  # short windows in the long-term average
TRIGGER = 4.0  # short-term over long-term energy that counts as the onset of an event


@dataclass
class Channel:
    """Sums over every record of one channel."""

    samples: int = 0
    energy: float = 0.0
    peak: float = 0.0
    triggers: int = 0

    def summary(self) -> dict[str, float]:
        """Root mean square and peak, each about the mean of its record, and triggers."""
        return {
            "samples": self.samples,
            "rms": float(np.sqrt(self.energy / self.samples)),
            "peak": self.peak,
            "triggers": self.triggers,
        }


def triggers(energy: np.ndarray[Any, np.dtype[np.float32]], rate: float) -> int:
    """Onsets by the ratio of short-term to long-term average energy (STA/LTA)."""
    width = max(SHORT_SAMPLES, round(rate * SHORT_SECONDS))
    windows = energy[: energy.size // width * width].reshape(-1, width).mean(axis=1)
    if windows.size <= LONG_WINDOWS:
        return 0
    total = np.concatenate(([0.0], np.cumsum(windows, dtype=np.float64)))
    before = (total[LONG_WINDOWS:-1] - total[: -LONG_WINDOWS - 1]) / LONG_WINDOWS
    above = windows[LONG_WINDOWS:] > TRIGGER * np.maximum(before, 1e-30)
    return int(above[0]) + int(np.count_nonzero(above[1:] & ~above[:-1]))


class Analysis:
    """Takes the bytes of a stream as they come, in pieces of any size. One thread at a time."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self.records = 0

    def consume(self, data: memoryview, offset: int) -> int:
        """Reads every whole record from the offset on; the offset of the first that is not."""
        while found := dataset.decode(data, offset):
            record, offset = found
            self.add(record)
        return offset

    def add(self, record: dataset.Record) -> None:
        """Adds one record to its channel."""
        channel = self.channels.setdefault(record.channel, Channel())
        values = record.samples.astype(np.float32)
        values -= values.mean(dtype=np.float64)
        channel.peak = max(channel.peak, float(values.max()), -float(values.min()))
        np.multiply(values, values, out=values)
        channel.samples += values.size
        channel.energy += float(values.sum(dtype=np.float64))
        channel.triggers += triggers(values, record.rate)
        self.records += 1

    def summary(self) -> dict[str, Any]:
        """`records`, and one entry a channel."""
        return {
            "records": self.records,
            "channels": {name: self.channels[name].summary() for name in sorted(self.channels)},
        }
