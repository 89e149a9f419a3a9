"""Connections of `scistream.arrays` for tests, and frames written by hand."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

from facility import LIMIT
from scistream import arrays

END = bytes.fromhex("93534341 01 00 0000 0000000000000000")


def frame(kind: int, header: Any = b"", payload: bytes = b"", size: int | None = None) -> bytes:
    """A frame as the documentation has it; `header` is bytes, or what JSON makes of it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(payload) if size is None else size
    return b"\x93SCA" + struct.pack("<BBHQ", 1, kind, len(text), size) + text + payload


@contextlib.contextmanager
def joined(**options: Any) -> Iterator[tuple[arrays.Connection, arrays.Connection]]:
    """Both ends of a connection over TCP."""
    with (
        arrays.listen("127.0.0.1:0", timeout=LIMIT, **options) as listener,
        arrays.connect(listener.endpoint, timeout=LIMIT, **options) as one,
        listener.accept() as other,
    ):
        yield one, other


@contextlib.contextmanager
def narrow() -> Iterator[tuple[arrays.Connection, arrays.Connection]]:
    """Both ends of one that keeps as little as the system can: nothing goes in one piece."""
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    with (
        arrays.Connection(ends[0], timeout=LIMIT) as one,
        arrays.Connection(ends[1], timeout=LIMIT) as other,
    ):
        yield one, other


@contextlib.contextmanager
def receiver(**options: Any) -> Iterator[tuple[socket.socket, arrays.Connection]]:
    """A socket that may say anything, and the connection that hears it."""
    speaker, hearer = socket.socketpair()
    with speaker, contextlib.closing(arrays.Connection(hearer, timeout=LIMIT, **options)) as end:
        yield speaker, end


@contextlib.contextmanager
def sending(connection: arrays.Connection, *messages: Any) -> Iterator[None]:
    """Another thread sends these while the block runs."""
    failures: list[BaseException] = []

    def send() -> None:
        try:
            for message in messages:
                connection.send(message)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    yield
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert failures == []


def same(one: Any, other: Any) -> bool:
    """Whether two arrays are, to the last bit but for padding."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.names is None:
        return bool(one.tobytes() == other.tobytes())
    return all(same(one[name], other[name]) for name in one.dtype.names)
