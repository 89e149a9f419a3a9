"""What happens to a session, as it happens."""

from __future__ import annotations

import asyncio
import os
from collections import deque

from scistream import _core
from scistream._live import Closing, seconds
from scistream._values import SessionEvent


class Watch(Closing):
    """The events of a session: an iterator, and an asynchronous one; `Session.watch` makes it.

    It ends when the session has ended at all its control servers, or with `close`. Iterating raises
    Unavailable when none of the servers can be reached any more, and NotFound if there is no such
    session. A loop that is slow to take events loses counters, never changes of state.
    """

    def __init__(self, core: _core.Watch, owner: object, uid: str) -> None:
        self._core = core
        self._owner = owner  # keeps the client open
        self._uid = uid
        self._come: deque[SessionEvent] = deque()
        self._may_come = True
        self._closed = False

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> SessionEvent:
        event = self._come.popleft() if self._come else self._core.next()
        if event is None:
            self._may_come = False
            raise StopIteration
        return event

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> SessionEvent:
        while not self._come and self._may_come:
            events, self._may_come = self._core.take()
            self._come.extend(events)
            if not events and self._may_come:
                await readable(self._core.fileno())
        if not self._come:
            raise StopAsyncIteration
        return self._come.popleft()

    def close(self) -> None:
        """Ends it. May be called again."""
        self._closed = True
        self._core.close()

    def __repr__(self) -> str:
        how = ", closed" if self._closed else "" if self._may_come else ", ended"
        return f"<scistream.Watch of {self._uid}{how}>"


def period_of(value: float) -> float:
    """Seconds between two counters of a server, which would wait as long as 0.1 s anyway."""
    return seconds("period", value, 0.1)


async def readable(descriptor: int) -> None:
    """Waits until there is something to read from a descriptor of ours, without a thread."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    # Several may wait for the same thing, and a loop has one reader for each descriptor.
    own = os.dup(descriptor)
    try:
        loop.add_reader(own, lambda: None if ready.done() else ready.set_result(None))
        await ready
    finally:
        loop.remove_reader(own)
        os.close(own)
