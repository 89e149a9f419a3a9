"""The applications' own protocol: one transfer a connection, from the listening side.

The listening side sends 16 bytes, the magic "SCIDEMO1" and the payload's length (uint64,
little-endian), then the payload, then closes. The connecting side sends nothing.
"""

from __future__ import annotations

import json
import struct
import sys
import time

PREAMBLE = struct.Struct("<8sQ")
MAGIC = b"SCIDEMO1"


def split_endpoint(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def join_endpoint(host: str, port: int) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Progress:
    """Writes `{"bytes": so far, "total": of all, "seconds": since the start}` lines to stderr."""

    def __init__(self, total: int, *, wanted: bool, period: float = 0.1) -> None:
        self._total = total
        self._wanted = wanted
        self._period = period
        self._start = time.monotonic()
        self._next = self._start

    def update(self, done: int) -> None:
        """Reports, unless the last report is younger than the period; the end always."""
        now = time.monotonic()
        if self._wanted and (now >= self._next or done == self._total):
            self._next = now + self._period
            line = {
                "bytes": done,
                "total": self._total,
                "seconds": round(now - self._start, 3),
            }
            print(json.dumps(line), file=sys.stderr, flush=True)
