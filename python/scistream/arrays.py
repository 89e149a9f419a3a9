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

All numbers are little-endian. Each direction is a sequence of frames, the last of kind 0:

    ======  =====  =============================================================================
    offset  bytes
    ======  =====  =============================================================================
    0       4      magic, 93 53 43 41 in hexadecimal
    4       1      version, 1
    5       1      kind: 0 end, 1 bytes, 2 array
    6       2      H, bytes of header, unsigned
    8       8      P, bytes of payload, unsigned
    16      H      header, a JSON object in UTF-8; spaces may pad it
    16+H    P      payload; of an array its items in C order (the last index varies fastest)
    ======  =====  =============================================================================

The end is these 16 bytes, and H and P are 0: `93 53 43 41 01 00 00 00 00 00 00 00 00 00 00 00`.
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

import select
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from scistream import _frames
from scistream._endpoint import Endpoint
from scistream._errors import Cancelled, InvalidRequest, InvalidState, Unavailable
from scistream._flow import EndOfStream, Inbox, Outbox
from scistream._frames import BadFrame, Frame
from scistream._live import NotCopied
from scistream._tcp import Line, Turn, address_of, checked, failed, set_stream_options, text_of

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Buffer

__all__ = ["BadFrame", "Connection", "EndOfStream", "Frame", "Listener", "connect", "listen"]

GIB = 1 << 30
Out = TypeVar("Out")  # a buffer, which an array is to type checkers from Python 3.12 on only


class Connection(NotCopied):
    """A connection whose messages are arrays and bytes; `connect` and `Listener.accept` make it.

    One thread may send while another receives; a second call in one direction raises InvalidState.
    A wait lets other threads run, and ends within 0.2 s of Ctrl-C. A timeout is the time in which
    nothing moves, however long the whole takes. A process that was forked has no part in it.

    `async with`, `async for`, `asend`, `arecv`, `arecv_frame` and `aclose` do the same in an event
    loop that watches descriptors, as all of Unix do; `asyncio.to_thread` connects and accepts.

    Args:
        sock: A connected stream socket, the connection's own from here on.
        timeout: As `settimeout`.
        max_bytes: The largest frame that `recv` takes memory for, in bytes.

    """

    def __init__(
        self, sock: socket.socket, *, timeout: float | None = None, max_bytes: int = GIB
    ) -> None:
        self.max_bytes = max_bytes
        self._line = Line(sock, timeout)
        self._inbox, self._outbox = Inbox(sock), Outbox(sock)
        self._receiving = Turn(self._line, select.POLLIN, "receiving")
        self._sending = Turn(self._line, select.POLLOUT, "sending")
        self._peer = "somebody who has gone"
        with suppress(OSError):
            self._peer = text_of(sock.getpeername())
        set_stream_options(sock)

    @property
    def peer(self) -> str:
        """The other end, `host:port`; through a session, the gateway."""
        return self._peer

    # ---- sending ---------------------------------------------------------------------------

    def send(
        self,
        data: Buffer | np.ndarray[Any, Any] | np.generic,
        *,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Sends an array or bytes; the memory may be used again when it returns.

        It returns when TCP has taken all of it, which is before it has arrived.

        Args:
            data: An array or NumPy scalar of numbers, text, times, raw bytes or structures of
                these, or another buffer. What is one-dimensional and of bytes arrives as bytes,
                any other buffer (array.array, ctypes) as an array, which needs numpy. What is
                not C-contiguous is copied first; a subclass of arrays arrives as a plain one.
            meta: Sent along as JSON; with dtype and shape 65,535 bytes at most.

        Raises:
            TypeError: It is neither an array nor a buffer.
            InvalidRequest: The dtype (objects, long doubles) or `meta` cannot be sent; nothing was.
            Timeout: The other side does not read. Where a part of the frame has left, here and
                after Ctrl-C, no more can be sent: the next call raises InvalidState.
            Unavailable: The other side has gone.
            InvalidState: It is closed, or its end was said, or another call is sending.
            Cancelled: It was closed meanwhile.

        """
        self._put(_frames.pack(data, meta))

    def end(self) -> None:
        """Says that nothing more will be sent; receiving goes on. May be called again.

        Raises:
            ScistreamError: As `send`.

        """
        if not self._outbox.ended:
            self._put([memoryview(_frames.END_FRAME)], last=True)

    def _put(self, frame: list[memoryview], last: bool = False) -> None:
        with self._sending as turn:
            self._outbox.put(frame)
            try:
                while not self._outbox.advance():
                    turn.wait()
            finally:
                self._outbox.clear()
            if last:
                self._outbox.end()

    async def asend(
        self,
        data: Buffer | np.ndarray[Any, Any] | np.generic,
        *,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """As `send`; to cancel it is as a timeout."""
        await self._aput(_frames.pack(data, meta))

    async def aend(self) -> None:
        """As `end`."""
        if not self._outbox.ended:
            await self._aput([memoryview(_frames.END_FRAME)], last=True)

    async def _aput(self, frame: list[memoryview], last: bool = False) -> None:
        with self._sending as turn:
            self._outbox.put(frame)
            try:
                while not self._outbox.advance():
                    await turn.ready()
            finally:
                self._outbox.clear()
            if last:
                self._outbox.end()

    # ---- receiving -------------------------------------------------------------------------

    @overload
    def recv(self, out: None = None) -> Any: ...
    @overload
    def recv(self, out: Out) -> Out: ...
    def recv(self, out: Any = None) -> Any:
        """Receives an array or bytes.

        Args:
            out: What to fill and return instead of something new: for an array one of the same
                dtype and shape; for an array or bytes, a buffer of as many bytes. Both
                C-contiguous.

        Raises:
            EndOfStream: No frame follows, and the other side has said so.
            Timeout: Nothing came. What had come before is kept, and the next call goes on from
                there; it must be given the same `out`.
            InvalidRequest: The frame does not fit `out`, or is over `max_bytes`. It waits for a
                call that it suits.
            BadFrame: What came is no frame.
            Unavailable: The other side went away without an end, or in the middle of a frame.
            InvalidState: It is closed, or another call is receiving; or Ctrl-C came while bytes
                were read, some of which may be lost; or it is an array, and numpy is missing.
            Cancelled: It was closed meanwhile.

        """
        return self.recv_frame(out).data

    def recv_frame(self, out: Any = None) -> Frame:
        """As `recv`, with the sender's `meta`."""
        with self._receiving as turn:
            while (frame := self._inbox.advance(out, self.max_bytes)) is None:
                turn.wait()
            return frame

    def frames(self) -> Iterator[Frame]:
        """All frames up to the end, with their `meta`; errors as `recv`."""
        with suppress(EndOfStream):
            while True:
                yield self.recv_frame()

    def __iter__(self) -> Iterator[Any]:
        """All arrays and bytes up to the end; errors as `recv`."""
        return (frame.data for frame in self.frames())

    async def arecv(self, out: Any = None) -> Any:
        """As `recv`; to cancel it is as a timeout: nothing is lost."""
        return (await self.arecv_frame(out)).data

    async def arecv_frame(self, out: Any = None) -> Frame:
        """As `arecv`, with the sender's `meta`."""
        with self._receiving as turn:
            while (frame := self._inbox.advance(out, self.max_bytes)) is None:
                await turn.ready()
            return frame

    async def __aiter__(self) -> AsyncIterator[Any]:
        """All arrays and bytes up to the end; errors as `recv`."""
        with suppress(EndOfStream):
            while True:
                yield await self.arecv()

    # ---- the rest --------------------------------------------------------------------------

    def settimeout(self, seconds: float | None) -> None:
        """How long a wait may take in which nothing moves; None is for ever, 0 is not to wait.

        Raises:
            InvalidRequest: It is no number of seconds.

        """
        self._line.set_timeout(seconds)

    def fileno(self) -> int:
        """The socket's descriptor; -1 once it is closed.

        Whoever waits for it receives with a timeout of 0 until Timeout first: frames may have been
        read ahead.
        """
        return self._line.socket.fileno()

    def close(self) -> None:
        """Says the end, waiting as `send` does, and closes; what waits raises Cancelled.

        What was sent still arrives, unless the other side goes on sending: TCP resets then. Where
        the end cannot be said any more it only closes. May be called again, and from any thread.

        Raises:
            Timeout: The other side does not read, and will not hear of the end. It is closed.

        """
        try:
            with suppress(*NOBODY_HEARS):
                self.end()
                self._discard()
        finally:
            self.abort()

    async def aclose(self) -> None:
        """As `close`."""
        try:
            with suppress(*NOBODY_HEARS):
                await self.aend()
                self._discard()
        finally:
            self.abort()

    def _discard(self) -> None:
        with self._receiving:
            self._inbox.discard()

    def abort(self) -> None:
        """Closes without an end: the other side's Unavailable says that something is missing."""
        self._line.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.aclose()
        else:
            self.abort()

    def __repr__(self) -> str:
        return f"<scistream.arrays.Connection to {self._peer}{self._line.state}>"


class Listener(NotCopied):
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

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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
    address = address_of(endpoint)
    try:
        sock = socket.create_connection(address, checked(timeout))
    except OSError as error:
        raise failed(f"cannot connect to {endpoint}", error) from None
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
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, port), family=family, backlog=128)
    except socket.gaierror as error:
        raise InvalidRequest(f"cannot listen on {endpoint}: {error.strerror}") from None
    except OSError as error:
        raise failed(f"cannot listen on {endpoint}", error) from None
    return Listener(sock, timeout, max_bytes)


NOBODY_HEARS = (Unavailable, InvalidState, Cancelled)  # or a frame was cut, or is under way

for _public in (BadFrame, EndOfStream, Frame):
    _public.__module__ = __name__
del _public
