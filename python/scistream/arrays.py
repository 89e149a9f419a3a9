"""Arrays over one TCP connection, through a session or without one.

The producer listens, the consumer connects to the session's listener; either may send:

    from scistream import arrays

    with arrays.listen("127.0.0.1:8000") as listener, listener.accept() as connection:
        for number, image in enumerate(detector):
            connection.send(image, meta={"frame": number})

    with arrays.connect(session.listeners[0]) as connection:
        for image in connection:
            analyse(image)

An array arrives with its dtype and shape. It is sent out of its own memory and received into that
of the new one, or of `out=`, which is faster: nothing is copied in between. Bytes need no numpy.
Leaving a `with` block says that the stream is complete; leaving it by an exception, or dying, does
not, and the receiver gets `Unavailable` instead of the end. A session encrypts between facilities;
what reaches the application directly is as trustworthy as its network.

One connection carries one stream each way. For several in parallel, make several connections and
number the frames: they arrive in order within each one only.

The format
----------

All numbers are little-endian. Each direction is a sequence of frames, the last of kind 0 or 3:

    offset  bytes  what
    0       4      magic, 93 53 43 41 in hexadecimal
    4       1      version, 1
    5       1      kind: 0 end, 1 bytes, 2 array, 3 end of both directions
    6       2      H, bytes of header, unsigned
    8       8      P, bytes of payload, unsigned
    16      H      header, a JSON object in UTF-8; spaces may pad it
    16+H    P      payload; of an array its items in C order (the last index varies fastest)

The end is these 16 bytes, and H and P are 0: `93 53 43 41 01 00 00 00 00 00 00 00 00 00 00 00`.
So it is with kind 3, by which a side says that it closes: the other one, whom nobody would hear,
sends nothing more then, not even its end.

The header of an array has `dtype` and `shape`: `{"dtype":"<f4","shape":[512,1024]}`; that of bytes
may be missing (H is 0). Any may have `meta`, an object with whatever the sender likes. Other names
are ignored. A Fortran array goes with its shape turned round.

`dtype` is NumPy's: byte order (`<` little, `>` big, `|` of items that have none), kind and bytes:
`b1`; `i` and `u` of 1, 2, 4, 8; `f` of 2, 4, 8; `c` of 8, 16; `S` and `V` of any number; `U` of so
many characters of 4 bytes; `m8[us]` and `M8[us]`, or another unit. A structure is a list of
`[name, dtype]` or `[name, dtype, shape]`, in order; one whose name is empty is padding, of `V`.
Items have a size. A shape has at most 32 sizes. P is the product of shape and item size.
"""

from __future__ import annotations

import os
import select
import socket

from scistream._connection import GIB, Connection, check_room
from scistream._endpoint import Endpoint
from scistream._errors import InvalidRequest
from scistream._flow import EndOfStream
from scistream._frames import BadFrame, Frame
from scistream._live import Closing
from scistream._tcp import Line, Turn, address_of, checked, failed, text_of

__all__ = ["BadFrame", "Connection", "EndOfStream", "Frame", "Listener", "connect", "listen"]

YEAR = 366 * 86_400.0  # seconds: more than any socket waits, less than it refuses


class Listener(Closing):
    """Where connections come in; `listen` makes it.

    One thread at a time may accept. A wait lets other threads run, and ends within 0.2 s of Ctrl-C.
    """

    def __init__(self, sock: socket.socket, timeout: float | None, max_bytes: int) -> None:
        self._line = Line(sock, timeout)
        self._max_bytes = max_bytes
        self._endpoint = Endpoint(text_of(sock.getsockname()))
        self._accepting = Turn(self._line, select.POLLIN, "accepting")

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return self._endpoint

    def accept(self) -> Connection:
        """The next connection, with the listener's timeout and `max_bytes`.

        Raises:
            Timeout: Nobody has connected.
            Exhausted: Too many files are open.
            InvalidState: It is closed, or another call is accepting.
            Cancelled: It was closed meanwhile.

        """
        with self._accepting as turn:
            while True:
                try:
                    sock, _ = self._line.socket.accept()
                    break
                except (BlockingIOError, ConnectionAbortedError):
                    turn.wait()
                except OSError as error:
                    raise failed("cannot accept", error) from None
        return Connection(sock, timeout=self._line.timeout, max_bytes=self._max_bytes)

    def settimeout(self, seconds: float | None) -> None:
        """How long `accept` may wait, and later connections, as `Connection.settimeout`."""
        self._line.set_timeout(seconds)

    def fileno(self) -> int:
        """The socket's descriptor; -1 once it is closed."""
        return self._line.socket.fileno()

    def close(self) -> None:
        """Closes it, but no connection; a waiting `accept` raises Cancelled.

        May be called again, and from any thread.
        """
        self._line.close()

    def __repr__(self) -> str:
        return f"<scistream.arrays.Listener on {self._endpoint}{self._line.state}>"


def connect(endpoint: str, *, timeout: float | None = None, max_bytes: int = GIB) -> Connection:
    """Connects, to a session's listener for instance.

    Args:
        endpoint: `host:port`.
        timeout: Seconds for this, and for each wait later on (`Connection.settimeout`).
        max_bytes: The largest frame that `recv` takes memory for, in bytes.

    Raises:
        InvalidRequest: It is no `host:port`.
        Unavailable: Nobody listens there, or there is no such host.
        Timeout: There is no answer.

    """
    address, patience = address_of(endpoint), checked(timeout)
    check_room(max_bytes)
    try:
        sock = socket.create_connection(address, None if patience is None else min(patience, YEAR))
    except OSError as error:
        raise failed(f"cannot connect to {endpoint!r}", error) from None
    return Connection(sock, timeout=timeout, max_bytes=max_bytes)


def listen(endpoint: str, *, timeout: float | None = None, max_bytes: int = GIB) -> Listener:
    """Listens for connections.

    Args:
        endpoint: `host:port` of this machine; port 0 takes a free one.
        timeout: Of the listener and its connections, as `Connection.settimeout`.
        max_bytes: Of its connections.

    Raises:
        InvalidRequest: It is no `host:port`, or not of this machine.
        AlreadyExists: The port is in use.
        PermissionDenied: The port needs privileges.

    """
    host, port = address_of(endpoint)
    checked(timeout)
    check_room(max_bytes)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    what = f"cannot listen on {endpoint!r}"
    try:
        (_, _, _, _, address), *_ = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        sock = socket.create_server(address, family=family, backlog=128)
    except socket.gaierror as error:
        raise InvalidRequest(f"{what}: {error.strerror}") from None
    except OSError as error:
        # Python has added the address.
        raise failed(what, OSError(error.errno, os.strerror(error.errno or 0))) from None
    return Listener(sock, timeout, max_bytes)


# The names are those of this module, wherever they are written down.
for _public in (BadFrame, Connection, EndOfStream, Frame):
    _public.__module__ = __name__
del _public
