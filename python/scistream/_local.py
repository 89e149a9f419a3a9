"""Two facilities on this machine, for tests and teaching."""

from __future__ import annotations

import contextlib
import html
import itertools
import os
import tempfile
from collections.abc import Sequence
from typing import Any

from scistream._app import AppController
from scistream._client import Session, UserClient
from scistream._errors import InvalidRequest, InvalidState
from scistream._live import Live
from scistream._server import ControlServer

_numbers = itertools.count()


def _own_hosts() -> tuple[str, str]:
    """Two loopback addresses: processes, and the pairs of one process, have their own."""
    place = (os.getpid() * 16 + next(_numbers) % 16) & 0x3FFFFF
    rest = f"{place >> 8 & 255}.{place & 255}"
    return f"127.{64 + (place >> 16)}.{rest}", f"127.{128 + (place >> 16)}.{rest}"


class LocalFacilities(Live):
    """Two whole facilities in this process, and a user who is trusted by both.

    They are what `s2cs` is, encryption included, on loopback addresses of their own, and leave
    nothing behind:

        with LocalFacilities() as facilities:
            with facilities.request(prod_app=["127.0.0.1:9000"]) as session:
                consume(session.listeners[0])

    Every method may be called from any thread.

    Args:
        ports: How many ports each facility has for its sessions' listeners, 1 to 10,000.
        capacity: Mbit/s that can be leased at each; 0 is unlimited.

    Raises:
        InvalidRequest: An argument is out of range.

    """

    def __init__(self, *, ports: int = 100, capacity: int = 0) -> None:
        if not 1 <= ports <= 10_000:
            raise InvalidRequest(f"ports: {ports} is not from 1 to 10000")
        first = 21_000
        self._options: dict[str, Any] = {
            "port": 0,
            "port_range": f"{first}-{first + ports - 1}",
            "capacity": capacity,
        }
        self._stack = contextlib.ExitStack()
        self._open: tuple[ControlServer, ControlServer, UserClient] | None = None
        super().__init__()

    def start(self) -> None:
        """Starts both, and connects the user; nothing to do if that has been done."""
        if self._open:
            return
        with contextlib.ExitStack() as stack:
            servers = [
                stack.enter_context(ControlServer(listener_ip=host, **self._options))
                for host in _own_hosts()
            ]
            state = stack.enter_context(tempfile.TemporaryDirectory(prefix="scistream-"))
            roots = "".join(server.certificate for server in servers)
            client = stack.enter_context(UserClient(roots=roots, state_dir=state))
            self._open = (servers[0], servers[1], client)
            self._stack = stack.pop_all()

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
        """Ends all sessions and both facilities. May be called again."""
        self._open = None
        self._stack.close()

    def __enter__(self) -> LocalFacilities:
        self.start()
        return self

    def __repr__(self) -> str:
        if not self._open:
            return "<scistream.LocalFacilities not running>"
        return f"<scistream.LocalFacilities {self.prod.endpoint} to {self.cons.endpoint}>"

    def _repr_html_(self) -> str:
        if not self._open:
            return "<p>two facilities, not running</p>"
        rows = []
        for role, server in (("PROD", self.prod), ("CONS", self.cons)):
            info = self.client.info(server.endpoint)
            cells = (
                role,
                server.endpoint,
                f"{info.ports_free} of {info.ports_total}",
                info.sessions,
            )
            rows.append("".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells))
        heads = "".join(f"<th>{each}</th>" for each in ("", "S2CS", "free ports", "sessions"))
        return f"<table><tr>{heads}</tr>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
