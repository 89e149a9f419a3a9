"""A facility's control server, inside this process."""

from __future__ import annotations

from collections.abc import Sequence

from scistream import _core, _logs
from scistream._adapters import AuthenticatorAdapter, DataServerAdapter
from scistream._app import texts
from scistream._endpoint import Endpoint
from scistream._extend import Authenticator, DataServer, Policy
from scistream._live import Live, Path
from scistream._plain import mistyped, path


class ControlServer(Live):
    """A facility: a control server (S2CS) with its data server, both inside this process.

    The options are those of the command `s2cs`, with the same defaults; the data server always is
    in this process. A `with` block starts the server and closes it:

        with ControlServer(listener_ip="127.0.1.1", port=0) as facility:
            print(facility.endpoint)

    Every method may be called from any thread; starts and stops happen one after another.

    Args:
        listener_ip: Address to listen on and to announce. One that this machine does not have is
            announced as well; the server then listens on every address, and its log warns of that.
        port: Control port; 0 takes a free one.
        type: Kind of data server, any case.
        port_range: `FIRST-LAST`, the ports of the sessions' listeners.
        advertise: `HOST[:FIRSTPORT]` that others must use, behind NAT.
        wan_ip: Address of producers' listeners; empty is `listener_ip`.
        lan_ip: Address of consumers' listeners; empty is `listener_ip`.
        timeout: Seconds that hello may take after a request, and update after hello.
        capacity: Mbit/s that can be leased; 0 is unlimited.
        max_session: Longest session after set-up, in seconds; 0 is unlimited.
        idle_limit: Seconds without a connection after which a session ends; 0 is never.
        state_dir: Folder for certificate and lock; None is one per address and port in the user's
            state folder, and a temporary one with port 0.
        tls: Whether the control port speaks TLS.
        server_crt: Certificate file, PEM; None makes one, or takes the working folder's.
        server_key: Its private key file, PEM.
        insecure_no_auth: Serve others than this machine without knowing who they are.
        client_id: This server's client id at an authorization server, which is asked whom a token
            was given to.
        client_secret_file: File of mode 0600 with its secret.
        introspection_url: Where that server answers (RFC 7662).
        issuers: Of signed tokens (JWT) to accept, their addresses.
        audience: That signed tokens must be for; empty is `client_id`.
        scope: That tokens must have; empty is the issuer's for `client_id`, and for signed ones
            none.
        identity_ca: Authority of the providers' certificates, PEM; None is the system's.
        max_sessions_per_user: At a time, where the policy says nothing else.
        client_ca: Accept users with a certificate of this authority, PEM.
        policy: Who may do what, a TOML file or a `Policy`; None is sessions of one's own.
        audit: Where decisions are kept, a JSON object a line; None is `audit.jsonl` in the state
            folder, where users are known.
        allow_target: Networks, `network[:ports]`, of producers' applications; none is those of
            this machine.
        allow_peer: Networks of other facilities' listeners; none is any but special addresses.
        facility_key: File with the key that what is kept of sessions is sealed with.
        data_server: A data server of one's own, instead of one of `type`.
        authenticator: Finds out whose tokens these are that no issuer of `issuers` is for.

    Raises:
        InvalidRequest: An option that cannot be read.
        NotFound: There is no such file.
        PermissionDenied: A file with a secret can be read by others.

    """

    def __init__(
        self,
        *,
        listener_ip: str = "0.0.0.0",  # noqa: S104  # as s2cs; without authentication it is loopback
        port: int = 5000,
        type: str = "Native",  # noqa: A002  # the flag's name
        port_range: str = "5100-5200",
        advertise: str = "",
        wan_ip: str = "",
        lan_ip: str = "",
        timeout: float = 180.0,
        capacity: int = 0,
        max_session: float = 0.0,
        idle_limit: float = 86400.0,
        state_dir: Path | None = None,
        tls: bool = True,
        server_crt: Path | None = None,
        server_key: Path | None = None,
        insecure_no_auth: bool = False,
        client_id: str = "",
        client_secret_file: Path | None = None,
        introspection_url: str = "https://auth.globus.org/v2/oauth2/token/introspect",
        issuers: Sequence[str] = (),
        audience: str = "",
        scope: str = "",
        identity_ca: Path | None = None,
        max_sessions_per_user: int = 100,
        client_ca: Path | None = None,
        policy: Path | Policy | None = None,
        audit: Path | None = None,
        allow_target: Sequence[str] = (),
        allow_peer: Sequence[str] = (),
        facility_key: Path | None = None,
        data_server: DataServer | None = None,
        authenticator: Authenticator | None = None,
    ) -> None:
        if data_server is not None and not isinstance(data_server, DataServer):
            raise mistyped("data_server", "a scistream.DataServer", data_server)
        if authenticator is not None and not isinstance(authenticator, Authenticator):
            raise mistyped("authenticator", "a scistream.Authenticator", authenticator)
        _logs.start()
        self._core = _core.ControlServer(
            listener_ip=listener_ip,
            port=port,
            type=type,
            port_range=port_range,
            advertise=advertise,
            wan_ip=wan_ip,
            lan_ip=lan_ip,
            timeout=timeout,
            capacity=capacity,
            max_session=max_session,
            idle_limit=idle_limit,
            state_dir=path(state_dir),
            tls=tls,
            server_crt=path(server_crt),
            server_key=path(server_key),
            insecure_no_auth=insecure_no_auth,
            client_id=client_id,
            client_secret_file=path(client_secret_file),
            introspection_url=introspection_url,
            issuers=texts("issuers", issuers),
            audience=audience,
            scope=scope,
            identity_ca=path(identity_ca),
            max_sessions_per_user=max_sessions_per_user,
            client_ca=path(client_ca),
            policy="" if isinstance(policy, Policy) else path(policy),
            policy_text=policy.text if isinstance(policy, Policy) else "",
            audit=path(audit),
            allow_target=texts("allow_target", allow_target),
            allow_peer=texts("allow_peer", allow_peer),
            facility_key=path(facility_key),
            data_server=None if data_server is None else DataServerAdapter(data_server),
            authenticator=None if authenticator is None else AuthenticatorAdapter(authenticator),
        )
        super().__init__()

    def start(self) -> None:
        """Serves when it returns. After a stop it may be started again.

        Raises:
            InvalidRequest: An option is wrong; the message names it.
            AlreadyExists: The port or the state folder is held; the message says by whom.
            PermissionDenied: It would serve others than this machine.
            InvalidState: It is running already, or closed.

        """
        self._core.start()

    def stop(self, drain: float = 30.0) -> None:
        """Takes no new session, waits for live connections, ends every session and frees the ports.

        Args:
            drain: Seconds to wait for live connections. Ctrl-C, or a close, ends the wait.

        """
        self._core.stop(drain)

    def close(self) -> None:
        """Stops at once, connections are reset. May be called again; ends a waiting `stop`."""
        self._core.close()

    def reload(self) -> None:
        """Reads the policy and the certificate again, and begins a new audit log if it was moved.

        Raises:
            InvalidRequest: What was read is wrong; what was in force stays so.
            InvalidState: It is not running.

        """
        self._core.reload()

    @property
    def running(self) -> bool:
        """Whether it serves."""
        return self._core.running

    @property
    def endpoint(self) -> Endpoint:
        """Where clients reach it. InvalidState if it is not running."""
        return Endpoint(self._core.endpoint)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its certificate; empty without TLS. InvalidState if it is not running."""
        return self._core.fingerprint

    @property
    def certificate(self) -> str:
        """The certificate that clients must trust, PEM; empty without TLS.

        InvalidState if it is not running.
        """
        return self._core.certificate

    def __enter__(self) -> ControlServer:
        if not self._core.running:
            self._core.start()
        return self

    def __repr__(self) -> str:
        return f"<scistream.ControlServer {self._core.description}>"
