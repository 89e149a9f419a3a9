"""A consumer application: connects, receives seismograms over plain TCP and analyses them.

Prints one JSON line: `bytes`, `sha256`, `seconds` and `gbit_per_s` (first to last payload byte),
`compute_seconds` (what hash and analysis took beyond that) and `result`. It knows nothing of
SciStream.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import mmap
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import wire
from analysis import Analysis

CHUNK = 4 << 20


class Arrivals:
    """How much of the payload is there. One thread advances it, others wait for more."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._done = 0
        self._ended = False

    def advance(self, done: int) -> None:
        """Bytes from the start that are valid now."""
        with self._changed:
            self._done = done
            self._changed.notify_all()

    def end(self) -> None:
        """Nothing more will come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def beyond(self, seen: int) -> int:
        """Waits for more than `seen` bytes, or the end; how many there are."""
        with self._changed:
            self._changed.wait_for(lambda: self._done > seen or self._ended)
            return self._done


def hash_arrivals(payload: memoryview, arrivals: Arrivals) -> str:
    """SHA-256 of the payload, trailing behind its arrival."""
    state = hashlib.sha256()
    seen = 0
    while (done := arrivals.beyond(seen)) > seen:
        state.update(payload[seen:done])
        seen = done
    return state.hexdigest()


def analyse_arrivals(payload: memoryview, arrivals: Arrivals) -> dict[str, Any]:
    """The analysis, trailing behind the arrival of whole records."""
    analysis = Analysis()
    seen = used = 0
    while (done := arrivals.beyond(seen)) > seen:
        seen = done
        used = analysis.consume(payload[:done], used)
    if used != len(payload):
        raise ValueError(f"the payload ends within a record, at byte {used}")
    return analysis.summary()


def receive_exactly(connection: socket.socket, size: int) -> bytes:
    """That many bytes, or EOFError."""
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise EOFError(f"the stream ended after {len(data)} of {size} bytes")
        data += piece
    return data


def receive_into(
    connection: socket.socket, payload: memoryview, notify: Callable[[int], None]
) -> float:
    """Fills the payload; seconds from its first byte to its last, and not one byte beyond."""
    done = got = connection.recv_into(payload[:CHUNK])
    start = time.perf_counter()
    while got and done < len(payload):
        notify(done)
        # Whole chunks: fewer turns in which this thread waits for the interpreter's lock.
        got = connection.recv_into(payload[done : done + CHUNK], 0, socket.MSG_WAITALL)
        done += got
    seconds = time.perf_counter() - start
    notify(done)
    if done < len(payload):
        raise EOFError(f"the stream ended after {done} of {len(payload)} bytes")
    if connection.recv(1):
        raise ValueError("the stream goes on after its announced end")
    return seconds


def reserve(size: int) -> memoryview:
    """Memory for the payload, in place before the clock starts, of large pages if there are any."""
    area = mmap.mmap(-1, max(size, 1))
    with contextlib.suppress(OSError):
        area.madvise(mmap.MADV_HUGEPAGE)
    np.frombuffer(area, np.uint8)[:: mmap.PAGESIZE] = 0
    return memoryview(area)[:size]


def consume(connection: socket.socket, *, compute_after: bool, progress: bool) -> dict[str, Any]:
    """One transfer, its hash and its analysis."""
    magic, total = wire.PREAMBLE.unpack(receive_exactly(connection, wire.PREAMBLE.size))
    if magic != wire.MAGIC:
        raise ValueError("the other end is no producer of this demonstration")
    payload = reserve(total)
    arrivals = Arrivals()
    report = wire.Progress(total, wanted=progress)

    def notify(done: int) -> None:
        if not compute_after:
            arrivals.advance(done)
        report.update(done)

    with ThreadPoolExecutor(2) as pool:
        sha256 = pool.submit(hash_arrivals, payload, arrivals)
        result = pool.submit(analyse_arrivals, payload, arrivals)
        try:
            seconds = receive_into(connection, payload, notify)
            arrived = time.perf_counter()
            arrivals.advance(total)
        finally:
            arrivals.end()
    return {
        "bytes": total,
        "sha256": sha256.result(),
        "seconds": round(seconds, 6),
        "gbit_per_s": round(total * 8e-9 / seconds, 3) if seconds > 0 else None,
        "compute_seconds": round(time.perf_counter() - arrived, 6),
        "result": result.result(),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="consumer", description=__doc__)
    parser.add_argument("endpoint", metavar="HOST:PORT")
    parser.add_argument(
        "--compute-after",
        action="store_true",
        help="hash and analyse once all has arrived, not while it does: leaves the CPU to the "
        "transfer, to measure that alone",
    )
    parser.add_argument("--progress", action="store_true", help="JSON lines on stderr")
    options = parser.parse_args(arguments)
    try:
        address = wire.split_endpoint(options.endpoint)
    except ValueError as error:
        parser.error(str(error))
    try:
        with socket.create_connection(address) as connection:
            line = consume(
                connection, compute_after=options.compute_after, progress=options.progress
            )
    except (OSError, EOFError, ValueError) as error:
        print(f"consumer: {error}", file=sys.stderr)
        return 1
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
