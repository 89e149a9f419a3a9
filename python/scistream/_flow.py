"""Frames on a non-blocking socket, a class for each direction. Nothing here waits.

Who drives them waits, in a thread or an event loop, until the socket is ready, and calls again.
Neither is thread-safe; the two of one socket may be driven by two threads.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from scistream import _frames
from scistream._errors import InvalidRequest, InvalidState, ScistreamError, Unavailable

AHEAD = 4096  # bytes that are read before it is known where they belong, and so copied once more


class EndOfStream(InvalidState, EOFError):  # noqa: N818  # as all of the family
    """The other side has sent all that it wanted to, and said so."""


class Outbox:
    """The sending half: `put` a frame, `advance` until it has left, `clear` in any case."""

    def __init__(self, sock: socket.socket) -> None:
        self.ended = False
        self._socket = sock
        self._left: list[memoryview] = []
        self._begun = False
        self._failed: ScistreamError | None = None

    def put(self, parts: list[memoryview]) -> None:
        """Takes a frame.

        Raises:
            InvalidState: The end was said, or a frame was cut.
            Unavailable: The other side has gone already.

        """
        if self._failed:
            raise type(self._failed)(self._failed.details)
        self._left, self._begun = parts, False

    def advance(self) -> bool:
        """Sends what the socket takes; whether all of the frame has left.

        Raises:
            Unavailable: The other side has gone.

        """
        while self._left:
            begun, self._begun = self._begun, True  # an interrupt may hide what was sent
            try:
                sent = self._socket.sendmsg(self._left)
            except BlockingIOError:
                self._begun = begun
                return False
            except OSError as error:
                self._failed = gone(error)
                raise self._failed from None
            while self._left and sent >= len(self._left[0]):
                sent -= len(self._left.pop(0))
            if self._left:  # there is no more room
                self._left[0] = self._left[0][sent:]
                return False
        return True

    def clear(self) -> None:
        """Lets go of the frame. If only a part of it has left, nothing more can be sent."""
        if self._left and self._begun and not self._failed:
            self._failed = InvalidState("a frame was cut by a timeout or an interrupt; close")
        self._left = []

    def end(self) -> None:
        """After the last frame: nothing more can be sent."""
        self.ended = True
        self._failed = InvalidState("the end was said: nothing more can be sent")
        with suppress(OSError):  # it has gone, with all that it wanted
            self._socket.shutdown(socket.SHUT_WR)


class Inbox:
    """The receiving half. What has come of a frame stays here when a wait for the rest ends."""

    def __init__(self, sock: socket.socket) -> None:
        self.closed = False  # the other side, which hears nothing any more
        self._socket = sock
        self._ahead = memoryview(bytearray(AHEAD))
        self._start = self._end = 0  # of what it holds
        self._head: _frames.Head | None = None
        self._memory: Any = None
        self._view: memoryview | None = None  # of the memory
        self._got = 0  # bytes of it
        self._out: Any = None  # the memory is the caller's
        self._torn = False
        self._discarded = False

    def advance(self, out: Any, max_bytes: int) -> _frames.Frame | None:
        """Reads what is there: a frame, or None if more must come.

        Raises:
            EndOfStream: No frame follows.
            InvalidRequest: The frame does not fit `out`, or is over `max_bytes`; it stays.
            BadFrame: What came is none.
            Unavailable: The other side went away without an end.
            InvalidState: An earlier call was interrupted while it read.

        """
        if self._discarded:
            raise InvalidState("it is closed")
        if self._torn:
            raise InvalidState("a receive was interrupted, and bytes may be lost; close")
        self._torn = True  # an interrupt may hide what was read
        try:
            frame = self._advance(out, max_bytes)
        except (ScistreamError, MemoryError, TypeError):
            self._torn = False
            raise
        self._torn = False
        return frame

    def discard(self) -> None:
        """Throws away what is there, for to close with bytes unread is a reset.

        Nothing can be received any more.
        """
        self._discarded = True
        last = bytes(self._ahead[self._start : self._end])
        with suppress(OSError):
            for _ in range(256):
                some = self._socket.recv(1 << 16)
                if not some:
                    self.closed = self.closed or last.endswith(_frames.CLOSE_FRAME)
                    break
                last = (last + some)[-len(_frames.CLOSE_FRAME) :]

    def _advance(self, out: Any, max_bytes: int) -> _frames.Frame | None:
        head = self._head or self._begin()
        if head is None:
            return None
        if head.kind in (_frames.END, _frames.CLOSE):
            self.closed = head.kind == _frames.CLOSE
            raise EndOfStream("the stream has ended")
        if self._view is None:
            self._view = self._place(head, out, max_bytes)
        elif out is not self._out:
            raise InvalidRequest("a frame has begun to come into another out=: give that again")
        while self._got < head.size:
            wanted = head.size - self._got
            got = self._read(self._view[self._got :])
            self._got += got
            if got < wanted:
                return None
        mine = self._out is None
        data = bytes(self._memory) if mine and head.dtype is None else self._memory
        self._head = self._view = self._memory = self._out = None
        return _frames.Frame(data, head.meta)

    def _begin(self) -> _frames.Head | None:
        """The next frame's head, if all of it is here."""
        size = _frames.PREAMBLE.size
        if not self._gather(size):
            return None
        kind, header, payload = _frames.begin(self._ahead[self._start : self._end])
        if not self._gather(size + header):
            return None
        end = self._start + size + header
        text = bytes(self._ahead[self._start + size : end])
        self._head = _frames.head(kind, text, payload)
        self._start = end
        return self._head

    def _gather(self, size: int) -> bool:
        """Whether so many bytes are ahead."""
        while (have := self._end - self._start) < size:
            if self._start + size > len(self._ahead) or have == 0:
                room = self._ahead if size <= len(self._ahead) else memoryview(bytearray(size))
                room[:have] = self._ahead[self._start : self._end]
                self._ahead, self._start, self._end = room, 0, have
            got = self._read(self._ahead[self._end :])
            if got == 0:
                return False
            self._end += got
        return True

    def _place(self, head: _frames.Head, out: Any, max_bytes: int) -> memoryview:
        """Where the payload goes; what is ahead of it is there when this returns."""
        if out is None:
            self._memory, view = _frames.fresh(head, max_bytes)
        else:
            self._memory, view = out, _frames.within(head, out)
        self._out = out
        self._got = min(head.size, self._end - self._start)
        view[: self._got] = self._ahead[self._start : self._start + self._got]
        self._start += self._got
        return view

    def _read(self, view: memoryview) -> int:
        """Bytes read; 0 if none are there."""
        try:
            got = self._socket.recv_into(view)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise gone(error) from None
        if got == 0:
            where = "between frames, without an end"
            if self._head or self._start != self._end:
                where = "in the middle of a frame"
            raise Unavailable(f"the other side went away {where}")
        return got


def gone(error: OSError) -> Unavailable:
    """What a broken connection is in this package."""
    return Unavailable(f"the connection broke: {error.strerror or error}")
