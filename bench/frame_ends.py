"""The two ends of `frames` in Python: `out HOST:PORT BYTES SECONDS` and `in HOST:PORT BYTES`."""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from scistream import arrays


def shape(size: int) -> tuple[int, int]:
    """Of a detector's image with two bytes for each pixel."""
    return size // 2 // 512, 512


def out(endpoint: str, size: int, seconds: float) -> None:
    """Listens there, and sends one image again and again to the first who connects."""
    image = np.ones(shape(size), dtype="<u2")
    with arrays.listen(endpoint) as listener:
        print("frames ready", flush=True)
        with listener.accept() as connection:
            start = time.perf_counter()
            while time.perf_counter() - start < seconds:
                connection.send(image)


def into(endpoint: str, size: int) -> None:
    """Receives images into one, and says what came from the first one on."""
    image = np.empty(shape(size), dtype="<u2")
    with arrays.connect(endpoint) as connection:
        connection.recv(out=image)
        start = time.perf_counter()
        received = 0
        try:
            while True:
                connection.recv(out=image)
                received += image.nbytes
        except arrays.EndOfStream:
            print(json.dumps({"bytes": received, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    side, place, bytes_each, *rest = sys.argv[1:]
    if side == "out":
        out(place, int(bytes_each), float(rest[0]))
    else:
        into(place, int(bytes_each))
