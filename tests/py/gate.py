"""An application whose data comes in two halves."""

from __future__ import annotations

import socket
import threading


class Gate:
    """An application that sends the first half of its data, and the rest once it may."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.opened = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        half = len(self.data) // 2
        connection.sendall(self.data[:half])
        assert self.opened.wait(40)
        connection.sendall(self.data[half:])
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
