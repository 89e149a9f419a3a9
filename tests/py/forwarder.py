"""A data server written in Python: plain, a thread for each direction of a connection."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import threading
from collections.abc import Callable, Sequence

import scistream

_numbers = itertools.count(1)


class Line:
    """One live connection."""

    def __init__(self, port: int, client: socket.socket, target: scistream.Endpoint) -> None:
        self.id = next(_numbers)
        self.port = port
        self.peer = "{}:{}".format(*client.getpeername())
        self.target = target
        self.client = client
        self.server: socket.socket | None = None
        self.to_consumer = 0
        self.to_producer = 0


class Forwarder(scistream.Channel):
    """Accepts, dials, copies."""

    def __init__(self, listeners: list[socket.socket]) -> None:
        self._listeners = listeners
        self._ports = [listener.getsockname()[1] for listener in listeners]
        self._targets: tuple[scistream.Endpoint, ...] = ()
        self._wake, self._woken = socket.socketpair()
        self._mutex = threading.Lock()
        self._changed = threading.Condition(self._mutex)
        self._lines: dict[int, Line] = {}
        self._done = scistream.Traffic()
        self._accepting: threading.Thread | None = None
        self._permits: Callable[[str, int], bool] = lambda host, port: False
        self._ended = False

    @property
    def ports(self) -> Sequence[int]:
        return self._ports

    def forward(self, request: scistream.ForwardRequest) -> None:
        with self._mutex:
            self._targets, self._permits = request.targets, request.permits
            if self._accepting:
                return
            self._accepting = threading.Thread(target=self._accept, daemon=True)
        for listener in self._listeners:
            listener.listen(64)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            ready, _, _ = select.select([*self._listeners, self._woken], [], [])
            if self._woken in ready:
                return
            for index, listener in enumerate(self._listeners):
                if listener in ready:
                    self._take(index, listener)

    def _take(self, index: int, listener: socket.socket) -> None:
        client, _ = listener.accept()
        with self._mutex:
            target = self._targets[index % len(self._targets)]
            line = Line(self._ports[index], client, target)
            self._lines[line.id] = line
        threading.Thread(target=self._carry, args=(line,), daemon=True).start()

    def _carry(self, line: Line) -> None:
        clean = False
        try:
            host, _, port = str(line.target).rpartition(":")
            address = socket.gethostbyname(host)
            if not self._permits(address, int(port)):
                raise OSError("not allowed")
            line.server = socket.create_connection((address, int(port)), timeout=10)
            line.server.settimeout(None)
            back = threading.Thread(target=self._copy, args=(line, False), daemon=True)
            back.start()
            clean = self._copy(line, True)
            back.join()
        except OSError:
            pass
        finally:
            for end in (line.client, line.server):
                if end is not None:
                    end.close()
            with self._changed:
                del self._lines[line.id]
                done = self._done
                self._done = scistream.Traffic(
                    bytes_to_consumer=done.bytes_to_consumer + line.to_consumer,
                    bytes_to_producer=done.bytes_to_producer + line.to_producer,
                    connections_total=done.connections_total + 1,
                    errors=done.errors + (not clean),
                )
                self._changed.notify_all()

    def _copy(self, line: Line, to_consumer: bool) -> bool:
        assert line.server is not None
        source, sink = (line.server, line.client) if to_consumer else (line.client, line.server)
        try:
            while block := source.recv(1 << 16):
                sink.sendall(block)
                if to_consumer:
                    line.to_consumer += len(block)
                else:
                    line.to_producer += len(block)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            return False
        return True

    def _close(self) -> None:
        with self._mutex:
            if self._ended:
                return
            self._ended = True
        self._wake.send(b"x")
        if self._accepting:
            self._accepting.join()
        for end in (*self._listeners, self._wake, self._woken):
            end.close()

    def cut(self) -> None:
        self._close()
        with self._changed:
            for line in self._lines.values():
                for end in (line.client, line.server):
                    if end is not None:
                        with contextlib.suppress(OSError):
                            end.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._lines, timeout=5)

    def drain(self) -> None:
        self._close()
        with self._changed:
            self._changed.wait_for(lambda: not self._lines)

    def traffic(self) -> scistream.Traffic:
        with self._mutex:
            lines, done = list(self._lines.values()), self._done
        return scistream.Traffic(
            bytes_to_consumer=done.bytes_to_consumer + sum(line.to_consumer for line in lines),
            bytes_to_producer=done.bytes_to_producer + sum(line.to_producer for line in lines),
            connections_active=len(lines),
            connections_total=done.connections_total + len(lines),
            errors=done.errors,
        )

    def connections(self) -> Sequence[scistream.Connection]:
        with self._mutex:
            return [
                scistream.Connection(
                    line.id, line.port, line.peer, line.target, line.to_consumer, line.to_producer
                )
                for line in self._lines.values()
            ]


class PlainServer(scistream.DataServer):
    """Forwards in Python, as it comes."""

    kind = "PythonThreads"

    def __init__(self) -> None:
        self.asked: list[scistream.ListenRequest] = []

    def listen(self, request: scistream.ListenRequest) -> scistream.Channel:
        self.asked.append(request)
        listeners: list[socket.socket] = []
        for port in request.exact_ports or request.ports:
            if len(listeners) == request.num_conn:
                break
            listener = socket.socket()
            try:
                listener.bind((request.bind_host, port))
            except OSError:
                listener.close()
                continue
            # Not before: two sessions could bind it. The next one need not wait for what lingers.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if request.role == "CONS":
                listener.listen(64)
            listeners.append(listener)
        if len(listeners) < request.num_conn:
            for listener in listeners:
                listener.close()
            raise scistream.Exhausted(f"{request.num_conn} ports wanted, {len(listeners)} are free")
        return Forwarder(listeners)
