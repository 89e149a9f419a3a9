"""An application's side of a session."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from scistream import _core
from scistream._endpoint import Endpoint
from scistream._live import Live, Path
from scistream._plain import TEXTS, listed, mistyped, path

F = TypeVar("F", bound=Callable[..., Any])


class AppController(Live):
    """Announces an application to its own facility's control server.

    A `with` block says hello and closes the controller at its end; the session goes on:

        with AppController(uid, "127.0.1.1:5000", role="PROD", listeners=["127.0.0.1:9000"]):
            serve()

    As a decorator it does the same around each call of a function, with a controller for each. Of
    an `async def` function too, whose event loop turns while it says hello; not of a generator.

    Every method may be called from any thread.

    Args:
        uid: The session's id.
        s2cs: The control server of the application's facility, `host:port`.
        role: `PROD` or `CONS`, any case.
        listeners: Where the producer application listens, `host:port` each; a consumer has none.
        key: The session's application key of this facility, 32 bytes or 64 hexadecimal digits.
        tls: Whether the control server speaks TLS.
        roots: Certificates to trust, PEM text, one or several.
        server_cert: The same as a file. With neither: `server.crt` of the working folder, else the
            pinned ones of the state folder, else the system's authorities.
        token: Access token for every server. Empty: `SCISTREAM_TOKEN`, or the login of each
            server (`s2uc login`), if there is one.
        state_dir: The user's state folder; None is the default of the commands.
        client_cert: Certificate to show to servers, PEM file, where they know users by one.
        client_key: Its private key, PEM file that only its owner can read.

    Raises:
        InvalidRequest: An argument that cannot be read, or a producer without listeners.
        NotFound: There is no such certificate file.

    """

    _closed = False

    def __init__(
        self,
        uid: str,
        s2cs: str,
        *,
        role: str,
        listeners: Sequence[str] = (),
        key: bytes | str | None = None,
        tls: bool = True,
        roots: str = "",
        server_cert: Path | None = None,
        token: str = "",
        state_dir: Path | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
    ) -> None:
        def core() -> _core.AppController:
            return _core.AppController(
                uid,
                s2cs,
                role=role,
                listeners=texts("listeners", listeners),
                key=key,
                tls=tls,
                roots=roots,
                server_cert=path(server_cert),
                token=token,
                state_dir=path(state_dir, _core.default_state_directory),
                client_cert=path(client_cert),
                client_key=path(client_key),
            )

        self._make = core
        self._core = core()
        super().__init__()
        self._name = f"{role.upper()} of {uid} at {s2cs}"
        self._listeners: tuple[Endpoint, ...] = ()

    def hello(
        self, *, wait_ready: bool = False, patience: float = 0.0, timeout: float = 180.0
    ) -> tuple[Endpoint, ...]:
        """Says hello: the request that waits for it goes on. May be said again.

        Args:
            wait_ready: Return only when the session is set up and its targets are known.
            patience: Seconds to wait for a session that is not there yet.
            timeout: Seconds to wait for the set-up, with `wait_ready`.

        Returns:
            The facility's listeners; a consumer connects to them.

        Raises:
            NotFound: There is no such session.
            AuthError: The key is missing or wrong, or the server's certificate is not trusted.
            Unavailable: The control server cannot be reached.
            Timeout: It was not set up in time.
            InvalidState: The controller is closed.

        """
        listeners = self._core.hello(wait_ready=wait_ready, patience=patience, timeout=timeout)
        self._listeners = tuple(map(Endpoint, listeners))
        return self._listeners

    @property
    def listeners(self) -> tuple[Endpoint, ...]:
        """What the last hello returned; empty before the first."""
        return self._listeners

    def close(self) -> None:
        """Closes the connection to the control server; a waiting hello raises Cancelled."""
        self._closed = True
        self._core.close()

    def __enter__(self) -> AppController:
        try:
            self.hello()
        except BaseException:
            self.close()
            raise
        return self

    def __call__(self, function: F) -> F:
        """As a decorator. TypeError for a generator, whose call runs nothing of it."""
        if not callable(function):
            raise mistyped("function", "a function", function)
        if _is(inspect.isgeneratorfunction, function) or _is(inspect.isasyncgenfunction, function):
            raise TypeError(
                f"{function!r} is a generator function, which is not decorated: use a with block"
            )

        @functools.wraps(function)
        def announced(*words: Any, **named: Any) -> Any:
            with self._again():
                return function(*words, **named)

        @functools.wraps(function)
        async def announced_in_a_loop(*words: Any, **named: Any) -> Any:
            from scistream import aio  # which imports this

            async with aio.AppController._around(self._again()):
                return await function(*words, **named)

        return cast(F, announced_in_a_loop if is_async(function) else announced)

    def _again(self) -> AppController:
        """Another one, since a closed one says no second hello."""
        another = AppController.__new__(AppController)
        another._make = self._make
        another._core = self._make()
        another._name = self._name
        another._listeners = ()
        Live.__init__(another)
        return another

    def __repr__(self) -> str:
        return f"<scistream.AppController {self._name}{', closed' if self._closed else ''}>"


def _is(kind: Callable[[object], bool], function: Callable[..., Any]) -> bool:
    """Whether a function, or an object that can be called, is of this kind."""
    return kind(function) or kind(type(function).__call__)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calls of it are awaited."""
    return _is(inspect.iscoroutinefunction, function)


def texts(what: str, values: Sequence[str]) -> list[str]:
    """The list; a single string, which is a sequence too, is a mistake."""
    if isinstance(values, str):
        raise TypeError(f"{what}: a list of strings, not one string")
    as_list = listed(values)
    TEXTS.check(what, as_list)
    return list(as_list)
