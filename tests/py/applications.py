"""Plain TCP applications that know nothing of SciStream."""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import threading
from collections.abc import Callable, Iterator

from facility import LIMIT, split

Handler = Callable[[socket.socket], None]


def payload(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Application:
    """A listening application; every connection is handled on a thread of its own."""

    def __init__(self, handler: Handler, port: int = 0) -> None:
        self.errors: list[BaseException] = []
        self._handler = handler
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(LIMIT)
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._handler(connection)
        except OSError as error:
            self.errors.append(error)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT)
            assert not thread.is_alive(), "the application does not end"


@contextlib.contextmanager
def application(handler: Handler, port: int = 0) -> Iterator[Application]:
    app = Application(handler, port)
    try:
        yield app
    finally:
        app.close()


def sends(data: bytes) -> Handler:
    """Sends `data`, ends its side, and waits for the other side's end."""

    def handler(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    return handler


def echoes(connection: socket.socket) -> None:
    """Gives back what comes, and ends when the other side has."""
    while chunk := connection.recv(65536):
        connection.sendall(chunk)


def connect(endpoint: str) -> socket.socket:
    connection = socket.create_connection(split(endpoint), timeout=LIMIT)
    connection.settimeout(LIMIT)
    return connection


def receive_all(connection: socket.socket) -> bytes:
    chunks = []
    while chunk := connection.recv(1 << 18):
        chunks.append(chunk)
    return b"".join(chunks)


def receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        assert chunk, f"ended after {len(data)} of {size} bytes"
        data += chunk
    return data


def fetch(endpoint: str) -> bytes:
    """Everything an application sends before it ends its side."""
    with connect(endpoint) as connection:
        connection.shutdown(socket.SHUT_WR)
        return receive_all(connection)


def echo(endpoint: str, data: bytes = b"ping") -> bytes:
    """What comes back for `data`; the connection is ended in order."""
    with connect(endpoint) as connection:
        sender = threading.Thread(target=_send_and_end, args=(connection, data), daemon=True)
        sender.start()
        got = receive_all(connection)
        sender.join(LIMIT)
        return got


def _send_and_end(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
