"""A producer application: serves seismograms over plain TCP to whoever connects.

Prints `producer ready on HOST:PORT` once it listens and has its hash, and after each transfer one
JSON line with `bytes` and `sha256`. It knows nothing of SciStream.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import sys
import threading

import dataset
import wire

CHUNK = 4 << 20


def digest(stream: dataset.Stream) -> str:
    """SHA-256 of the whole stream."""
    state = hashlib.sha256()
    for view in stream:
        state.update(view)
    return state.hexdigest()


def send(connection: socket.socket, stream: dataset.Stream, *, progress: bool) -> None:
    """One transfer, out of memory."""
    connection.sendall(wire.PREAMBLE.pack(wire.MAGIC, len(stream)))
    report = wire.Progress(len(stream), wanted=progress)
    done = 0
    for view in stream:
        for first in range(0, len(view), CHUNK):
            piece = view[first : first + CHUNK]
            connection.sendall(piece)
            done += len(piece)
            report.update(done)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)  # the consumer closes once it has everything


class Producer:
    """Serves each connection from a thread of its own; lives until the process ends."""

    def __init__(self, stream: dataset.Stream, *, progress: bool = False) -> None:
        self._stream = stream
        self._progress = progress
        # Hashed once, ahead of the transfers: none waits for it or shares the CPU with it.
        self._sha256 = digest(stream)

    def serve(self, connection: socket.socket) -> bool:
        """One transfer and its JSON line; False, and why on stderr, if it was cut."""
        with connection:
            try:
                send(connection, self._stream, progress=self._progress)
            except OSError as error:
                print(f"producer: transfer cut: {error}", file=sys.stderr, flush=True)
                return False
        line = {"bytes": len(self._stream), "sha256": self._sha256}
        print(json.dumps(line), flush=True)
        return True

    def accept(self, listener: socket.socket, transfers: int) -> bool:
        """Serves that many transfers, without end if 0; True if none was cut."""
        if transfers:
            # A list: a transfer that is cut does not end the ones after it.
            verdicts = [self.serve(listener.accept()[0]) for _ in range(transfers)]
            return all(verdicts)
        while True:
            threading.Thread(target=self.serve, args=listener.accept()[:1], daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="producer", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    parser.add_argument("--bytes", type=int, default=dataset.DEFAULT_BYTES, help="at least so many")
    parser.add_argument("--transfers", type=int, default=0, help="end after so many; 0: never")
    parser.add_argument("--progress", action="store_true", help="JSON lines on stderr")
    options = parser.parse_args(arguments)
    try:
        address = wire.split_endpoint(options.listen)
    except ValueError as error:
        parser.error(str(error))

    producer = Producer(dataset.stream(options.bytes), progress=options.progress)
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.create_server(address, family=family) as listener:
        host, port = listener.getsockname()[:2]
        print(f"producer ready on {wire.join_endpoint(host, port)}", flush=True)
        return 0 if producer.accept(listener, options.transfers) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
