"""Two facilities on this machine, for tests and teaching."""

from __future__ import annotations

import contextlib
import errno
import html
import os
import random
import select
import shutil
import socket
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from scistream._app import AppController
from scistream._client import Session, UserClient
from scistream._errors import InvalidRequest, InvalidState, ScistreamError, Timeout
from scistream._live import Live
from scistream._plain import TEXT, WHOLE_NUMBER
from scistream._server import ControlServer

PATIENCE = 2.0  # seconds that a picture waits for a facility


def _claim() -> tuple[int, str, str]:
    """Two loopback addresses, and a descriptor that keeps other pairs from them until closed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as claim:
        while True:
            place = random.SystemRandom().randrange(1 << 22)  # not as the application has seeded it
            try:
                # A name without a file: like the addresses, all processes of a network share it.
                claim.bind(f"\0scistream-{place}")
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise
            prod, cons = (f"127.{net + (place >> 16)}" for net in (64, 128))
            rest = f"{place >> 8 & 255}.{place & 255}"
            return claim.detach(), f"{prod}.{rest}", f"{cons}.{rest}"


def _only_in(process: int, call: Callable[..., None], *arguments: Any) -> None:
    if os.getpid() == process:
        call(*arguments)


class LocalFacilities(Live):
    """Two whole facilities in this process, and a user who is trusted by both.

    They are what `s2cs` is, encryption included, on loopback addresses that no other pair of this
    machine has, and leave nothing behind:

        with LocalFacilities() as facilities:
            with facilities.request(prod_app=["127.0.0.1:9000"]) as session:
                consume(session.listeners[0])

    Either may be stopped and started again, as `prod` and `cons`: at another port then, with the
    certificate that the client trusts.

    Every method may be called from any thread. A forked child can do nothing with them.

    Args:
        ports: How many ports each facility has for its sessions' listeners, 1 to 10,000.
        capacity: Mbit/s that can be leased at each; 0 is unlimited.

    Raises:
        InvalidRequest: An argument is out of range.

    """

    def __init__(self, *, ports: int = 100, capacity: int = 0) -> None:
        WHOLE_NUMBER.check("ports", ports)
        if not 1 <= ports <= 10_000:
            raise InvalidRequest(f"ports: {ports} is not from 1 to 10000")
        first = 21_000
        self._options: dict[str, Any] = {
            "port": 0,
            "port_range": f"{first}-{first + ports - 1}",
            "capacity": capacity,
        }
        self._process = os.getpid()
        self._turn = threading.RLock()  # starts and ends come one after another
        self._stack = contextlib.ExitStack()
        self._open: tuple[ControlServer, ControlServer, UserClient] | None = None
        super().__init__()

    def start(self) -> None:
        """Starts both, and connects the user; nothing to do if that has been done.

        Raises:
            InvalidState: They belong to the process that this one was forked from.

        """
        if self._is_copy:
            raise InvalidState(
                f"these facilities belong to process {self._process}, from which this one was "
                "forked; make others in a process that was started with multiprocessing's 'spawn' "
                "or 'forkserver', or with subprocess"
            )
        with self._turn:
            if not self._open:
                self._start()

    def _start(self) -> None:
        with contextlib.ExitStack() as stack:
            place = contextlib.ExitStack()  # given back at the end, or without one with the client
            stack.callback(place.close)
            claim, *hosts = _claim()
            place.callback(_only_in, self._process, os.close, claim)
            state = tempfile.mkdtemp(prefix="scistream-")
            place.callback(_only_in, self._process, shutil.rmtree, state, True)
            servers = [
                stack.enter_context(
                    ControlServer(listener_ip=host, state_dir=f"{state}/{role}", **self._options)
                )
                for role, host in zip(("prod", "cons"), hosts)
            ]
            roots = "".join(server.certificate for server in servers)
            client = stack.enter_context(UserClient(roots=roots, state_dir=f"{state}/user"))
            weakref.finalize(client, place.close).atexit = False  # by then it is closed
            self._open = (servers[0], servers[1], client)
            self._stack = stack.pop_all()

    @property
    def _is_copy(self) -> bool:
        """Whether this process was forked from the one that has them."""
        return os.getpid() != self._process

    def _parts(self) -> tuple[ControlServer, ControlServer, UserClient]:
        if not self._open:
            raise InvalidState("the facilities are not running: use a with block, or start()")
        return self._open

    @property
    def prod(self) -> ControlServer:
        """The producer's facility. InvalidState if it is not running."""
        return self._parts()[0]

    @property
    def cons(self) -> ControlServer:
        """The consumer's facility. InvalidState if it is not running."""
        return self._parts()[1]

    @property
    def client(self) -> UserClient:
        """The user's client, which trusts both. InvalidState if they are not running."""
        return self._parts()[2]

    def request(self, **options: Any) -> Session:
        """A session from one to the other; arguments and errors as `UserClient.request`."""
        prod, cons, client = self._parts()
        return client.request(prod.endpoint, cons.endpoint, **options)

    def controller(
        self, session: Session, role: str, listeners: Sequence[str] = ()
    ) -> AppController:
        """The application controller of a session's side, with its key, trusting its facility."""
        TEXT.check("role", role)
        server = self.prod if role.upper() == "PROD" else self.cons
        return AppController(
            session.uid,
            server.endpoint,
            role=role,
            listeners=listeners,
            key=session.app_key(role),
            roots=server.certificate,
        )

    def close(self) -> None:
        """Ends all sessions and both facilities. May be called again; nothing in a forked child."""
        if self._is_copy:
            return
        with self._turn:
            self._open = None
            self._stack.close()

    def __enter__(self) -> LocalFacilities:
        self.start()
        return self

    def __repr__(self) -> str:
        return f"<scistream.LocalFacilities {self._description}>"

    @property
    def _description(self) -> str:
        parts = self._open
        if self._is_copy:
            return "of another process"
        if not parts:
            return "not running"
        return " to ".join(_place(server) for server in parts[:2])

    def _repr_html_(self) -> str:
        parts = self._open
        if not parts or self._is_copy:
            return f"<p>two facilities, {self._description}</p>"
        prod, cons, client = parts
        rows = []
        for role, server in (("PROD", prod), ("CONS", cons)):
            try:
                cells = (role, _place(server), *_use(client, server))
            except ScistreamError as error:
                cells = (role, _place(server), str(error))
            rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
        heads = "".join(f"<th>{each}</th>" for each in ("", "S2CS", "free ports", "sessions"))
        return f"<table><tr>{heads}</tr>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def _place(server: ControlServer) -> str:
    try:
        return server.endpoint
    except InvalidState:
        return "not running"


def _use(client: UserClient, server: ControlServer) -> tuple[str, ...]:
    """Its free ports and its sessions, if it says so soon."""
    pending = client._core.begin_info(server.endpoint)
    ready = select.poll()
    ready.register(pending.fileno(), select.POLLIN)
    if not ready.poll(1000 * PATIENCE):
        pending.cancel()
        raise Timeout(f"it did not answer within {PATIENCE:g} s")
    info = pending.result()
    return f"{info.ports_free} of {info.ports_total}", str(info.sessions)
