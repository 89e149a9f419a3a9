"""Real seismograms as one block of bytes, and the format of that block.

The block is a sequence of records. A record is a header of 64 bytes, little-endian and packed,
and its samples:

    offset  type      meaning
    0       char[4]   magic, "SEIS"
    4       uint16    version of this format, 1
    6       uint16    type of the samples: 1 int32 (counts), 2 float32 (processed)
    8       uint32    number of samples, 1 to 16384, 4 bytes each
    12      uint32    number of the record in the block, from 0
    16      float64   sampling rate, Hz
    24      int64     time of the first sample, nanoseconds since 1970-01-01 UTC
    32      char[32]  channel, NETWORK.STATION.LOCATION.CHANNEL, padded with NUL
    64                the samples, little-endian

A stream is the block as often as it takes to reach the wanted size, always whole.
"""

from __future__ import annotations

import functools
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

MAGIC = b"SEIS"
VERSION = 1
HEADER = struct.Struct("<4sHHIIdq32s")
MAX_SAMPLES = 16384
SAMPLE_TYPES = {1: np.dtype("<i4"), 2: np.dtype("<f4")}
DEFAULT_BYTES = 2 << 30

# Recordings that obspy's wheel carries, under the package's folder, besides the small local event
# that it shows as its example. The observatories of the channel ids made them, 2007 to 2025.
RECORDINGS = (
    "signal/tests/data/CRLZ.HHZ.10.NZ.SAC",  # a teleseism, New Zealand
    "signal/tests/data/BW.UH1._.SHZ.D.2010.147.cut.slist.gz",  # four stations see one event
    "signal/tests/data/BW.UH2._.SHZ.D.2010.147.cut.slist.gz",
    "signal/tests/data/BW.UH3._.SHZ.D.2010.147.cut.slist.gz",
    "signal/tests/data/BW.UH4._.EHZ.D.2010.147.cut.slist.gz",
    "signal/tests/data/ref_STS2",  # an hour of ground noise, two instruments side by side
    "signal/tests/data/ref_unknown",
    "signal/tests/data/IUANMO.seed",  # a day of long-period data, New Mexico
    "signal/tests/data/timingquality.mseed",
    "io/mseed/tests/data/CH.BALST..LH_two_channels",  # a day, two components, Switzerland
)


@dataclass(frozen=True)
class Record:
    """One record of the block; `samples` refers to the bytes it was read from."""

    number: int
    channel: str
    rate: float  # Hz
    start: int  # nanoseconds since 1970-01-01 UTC
    samples: npt.NDArray[np.generic]


def encode(record: Record) -> bytes:
    """The bytes of a record; its samples must be of one of SAMPLE_TYPES."""
    codes = [code for code, kind in SAMPLE_TYPES.items() if record.samples.dtype == kind]
    if not codes:
        raise ValueError(f"samples of type {record.samples.dtype} have no place in the format")
    if not 0 < record.samples.size <= MAX_SAMPLES:
        raise ValueError(f"a record holds 1 to {MAX_SAMPLES} samples, not {record.samples.size}")
    channel = record.channel.encode("ascii")
    if len(channel) > 32:
        raise ValueError(f"channel {record.channel!r} is longer than 32 characters")
    size = record.samples.size
    header = HEADER.pack(
        MAGIC, VERSION, codes[0], size, record.number, record.rate, record.start, channel
    )
    return header + record.samples.tobytes()


def decode(data: memoryview | bytes, offset: int = 0) -> tuple[Record, int] | None:
    """The record at an offset and the offset after it; None if it is not there to its end yet."""
    if len(data) - offset < HEADER.size:
        return None
    magic, version, code, size, number, rate, start, channel = HEADER.unpack_from(data, offset)
    if magic != MAGIC or version != VERSION or code not in SAMPLE_TYPES:
        raise ValueError(f"no record at byte {offset}")
    if not 0 < size <= MAX_SAMPLES:
        raise ValueError(f"the record at byte {offset} claims {size} samples")
    kind = SAMPLE_TYPES[code]
    begin = offset + HEADER.size
    end = begin + size * kind.itemsize
    if end > len(data):
        return None
    samples = np.frombuffer(data, kind, size, begin)
    return Record(number, channel.rstrip(b"\0").decode("ascii"), rate, start, samples), end


def recordings() -> Iterator[tuple[str, float, int, npt.NDArray[np.generic]]]:
    """Channel, rate (Hz), start (ns) and samples of every continuous piece of the recordings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of the files are test cases of odd headers
        import obspy

        folder = Path(obspy.__file__).parent
        for name in (None, *RECORDINGS):
            for trace in obspy.read(folder / name) if name else obspy.read():
                kind = SAMPLE_TYPES[1 if trace.data.dtype.kind == "i" else 2]
                start = int(trace.stats.starttime.ns)
                yield trace.id, float(trace.stats.sampling_rate), start, trace.data.astype(kind)


@functools.cache
def block() -> bytes:
    """All recordings as one block, some 7 MB; the same bytes every time."""
    parts: list[bytes] = []
    for channel, rate, start, samples in recordings():
        for first in range(0, samples.size, MAX_SAMPLES):
            piece = samples[first : first + MAX_SAMPLES]
            time = start + round(first * 1e9 / rate)
            parts.append(encode(Record(len(parts), channel, rate, time, piece)))
    return b"".join(parts)


@dataclass(frozen=True)
class Stream:
    """A block repeated; iterating yields views of the one block, nothing is copied."""

    block: memoryview
    repeats: int

    def __len__(self) -> int:
        return len(self.block) * self.repeats

    def __iter__(self) -> Iterator[memoryview]:
        for _ in range(self.repeats):
            yield self.block


def stream(least: int = DEFAULT_BYTES) -> Stream:
    """The recordings, repeated whole until they are at least that many bytes."""
    data = memoryview(block())
    return Stream(data, max(1, -(-least // len(data))))
