"""A connection whose messages are arrays and bytes."""

from __future__ import annotations

import select
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from scistream import _frames
from scistream._errors import Cancelled, InvalidRequest, InvalidState, Unavailable
from scistream._flow import EndOfStream, Inbox, Outbox
from scistream._frames import Frame
from scistream._live import NotCopied
from scistream._plain import WHOLE_NUMBER
from scistream._tcp import Line, Turn, set_stream_options, text_of

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Buffer

GIB = 1 << 30
NOBODY_HEARS = (Unavailable, InvalidState, Cancelled)  # or a frame was cut, or is under way
Out = TypeVar("Out")  # a buffer, which an array is to type checkers from Python 3.12 on only


def check_room(max_bytes: int) -> None:
    """Of the largest frame; TypeError, InvalidRequest."""
    WHOLE_NUMBER.check("max_bytes", max_bytes)
    if max_bytes < 0:
        raise InvalidRequest(f"max_bytes: {max_bytes} is less than 0")


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
        check_room(max_bytes)
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
        self._say(_frames.END_FRAME)

    def _say(self, end: bytes) -> None:
        if not self._outbox.ended:
            self._put(self._last(end), last=True)

    def _last(self, end: bytes) -> list[memoryview]:
        """Nothing where nobody would hear it."""
        return [] if self._inbox.closed else [memoryview(end)]

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
        await self._asay(_frames.END_FRAME)

    async def _asay(self, end: bytes) -> None:
        if not self._outbox.ended:
            await self._aput(self._last(end), last=True)

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
                if not self._is_alone():
                    self._say(_frames.CLOSE_FRAME)
                    self._discard()
        finally:
            self.abort()

    async def aclose(self) -> None:
        """As `close`."""
        try:
            with suppress(*NOBODY_HEARS):
                if not self._is_alone():
                    await self._asay(_frames.CLOSE_FRAME)
                    self._discard()
        finally:
            self.abort()

    def _discard(self) -> None:
        with self._receiving:
            self._inbox.discard()

    def _is_alone(self) -> bool:
        """Whether the other side has closed, whom to tell of the end would be a reset."""
        with suppress(InvalidState):  # another thread receives
            self._discard()
        return self._inbox.closed

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
