"""HTTP/2 by hand, for what no gRPC library sends."""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import Sequence

from facility import LIMIT, Facility, split

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
INITIAL_WINDOW = 4  # of the settings
END_STREAM, END_HEADERS, ACK = 1, 4, 1
_NAMES = {
    0: "OK",
    2: "UNKNOWN",
    8: "RESOURCE_EXHAUSTED",
    12: "UNIMPLEMENTED",
    13: "INTERNAL",
    16: "UNAUTHENTICATED",
}


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _number(value: int, bits: int) -> bytes:
    """HPACK's integers (RFC 7541, section 5.1), whose first byte has nothing else in it."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    rest = [most]
    value -= most
    while value >= 128:
        rest.append(value % 128 + 128)
        value //= 128
    return bytes([*rest, value])


def _text(text: bytes) -> bytes:
    return _number(len(text), 7) + text


def connect(facility: Facility, place: str = "") -> ssl.SSLSocket:
    """A connection, from an address of ours, on which the next thing to be sent is a frame of
    HTTP/2.
    """
    trust = ssl.create_default_context(cafile=str(facility.certificate))
    trust.set_alpn_protocols(["h2"])
    raw = socket.create_connection(split(facility.endpoint), LIMIT, (place, 0) if place else None)
    try:
        connection = trust.wrap_socket(raw, server_hostname=facility.host)
    except OSError:
        raw.close()
        raise
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
    return connection


def headers(rpc: str, more: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """The frame that begins the first call of a connection."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", f"/scistream.Control/{rpc}".encode()),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *more,
    ]
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)
    return frame(HEADERS, END_HEADERS, 1, block)


def call(
    facility: Facility, rpc: str, message: bytes, more: Sequence[tuple[bytes, bytes]] = ()
) -> str:
    """The status name of a unary call with these headers as they are, or how the server would not
    have it: `reset` or `closed`.
    """
    body = b"\0" + struct.pack(">I", len(message)) + message
    with connect(facility) as connection:
        connection.sendall(headers(rpc, more) + frame(DATA, END_STREAM, 1, body))
        return _status(connection)


def _status(connection: ssl.SSLSocket) -> str:
    stream = connection.makefile("rb")
    while len(head := stream.read(9)) == 9:
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        payload = stream.read(size)
        if kind == SETTINGS and not flags & ACK:
            connection.sendall(frame(SETTINGS, ACK, 0))
        if kind == PING and not flags & ACK:
            connection.sendall(frame(PING, ACK, 0, payload))
        if kind == RESET:
            return "reset"
        if kind == HEADERS and flags & END_STREAM:
            # A name and a value, each behind its length, as gRPC writes what it has not said yet.
            found = re.search(rb"grpc-status[\x01\x02](\d+)", payload)
            assert found, payload
            return _NAMES.get(int(found[1]), found[1].decode())
    return "closed"


def pour(connection: ssl.SSLSocket, rpc: str, size: int, patience: float = 1.0) -> int:
    """Begins a message of 1 GiB and sends `size` bytes of it, or as many as the server takes within
    its flow control (RFC 9113, section 5.2): how many.
    """
    connection.sendall(headers(rpc) + frame(DATA, 0, 1, b"\0" + struct.pack(">I", 1 << 30)))
    connection.settimeout(patience)
    initial = 65_535
    windows = {0: initial - 5, 1: initial - 5}
    sent = 0
    stream = connection.makefile("rb")
    try:
        while sent < size:
            if (part := min(16_384, size - sent, *windows.values())) > 0:
                connection.sendall(frame(DATA, 0, 1, bytes(part)))
                sent += part
                windows = {which: left - part for which, left in windows.items()}
                continue
            head = stream.read(9)
            kind, flags, which = head[3], head[4], int.from_bytes(head[5:], "big")
            payload = stream.read(int.from_bytes(head[:3], "big"))
            if kind == WINDOW:
                windows[which] += int.from_bytes(payload, "big")
            elif kind == SETTINGS and not flags & ACK:
                for name, value in struct.iter_unpack(">HI", payload):
                    if name == INITIAL_WINDOW:
                        windows[1] += value - initial
                        initial = value
                connection.sendall(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                connection.sendall(frame(PING, ACK, 0, payload))
            elif kind in (HEADERS, RESET, GOAWAY):
                break
    except (OSError, IndexError):
        pass  # it is closed, or takes no more
    return sent
