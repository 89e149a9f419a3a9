"""Applications that speak in datagrams."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from facility import LIMIT, split


@contextlib.contextmanager
def socket_at(host: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((host, port))
        udp.settimeout(LIMIT)
        yield udp


def ask(client: socket.socket, listener: str, app: socket.socket, question: bytes) -> None:
    """The question comes to the application as it was, and so does its answer to the client."""
    client.sendto(question, split(listener))
    asked, who = app.recvfrom(65_535)
    assert asked == question
    app.sendto(asked[::-1], who)
    assert client.recv(65_535) == question[::-1]
