"""TCP sockets: waiting in a thread or an event loop, closing under those who wait, options."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import select
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from scistream._errors import (
    AlreadyExists,
    Cancelled,
    Exhausted,
    InvalidRequest,
    InvalidState,
    PermissionDenied,
    ScistreamError,
    Timeout,
    Unavailable,
)
from scistream._plain import NUMBER, TEXT

SLICE = 0.1  # seconds of a wait after which Python may look for signals


class Line:
    """A socket, non-blocking, which is closed when nobody uses it any more. Thread-safe."""

    def __init__(self, sock: socket.socket, timeout: float | None) -> None:
        self.set_timeout(timeout)
        sock.setblocking(False)
        self.socket = sock
        self.closed = False
        self.users = 0
        self.guard = threading.RLock()  # of the two before; a signal handler may close
        self._process = os.getpid()

    def set_timeout(self, seconds: float | None) -> None:
        """Of each wait. InvalidRequest if it is none."""
        self.timeout = checked(seconds)

    @property
    def forked(self) -> bool:
        """Whether it is another process's."""
        return os.getpid() != self._process

    @property
    def state(self) -> str:
        """For a repr."""
        return ", of another process" if self.forked else ", closed" if self.closed else ""

    def close(self) -> None:
        """Wakes who waits, the last of whom closes the socket."""
        if self.forked:  # the connection is the parent's, this descriptor is not
            self.closed = True
            self.socket.close()
            return
        with self.guard:
            if self.closed:
                return
            self.closed = True
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
            if not self.users:
                self.socket.close()


class Turn:
    """What one call at a time does with a line, as `with turn:`; in between it may wait."""

    def __init__(self, line: Line, event: int, doing: str) -> None:
        self._line = line
        self._event = event
        self._doing = doing
        self._busy = False
        self._poll = select.poll()
        self._poll.register(line.socket, event)

    def __enter__(self) -> Turn:
        line = self._line
        if line.forked:
            raise InvalidState("it is of another process, from which this one was forked")
        with line.guard:
            if line.closed:
                raise InvalidState("it is closed")
            if self._busy:
                raise InvalidState(f"another call is {self._doing} already")
            self._busy = True
            line.users += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        line = self._line
        with line.guard:
            self._busy = False
            line.users -= 1
            if line.closed and not line.users:
                line.socket.close()
        if line.closed and isinstance(error, (Unavailable, Timeout)):
            raise Cancelled(f"closed while it was {self._doing}") from None

    def wait(self) -> None:
        """Returns when the socket is ready, or broken. Ctrl-C ends it within 0.1 s.

        Raises:
            Timeout: It was not, for the line's timeout.

        """
        timeout = self._line.timeout
        end = None if timeout is None else time.monotonic() + timeout
        left = SLICE
        while True:
            if end is not None:
                left = max(0.0, min(SLICE, end - time.monotonic()))
            if self._poll.poll(left * 1000):
                return
            if end is not None and time.monotonic() >= end:
                raise self._too_late()

    async def ready(self) -> None:
        """As `wait`, in an event loop."""
        line = self._line
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[bool] = loop.create_future()

        def wake(is_ready: bool) -> None:
            if not woken.done():
                woken.set_result(is_ready)

        descriptor = line.socket.fileno()
        watch, unwatch = loop.add_writer, loop.remove_writer
        if self._event == select.POLLIN:
            watch, unwatch = loop.add_reader, loop.remove_reader
        timer = None if line.timeout is None else loop.call_later(line.timeout, wake, False)
        watch(descriptor, wake, True)
        try:
            if not await woken:
                raise self._too_late()
        finally:
            unwatch(descriptor)
            if timer:
                timer.cancel()

    def _too_late(self) -> Timeout:
        return Timeout(f"nothing moved for {self._line.timeout:g} s while it was {self._doing}")


def checked(timeout: float | None) -> float | None:
    """Seconds from 0 on, or None, which is for ever; InvalidRequest for any other number."""
    if timeout is None:
        return None
    NUMBER.check("timeout", timeout)
    if not timeout >= 0:  # nor NaN
        raise InvalidRequest(f"timeout: {timeout} is no number of seconds")
    return timeout


KINDS = {
    errno.EADDRINUSE: AlreadyExists,
    errno.EADDRNOTAVAIL: InvalidRequest,
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
    errno.EMFILE: Exhausted,
    errno.ENFILE: Exhausted,
    errno.EINPROGRESS: Timeout,  # with a timeout of 0
}


def failed(what: str, error: OSError) -> ScistreamError:
    """An error of the system as one of this package."""
    kind = (
        Timeout if isinstance(error, socket.timeout) else KINDS.get(error.errno or 0, Unavailable)
    )
    return kind(f"{what}: {error.strerror or error}")


def address_of(endpoint: str) -> tuple[str, int]:
    """Host, without brackets, and port."""
    TEXT.check("endpoint", endpoint)
    match = re.fullmatch(r"(?:\[([^\[\]\s\0]+)\]|([^\[\]:\s\0]+)):([0-9]{1,5})", endpoint)
    if not match or int(match[3]) > 0xFFFF:
        raise InvalidRequest(f"{endpoint!r} is not host:port")
    host = match[1] or match[2]
    try:
        host.encode("idna")  # as look-ups do, whose error would not be one of ours
    except UnicodeError:
        raise InvalidRequest(f"{endpoint!r} is not host:port: no host has such a name") from None
    return host, int(match[3])


def text_of(address: Any) -> str:
    """A socket's address as `host:port`."""
    if not isinstance(address, tuple):
        return "this machine"  # a Unix socket
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def set_stream_options(sock: socket.socket) -> None:
    """As a relay's: small frames leave at once, a dead peer is noticed after 2 minutes."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):  # it has gone already, and the first call will say so
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)
        if sock.getsockname()[0].startswith(("127.", "::1")):
            # Others pace, which over loopback costs half the speed (bench/README.md).
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
