"""What a control server may be extended with: a data server, an authenticator, a policy."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from scistream import _core
from scistream._app import texts
from scistream._endpoint import Endpoint
from scistream._errors import InvalidRequest
from scistream._live import Path
from scistream._values import Connection

FAR_FUTURE = 9e9  # seconds since 1970: the core counts nanoseconds


@dataclass(frozen=True)
class ListenRequest:
    """The listeners that a session asks a data server for."""

    uid: str
    role: str
    """`PROD` or `CONS`."""
    num_conn: int
    """Listeners wanted."""
    bind_host: str
    """A local address, or a wildcard."""
    ports: range
    """Listeners take free ports of these; those that others hold are skipped."""
    exact_ports: tuple[int, ...]
    """When not empty: exactly these, one a listener."""
    datagrams: bool
    """Whether the listeners take datagrams as well."""
    proxy_protocol: bool
    """Whether each connection to a target begins with a header of the PROXY protocol."""


@dataclass(frozen=True)
class ForwardRequest:
    """Where the connections of a session are to go, and how."""

    targets: tuple[Endpoint, ...]
    """Listener i feeds target i modulo their number."""
    transport: str
    """Between the facilities: one that the data server offers."""
    data_key: bytes = field(repr=False)
    """Of `tls`: 32 bytes; else empty. A secret."""
    rate: int
    """Mbit/s of payload each way, all connections together; 0 is no limit."""
    rate_is_leased: bool
    """Whether it has this rate, whatever others do."""
    capacity: int
    """Mbit/s of the facility, shared by those who leased none; 0 is no limit."""
    permits: Callable[[str, int], bool] = field(repr=False, compare=False)
    """Whether the facility lets connections go to a numeric address and port; to be asked before
    each connection, after a name has been looked up."""


@dataclass(frozen=True)
class Traffic:
    """What went through one session since its listeners were bound."""

    bytes_to_consumer: int = 0
    """Payload, from the producer's side to the consumer's."""
    bytes_to_producer: int = 0
    connections_active: int = 0
    connections_total: int = 0
    errors: int = 0
    """Connections that did not end cleanly, and those that could not be made."""
    refused: int = 0
    """Peers that had not the session's key; errors as well."""


class Channel(ABC):
    """What the connections of one session go through; a `DataServer` makes them.

    Ports of a session of role `PROD` should refuse connections until the first `forward`, those of
    a `CONS` session let them wait.

    Every method may take its time: each is called on a thread that is kept for that. `forward` is
    called once at a time; `traffic` and `connections` while anything else runs, and so is `cut`,
    which makes what waits return. What `forward` raises ends the session, with its text; what the
    others raise is for the log.
    """

    @property
    @abstractmethod
    def ports(self) -> Sequence[int]:
        """Of its listeners, in order."""

    @abstractmethod
    def forward(self, request: ForwardRequest) -> None:
        """Sets or replaces targets and rate; live connections keep the target that they have."""

    @abstractmethod
    def cut(self) -> None:
        """Closes the listeners and resets the connections; returns when the ports are free."""

    @abstractmethod
    def drain(self) -> None:
        """Closes the listeners; returns when the last connection has ended, or after a `cut`."""

    @abstractmethod
    def traffic(self) -> Traffic:
        """What has gone through, also once more after the end."""

    def connections(self) -> Sequence[Connection]:
        """Those that are alive; none if that is not known."""
        return ()


class DataServer(ABC):
    """A data server (S2DS) of one's own, for a `ControlServer` in this process.

    A subclass says in `listen` how it forwards; docs/extending.md has whole ones. It is asked for
    several sessions at a time, on threads of its own.

    Attributes:
        kind: What users are told that it is: 1 to 64 letters, digits, `-`, `_` or `.`.
        transports: Which it can, of `tcp` (as it comes) and `tls` (encrypted with a key).

    """

    kind: str = "Python"
    transports: Sequence[str] = ("tcp",)

    @abstractmethod
    def listen(self, request: ListenRequest) -> Channel:
        """Binds the listeners of a session, and returns what serves them.

        Raises:
            Exhausted: Ports are missing; any other exception fails the session as well.

        """


@dataclass(frozen=True)
class Identity:
    """Who calls, as an `Authenticator` says."""

    subject: str
    """Unique, and never given to somebody else."""
    issuer: str = "own"
    """Who says so."""
    name: str = ""
    """For people to read."""
    email: str = ""
    """That has been verified."""
    linked: tuple[str, ...] = ()
    """Other subjects of the same person."""
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    expires: Optional[float] = None  # noqa: UP045  # read at run time, by Python 3.9 as well
    """After that they have to show anew who they are, in seconds since 1970; None is never."""

    def __post_init__(self) -> None:
        number = isinstance(self.expires, (int, float))
        if self.expires is not None and not (number and 0 < self.expires < FAR_FUTURE):
            raise InvalidRequest(
                f"expires: {self.expires!r} is no time in seconds since 1970; None is never"
            )


class Authenticator(ABC):
    """Finds out in a way of one's own whom a token was given to, for a `ControlServer`.

    Who somebody is, is remembered for 30 seconds.
    """

    @abstractmethod
    def identify(self, token: str) -> Identity:
        """Who has this token. Called on threads of its own, several at a time; 10 s at most.

        Raises:
            AuthError: It is not good.
            PermissionDenied: It is good for something else.
            Unavailable: That cannot be found out now; so do exceptions of other kinds, whose text
                goes into the log alone.

        """


@dataclass(frozen=True)
class Rights:
    """What somebody may do at a control server."""

    produce: bool
    """Request sessions as `PROD`."""
    consume: bool
    """Request sessions as `CONS`."""
    ports: Optional[str]  # noqa: UP045
    """`FIRST-LAST`, of their listeners; None is any."""
    max_connections: Optional[int]  # noqa: UP045
    """Listeners of one session; None is as the facility has it, as below."""
    max_rate: Optional[int]  # noqa: UP045
    """Mbit/s of one session."""
    max_sessions: Optional[int]  # noqa: UP045
    """At a time."""
    targets: tuple[str, ...]
    """`network[:ports]` where producers' applications may be; none is as the facility has it."""
    see_others: bool
    """See the sessions of others."""
    release_others: bool
    """See and release them."""
    administer: bool
    """Do to them whatever their owners may."""


class Policy:
    """Who may do what at a facility: the first rule that fits decides.

    Immutable; any thread. docs/security.md has the language.

    Args:
        text: TOML.

    Raises:
        InvalidRequest: It says in which line what is wrong.

    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._core = _core.Policy(text)

    @classmethod
    def read(cls, path: Path) -> Policy:
        """From a file. NotFound and PermissionDenied name it."""
        return cls(_core.read_policy(os.fspath(path)))

    @property
    def text(self) -> str:
        """The TOML that it was made of."""
        return self._text

    @property
    def rules(self) -> tuple[str, ...]:
        """One line each, in words, in the order in which they are tried."""
        return tuple(self._core.rules())

    def rights_of(self, who: Identity) -> Rights:
        """What they may do. PermissionDenied for those who may do nothing."""
        return Rights(
            **self._core.rights_of(
                issuer=who.issuer,
                subject=who.subject,
                email=who.email,
                linked=texts("linked", who.linked),
                groups=texts("groups", who.groups),
            )
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Policy, (self._text,))

    def __repr__(self) -> str:
        return f"<scistream.Policy of {len(self.rules)} rules>"
