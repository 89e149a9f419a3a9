"""A network between a client and a control server that fails in chosen ways."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from facility import LIMIT, split

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset


@dataclass(frozen=True)
class Fault:
    """What happens to a connection once so many bytes have gone one way.

    cut: it is reset. swallow: nothing more comes back, what is sent still arrives, and a moment
    later it is reset: the peer has acted, and nobody hears of it. stall: no byte moves any more,
    and nobody is told. delay: every chunk is this many seconds late.
    """

    kind: str
    upstream: bool = True  # counts the client's bytes, not the server's
    after: int = 0
    seconds: float = 0.0


class ChaosProxy:
    """Listens on the target's address, so that its certificate fits. The first `times` connections
    have the fault, later ones none.
    """

    def __init__(self, target: str, fault: Fault, times: int = 1) -> None:
        self._target = split(target)
        self._fault = fault
        self._left = times
        self._lock = threading.Lock()
        self._listener = socket.create_server((self._target[0], 0), backlog=64)
        self.endpoint = f"{self._target[0]}:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        self._closed = threading.Event()
        self.moved = {True: 0, False: 0}  # bytes there and back
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> ChaosProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            self._reset(each)
        for thread in self._threads:
            thread.join(LIMIT)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target, LIMIT)
            except OSError:
                self._reset(client)
                continue
            with self._lock:
                faulty = self._left > 0
                self._left -= faulty
            self._sockets += [client, server]
            link = _Link(self, client, server, self._fault if faulty else None)
            for upstream in (True, False):
                thread = threading.Thread(target=link.pump, args=(upstream,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def pause(self, seconds: float) -> None:
        self._closed.wait(seconds)

    @staticmethod
    def _reset(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


class _Link:
    """One connection through the proxy."""

    def __init__(
        self, proxy: ChaosProxy, client: socket.socket, server: socket.socket, fault: Fault | None
    ) -> None:
        self._proxy = proxy
        self._ends = {True: (client, server), False: (server, client)}
        self._fault = fault
        self._struck = threading.Event()

    def pump(self, upstream: bool) -> None:
        source, sink = self._ends[upstream]
        moved = 0
        with contextlib.suppress(OSError):
            for chunk in self._chunks(source):
                moved += len(chunk)
                self._proxy.moved[upstream] += len(chunk)
                if not self._passes(upstream, moved):
                    return
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)

    @staticmethod
    def _chunks(source: socket.socket) -> Iterator[bytes]:
        while chunk := source.recv(256):
            yield chunk

    def _passes(self, upstream: bool, moved: int) -> bool:
        fault = self._fault
        if fault is None:
            return True
        if fault.kind == "delay":
            self._proxy.pause(fault.seconds)
            return True
        if upstream == fault.upstream and moved > fault.after:
            self._struck.set()
        if not self._struck.is_set():
            return True
        if fault.kind == "stall":
            self._proxy.pause(LIMIT * 4)
            return False
        if fault.kind == "swallow" and upstream:
            return True
        if fault.kind == "swallow":
            self._proxy.pause(0.2)
        for end in self._ends[True]:
            ChaosProxy._reset(end)
        return False
