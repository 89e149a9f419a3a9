"""The user's side: sessions between two facilities."""

from __future__ import annotations

import contextlib
import html
import inspect
import os
import warnings
from collections.abc import Mapping, Sequence
from types import TracebackType

from scistream import _core
from scistream._app import texts
from scistream._drawing import surface
from scistream._endpoint import Endpoint
from scistream._errors import ScistreamError, Timeout
from scistream._live import Live, NotCopied, Path
from scistream._plain import path
from scistream._progress import wait_drawing
from scistream._values import (
    RequestedSession,
    ServerInfo,
    SessionStats,
    SessionStatus,
    StateChange,
    stats_of,
)
from scistream._watch import Watch, period_of


class UserClient(Live):
    """The user client (S2UC): asks two control servers for a session, and ends it.

        with UserClient(server_cert="facilities.pem") as client:
            with client.request("a.example:5000", "b.example:5000", prod_app=[…]) as session:
                print(session.listeners)

    Sessions are remembered in the state folder, so `s2uc list`, `status` and `release` see them.
    Every method may be called from any thread, several at once.

    Args:
        tls: Whether the control servers speak TLS.
        roots: Certificates to trust, PEM text, one or several.
        server_cert: The same as a file. With neither: `server.crt` of the working folder, else the
            pinned ones of the state folder, else the system's authorities.
        token: Access token for every server. Empty: `SCISTREAM_TOKEN`, or the login of each
            server (`s2uc login`), if there is one.
        state_dir: Where sessions are remembered; None is the folder that the commands use.
        client_cert: Certificate to show to servers, PEM file, where they know users by one.
        client_key: Its private key, PEM file that only its owner can read.

    Raises:
        InvalidRequest: An argument that cannot be read.
        NotFound: There is no such certificate file.

    """

    def __init__(
        self,
        *,
        tls: bool = True,
        roots: str = "",
        server_cert: Path | None = None,
        token: str = "",
        state_dir: Path | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
    ) -> None:
        self._core = _core.UserClient(
            tls=tls,
            roots=roots,
            server_cert=path(server_cert),
            token=token,
            state_dir=path(state_dir, _core.default_state_directory),
            client_cert=path(client_cert),
            client_key=path(client_key),
        )
        super().__init__()
        self._tls = tls

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
    ) -> Session:
        """Sets up a session. When that fails, or Ctrl-C ends the wait, nothing stays reserved.

        Args:
            prod: Control server of the producer's facility, `host:port`.
            cons: Control server of the consumer's facility, `host:port`.
            num_conn: Listeners, 1 to 4096; each takes any number of connections.
            rate: Mbit/s of payload each way to reserve; None is best effort.
            prod_app: Where the producer application listens, `host:port` each. Without it the
                session waits for the application controllers of both sides to say hello.
            labels: Such as job or experiment.
            transport: Of the bytes between the facilities: "tls" (encrypted), "tcp" (plain), or
                "auto", which is "tls" and fails where a facility cannot.
            protocol: Of the application: "tcp", or "udp", whose listeners take datagrams as well as
                connections.
            lifetime: Seconds after set-up at which the session ends by itself; 0 is never.
            uid: The session's id; empty is a random one.
            timeout: Seconds that the set-up may take.
            prod_key: What the producer's controller must prove to know, 32 bytes or 64 hexadecimal
                digits; None makes one, which the session's `app_key` shows.
            cons_key: The same for the consumer's.
            proxy_protocol: Tell the producer application who connects: each connection begins with
                a header of the PROXY protocol, which it must know.
            wait: Wait until it is set up. Otherwise return at once; `Session.wait_ready` waits.
            progress: Whether to draw what a wait is for; None is on a terminal's stderr and in a
                notebook, if it takes more than half a second.

        Raises:
            InvalidRequest: An argument is wrong.
            AuthError: A server's certificate is not trusted, or a key or token is wrong.
            PermissionDenied: A facility refuses the caller.
            Unavailable: A control server cannot be reached.
            Exhausted: Too few ports or too little bandwidth; the message says how much is free.
            AlreadyExists: The id is in use there with other values.
            Timeout: An application controller, or a facility, did not answer in time.
            Cancelled: The client was closed.

        """
        where = surface(progress) if wait is True else None
        core = self._core.request(
            prod,
            cons,
            uid=uid,
            num_conn=num_conn,
            rate=rate,
            prod_app=texts("prod_app", prod_app),
            labels={} if labels is None else labels,
            transport=transport,
            protocol=protocol,
            lifetime=lifetime,
            timeout=timeout,
            prod_key=prod_key,
            cons_key=cons_key,
            proxy_protocol=proxy_protocol,
            wait=False if where else wait,
        )
        if where:
            try:
                wait_drawing(core, None, where, at_once=bool(progress))
            except ScistreamError:
                raise
            except BaseException:
                with contextlib.suppress(ScistreamError):
                    core.begin_release(drain=False)  # in the background: Ctrl-C does not wait
                raise
        return Session(core, self)

    def release(self, uid: str, servers: Sequence[str] = (), *, drain: bool = False) -> None:
        """Ends a session: listeners are closed, connections reset, ports and bandwidth free.

        Args:
            uid: The session's id.
            servers: The control servers, `host:port` each; none is where this user requested it.
            drain: As of `Session.release`.

        Raises:
            NotFound: No server ever knew it, or it was not requested from here.
            Unavailable: A control server cannot be reached.

        """
        self._core.release(uid, texts("servers", servers), drain)

    def set_rate(self, uid: str, rate: int, servers: Sequence[str] = ()) -> bool:
        """Gives a session another rate at all its control servers; live connections notice.

        Args:
            uid: The session's id.
            rate: Mbit/s of the applications' bytes each way, all connections together, 0 to
                10,000,000; 0 is best effort.
            servers: The control servers, `host:port` each; none is where this user requested it.

        Returns:
            Whether the rate is leased at each of them: whatever other sessions do, it is there.

        Raises:
            NotFound: No session has this id, or it was not requested from here.
            Exhausted: A facility has less to lease; the rate is what it was.
            ValueError: The rate is out of range.
            Unavailable: A control server cannot be reached.

        """
        return self._core.set_rate(uid, rate, texts("servers", servers))

    def status(
        self, uid: str, servers: Sequence[str] = (), *, connections: bool = False
    ) -> tuple[SessionStatus, ...]:
        """The session at each control server; as `Session.status`, arguments as `release`."""
        return self._core.status(uid, texts("servers", servers), connections)

    def watch(self, uid: str, servers: Sequence[str] = (), *, period: float = 1.0) -> Watch:
        """The events of a session as they come: the present states first.

            for event in client.watch(uid):
                print(event.kind, event.status.bytes_to_consumer)

        Args:
            uid: The session's id.
            servers: The control servers, `host:port` each; none is where this user requested it.
            period: Seconds between two `counters` events of one server, 0.1 or more; they come
                when something has moved.

        """
        core = self._core.watch(uid, period_of(period), texts("servers", servers))
        return Watch(core, self, uid)

    def sessions(self) -> tuple[RequestedSession, ...]:
        """All sessions requested with this state folder that still exist, the oldest first.

        Those that other programs of the user have requested, or the commands, are among them, and
        those that somebody still uses: give yours a label, or a `uid` of a form of its own. Each
        has what its control servers say of it now. One that does not answer within some seconds, or
        has no list (SciStream 1.x), raises nothing here: the exception is in `errors` of each of
        its sessions.

        A session that its control servers do not show to this user is left out, and forgotten, with
        its keys, a week after it was requested.

        Raises:
            Cancelled: The client was closed meanwhile.

        """
        return self._core.sessions()

    def info(self, server: str) -> ServerInfo:
        """What a control server, `host:port`, is and has free.

        Raises:
            Unavailable: It cannot be reached.
            AuthError: Its certificate is not trusted.

        """
        return self._core.info(server)

    def close(self) -> None:
        """Cancels what is still being set up, closes the connections. May be called again.

        Sessions that are set up go on; leaving their `with` block or `Session.release` ends them,
        while the client is open.
        """
        self._core.close()

    def __repr__(self) -> str:
        return f"<scistream.UserClient {'TLS' if self._tls else 'plaintext'}>"


class Session(NotCopied):
    """A session between two facilities; `UserClient.request` makes it.

    Leaving its `with` block always releases it. Without one it lives until `release`, by whomever.
    Every method may be called from any thread. Properties that the set-up finds out raise
    InvalidState before it has ended, and what made it fail afterwards.
    """

    def __init__(self, core: _core.Session, client: UserClient) -> None:
        self._core = core
        self._client = client  # keeps it from being collected, and so from closing
        self._released = False
        self._process = os.getpid()
        core.hold()

    @property
    def uid(self) -> str:
        """Its id."""
        return self._core.uid

    @property
    def ready(self) -> bool:
        """Whether it was set up; so it stays when it is released."""
        return self._core.ready

    @property
    def listeners(self) -> tuple[Endpoint, ...]:
        """Where the consumer application connects."""
        return tuple(map(Endpoint, self._core.listeners))

    @property
    def prod_listeners(self) -> tuple[Endpoint, ...]:
        """Where the consumer's facility connects to the producer's."""
        return tuple(map(Endpoint, self._core.prod_listeners))

    @property
    def targets(self) -> tuple[Endpoint, ...]:
        """Where the producer application listens."""
        return tuple(map(Endpoint, self._core.targets))

    @property
    def transport(self) -> str:
        """Between the facilities."""
        return self._core.transport

    @property
    def setup_ms(self) -> float:
        """Milliseconds from request to ready."""
        return self._core.setup_ms

    @property
    def states(self) -> tuple[StateChange, ...]:
        """The states so far, oldest first."""
        return self._core.states

    def app_key(self, role: str) -> bytes:
        """The secret that the application controller of `PROD` or `CONS` must know: 32 bytes.

        Empty where none was sent, because the control channel is neither encrypted nor local.
        """
        return self._core.key(role)

    def wait_ready(self, timeout: float | None = None, *, progress: bool | None = None) -> None:
        """Waits until it is set up.

        Args:
            timeout: Seconds; None waits as long as the request may take. When they have passed the
                set-up goes on.
            progress: As of `UserClient.request`.

        Raises:
            Timeout: It is not set up yet.
            ScistreamError: It failed; as `UserClient.request`.

        """
        where = surface(progress)
        if where:
            ready = wait_drawing(self._core, timeout, where, at_once=bool(progress))
        else:
            ready = self._core.wait_ready(timeout)
        if not ready:
            raise Timeout(f"not set up within {timeout} s; it goes on", uid=self.uid)

    def status(self, *, connections: bool = False) -> tuple[SessionStatus, ...]:
        """The session at each of the two control servers.

        One that does not answer within some seconds is missing, as long as the other one does.

        Args:
            connections: Each one that is live as well: who it is from, and what went through it.

        Raises:
            NotFound: It has ended.
            Unavailable: No control server can be reached.

        """
        return self._core.status(connections)

    def stats(self) -> SessionStats:
        """What has gone through it; errors as `status`."""
        return stats_of(self.status())

    def watch(self, *, period: float = 1.0) -> Watch:
        """Its events as they come; as `UserClient.watch`."""
        return Watch(self._core.watch(period_of(period)), self, self.uid)

    def set_rate(self, rate: int) -> bool:
        """Gives it another rate; argument, result and errors as `UserClient.set_rate`."""
        return self._core.set_rate(rate)

    def release(self, *, drain: bool = False) -> None:
        """Ends it: listeners are closed, connections reset, ports and bandwidth free.

        One that is still being set up is cancelled. May be called again.

        Args:
            drain: Lets live connections run to their end, and returns then; only the listeners are
                closed at once. Ctrl-C ends the wait: once both control servers have been told, the
                session ends with its last connection all the same. Another `release`, as at the
                end of its `with` block, cuts it.

        Raises:
            Unavailable: A control server cannot be reached; the other one has released it.
            InvalidState: The client is closed; a control server of another version cannot drain.
            Timeout: A connection has outlived the drain by a day.
            Cancelled: The client was closed while it waited.

        """
        if not self._released:
            self._core.release(drain)
            self._released = True

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if os.getpid() != self._process:  # it is the parent's to release
            return
        try:
            self.release()
        except ScistreamError as failed:
            was_not_released(self.uid, failed, error)

    def __repr__(self) -> str:
        how = ", released" if self._released else ""
        return f"<scistream.Session {self._core.description}{how}>"

    def _repr_html_(self) -> str:
        rows = [
            ("session", self._core.description),
            ("state", "released" if self._released else ""),
        ]
        with contextlib.suppress(ScistreamError):  # of another process, as the first row says
            if self.ready and not self._released:
                rows[1:] = [
                    ("applications connect to", ", ".join(self.listeners)),
                    ("data comes from", ", ".join(self.targets)),
                    ("between the facilities", self.transport),
                    ("set up in", f"{self.setup_ms:.0f} ms"),
                ]
        cells = [
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in rows
            if value
        ]
        return "<table>" + "".join(cells) + "</table>"


def was_not_released(uid: str, failed: ScistreamError, error: BaseException | None) -> None:
    """At the end of a `with` block: raises, or warns if the block ended by an error itself.

    What went wrong in the block matters more. The warning names the line of the block.
    """
    if error is None:
        raise failed
    level = 1
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
        level += 1
    warnings.warn(f"session {uid} was not released: {failed}", ResourceWarning, level)
