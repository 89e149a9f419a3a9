"""`UserClient`, `Session` and `AppController` for asyncio.

They have the methods of those in `scistream`, with the same arguments, results and exceptions;
those that wait are awaited, take no thread of the event loop's, and when they are cancelled, cancel
their rpc. `sync` is the object of `scistream` beneath each.

    async with UserClient() as client:
        async with client.request(prod, cons, prod_app=[…]) as session:
            async for event in session.watch():
                print(event.status.bytes_to_consumer)

An object belongs to the event loop it is used in.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import warnings
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

import scistream
from scistream import _core
from scistream._app import is_async, texts
from scistream._client import was_not_released
from scistream._drawing import Surface, surface
from scistream._errors import Cancelled, InvalidState, ScistreamError, Timeout
from scistream._live import NotCopied, seconds
from scistream._progress import SetUp
from scistream._values import (
    RequestedSession,
    ServerInfo,
    SessionStats,
    SessionStatus,
    StateChange,
    stats_of,
)
from scistream._watch import Watch, readable

__all__ = ["AppController", "Request", "Session", "UserClient"]

T = TypeVar("T")
C = TypeVar("C", bound="_Closing")
F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


async def _end_of(pending: _core.Pending[T]) -> T:
    """Its result; cancelling this cancels the call, which then ends in the background."""
    try:
        await readable(pending.fileno())
    except BaseException:
        pending.cancel()
        raise
    return pending.result()


async def _wait_drawing(
    session: scistream.Session,
    waiting: asyncio.Future[None],
    timeout: float | None,
    where: Surface,
    *,
    at_once: bool,
) -> None:
    """Waits for this, or for so long, and draws meanwhile."""
    end = None if timeout is None else time.monotonic() + timeout
    with SetUp(session._core, where, at_once=at_once) as drawing:
        pause = drawing.patience if timeout is None else min(timeout, drawing.patience)
        while True:
            await asyncio.wait({waiting}, timeout=pause)
            left = drawing.period if end is None else end - time.monotonic()
            if waiting.done():
                waiting.result()
            if waiting.done() or left <= 0:
                return
            drawing.draw()
            pause = min(drawing.period, left)


class _Beside(NotCopied):
    """An object for asyncio, and beneath it the one of `scistream`, which does the work."""

    sync: Any

    def __repr__(self) -> str:
        return repr(self.sync).replace("scistream.", "scistream.aio.", 1)


class _Closing(_Beside):
    """One that an `async with` block closes at its end."""

    async def close(self) -> None:
        """In a thread, since it may take a while, and to its end."""
        await asyncio.shield(asyncio.to_thread(self.sync.close))

    async def __aenter__(self: C) -> C:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class UserClient(_Closing):
    """The user client (S2UC) for asyncio; arguments as `scistream.UserClient`."""

    sync: scistream.UserClient

    def __init__(self, **options: Any) -> None:
        self.sync = scistream.UserClient(**options)

    def request(
        self,
        prod: str,
        cons: str,
        *,
        num_conn: int = 1,
        rate: int | None = None,
        prod_app: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        transport: str = "auto",
        protocol: str = "tcp",
        lifetime: float = 0.0,
        uid: str = "",
        timeout: float = 190.0,
        prod_key: bytes | str | None = None,
        cons_key: bytes | str | None = None,
        proxy_protocol: bool = False,
        wait: bool = True,
        progress: bool | None = None,
    ) -> Request:
        """Sets up a session: `await` it, or enter it with `async with`, which releases it.

        When that fails, or is cancelled, nothing stays reserved. Arguments and errors as
        `scistream.UserClient.request`.
        """

        def begin() -> scistream.Session:
            return self.sync.request(
                prod,
                cons,
                num_conn=num_conn,
                rate=rate,
                prod_app=prod_app,
                labels=labels,
                transport=transport,
                protocol=protocol,
                lifetime=lifetime,
                uid=uid,
                timeout=timeout,
                prod_key=prod_key,
                cons_key=cons_key,
                proxy_protocol=proxy_protocol,
                wait=False,
            )

        return Request(begin, wait, progress)

    async def release(self, uid: str, servers: Sequence[str] = (), *, drain: bool = False) -> None:
        """Ends a session; as `scistream.UserClient.release`.

        Once begun it goes on to its end, a drain when both control servers have been told.
        """
        await _end_of(self.sync._core.begin_release(uid, texts("servers", servers), drain))

    async def set_rate(self, uid: str, rate: int, servers: Sequence[str] = ()) -> bool:
        """Gives a session another rate; as `scistream.UserClient.set_rate`."""
        return await _end_of(self.sync._core.begin_set_rate(uid, rate, texts("servers", servers)))

    async def status(
        self, uid: str, servers: Sequence[str] = (), *, connections: bool = False
    ) -> tuple[SessionStatus, ...]:
        """The session at each control server; as `scistream.UserClient.status`."""
        core = self.sync._core
        return await _end_of(core.begin_status(uid, texts("servers", servers), connections))

    async def sessions(self) -> tuple[RequestedSession, ...]:
        """Those that this user has requested; as `scistream.UserClient.sessions`."""
        return await _end_of(self.sync._core.begin_sessions())

    async def info(self, server: str) -> ServerInfo:
        """What a control server, `host:port`, is and has free."""
        return await _end_of(self.sync._core.begin_info(server))

    def watch(self, uid: str, servers: Sequence[str] = (), *, period: float = 1.0) -> Watch:
        """The events of a session, for `async for`; as `scistream.UserClient.watch`."""
        return self.sync.watch(uid, servers, period=period)

    async def close(self) -> None:
        """Cancels what is still being set up, closes the connections. May be called again."""
        await super().close()


class Request(Awaitable["Session"]):
    """A session that is not asked for yet; `UserClient.request` makes it.

    `await` asks for it and waits; `async with` does so too, and releases it at the block's end:

        request: aio.Request = client.request(prod, cons)
        async with request as session:
            ...

    Once, and one of the two. When the set-up fails, or is cancelled, nothing stays reserved. One
    that is forgotten is a RuntimeWarning, as a coroutine is.
    """

    def __init__(
        self, begin: Callable[[], scistream.Session], wait: bool, progress: bool | None
    ) -> None:
        self._begin = begin
        self._wait = wait
        self._progress = progress
        self._session: Session | None = None
        self._used = False

    def __del__(self) -> None:
        if not self._used and not sys.is_finalizing():
            warnings.warn(
                "request was never awaited: no session was asked for", RuntimeWarning, 2, self
            )

    def __await__(self) -> Generator[Any, None, Session]:
        if self._used:
            raise InvalidState("this session has been asked for; call request() for another one")
        self._used = True
        return self._set_up().__await__()

    async def _set_up(self) -> Session:
        session = Session(self._begin())
        if self._wait:
            try:
                await session.wait_ready(progress=self._progress)
            except ScistreamError:
                raise
            except BaseException:
                # In the background: whoever cancels does not wait.
                with contextlib.suppress(ScistreamError):
                    session.sync._core.begin_release(drain=False)
                raise
        return session

    async def __aenter__(self) -> Session:
        self._session = await self
        return self._session

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None  # noqa: S101  # it was entered
        await self._session.__aexit__(kind, error, trace)


class Session(_Beside):
    """A session between two facilities; as `scistream.Session`."""

    sync: scistream.Session

    def __init__(self, sync: scistream.Session) -> None:
        self.sync = sync

    @property
    def uid(self) -> str:
        """Its id."""
        return self.sync.uid

    @property
    def ready(self) -> bool:
        """Whether it was set up; so it stays when it is released."""
        return self.sync.ready

    @property
    def listeners(self) -> tuple[scistream.Endpoint, ...]:
        """Where the consumer application connects."""
        return self.sync.listeners

    @property
    def prod_listeners(self) -> tuple[scistream.Endpoint, ...]:
        """Where the consumer's facility connects to the producer's."""
        return self.sync.prod_listeners

    @property
    def targets(self) -> tuple[scistream.Endpoint, ...]:
        """Where the producer application listens."""
        return self.sync.targets

    @property
    def transport(self) -> str:
        """Between the facilities."""
        return self.sync.transport

    @property
    def setup_ms(self) -> float:
        """Milliseconds from request to ready."""
        return self.sync.setup_ms

    @property
    def states(self) -> tuple[StateChange, ...]:
        """The states so far, oldest first."""
        return self.sync.states

    def app_key(self, role: str) -> bytes:
        """The secret that the application controller of `PROD` or `CONS` must know."""
        return self.sync.app_key(role)

    async def wait_ready(
        self, timeout: float | None = None, *, progress: bool | None = None
    ) -> None:
        """Waits until it is set up; as `scistream.Session.wait_ready`.

        The set-up goes on when this is cancelled.
        """
        if timeout is not None:
            seconds("timeout", timeout)
        waiting = asyncio.ensure_future(_end_of(self.sync._core.begin_wait()))
        where = surface(progress)
        try:
            if where:
                await _wait_drawing(self.sync, waiting, timeout, where, at_once=bool(progress))
            else:
                await asyncio.wait({waiting}, timeout=timeout)
            if not waiting.done():
                raise Timeout(f"not set up within {timeout} s; it goes on", uid=self.uid)
            waiting.result()
        finally:
            waiting.cancel()

    async def status(self, *, connections: bool = False) -> tuple[SessionStatus, ...]:
        """The session at each of the two control servers; as `scistream.Session.status`."""
        return await _end_of(self.sync._core.begin_status(connections))

    async def stats(self) -> SessionStats:
        """What has gone through it; as `scistream.Session.stats`."""
        return stats_of(await self.status())

    async def set_rate(self, rate: int) -> bool:
        """Gives it another rate; as `scistream.UserClient.set_rate`."""
        return await _end_of(self.sync._core.begin_set_rate(rate))

    def watch(self, *, period: float = 1.0) -> Watch:
        """Its events, for `async for`; as `scistream.Session.watch`."""
        return self.sync.watch(period=period)

    async def release(self, *, drain: bool = False) -> None:
        """Ends it; as `scistream.Session.release`.

        Once begun it goes on to its end, a drain when both control servers have been told.
        """
        if not self.sync._released:
            await _end_of(self.sync._core.begin_release(drain))
            self.sync._released = True

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.release()
        except ScistreamError as failed:
            was_not_released(self.uid, failed, error)


class AppController(_Closing):
    """Announces an application, for asyncio; arguments as `scistream.AppController`.

    An `async with` block says hello, and closes the controller at its end. As a decorator it does
    the same around each call of an `async def` function.
    """

    sync: scistream.AppController

    def __init__(self, uid: str, s2cs: str, **options: Any) -> None:
        self.sync = scistream.AppController(uid, s2cs, **options)

    @classmethod
    def _around(cls, sync: scistream.AppController) -> AppController:
        made = cls.__new__(cls)
        made.sync = sync
        return made

    def __call__(self, function: F) -> F:
        """As a decorator. TypeError for a function that is not `async def`."""
        if not is_async(function):
            raise TypeError(
                f"{function!r} is no async function; scistream.AppController decorates others"
            )
        return self.sync(function)

    async def hello(
        self, *, wait_ready: bool = False, patience: float = 0.0, timeout: float = 180.0
    ) -> tuple[scistream.Endpoint, ...]:
        """Says hello; as `scistream.AppController.hello`."""
        pending = self.sync._core.begin_hello(
            wait_ready=wait_ready, patience=patience, timeout=timeout
        )
        listeners = await _end_of(pending)
        self.sync._listeners = tuple(map(scistream.Endpoint, listeners))
        return self.sync._listeners

    @property
    def listeners(self) -> tuple[scistream.Endpoint, ...]:
        """What the last hello returned; empty before the first."""
        return self.sync.listeners

    async def close(self) -> None:
        """Closes the connection to the control server; a waiting hello raises Cancelled."""
        await super().close()

    async def __aenter__(self) -> AppController:
        try:
            await self.hello()
        except BaseException:
            with contextlib.suppress(Cancelled):
                await self.close()
            raise
        return self
