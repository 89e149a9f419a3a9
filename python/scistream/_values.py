"""What calls return: immutable, hashable, comparable, picklable; `_core` makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn, cast

from scistream._endpoint import Endpoint
from scistream._errors import InvalidRequest, ScistreamError


class Labels(dict[str, str]):
    """A `dict` that cannot be changed, so that what has one can be hashed, and written as JSON."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("labels cannot be changed; dict(labels) can")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[Labels], tuple[dict[str, str]]]:
        return Labels, (dict(self),)


class StateChange(NamedTuple):
    """One step of a session's set-up."""

    state: str
    """`reserving`, `provisioning`, `updating`, `releasing` or `idle`."""
    ms: float
    """Milliseconds since the request began."""


def _endpoint(text: str) -> Endpoint:
    with suppress(InvalidRequest):
        return Endpoint(text)
    return cast(Endpoint, text)


@dataclass(frozen=True)
class Connection:
    """One live connection of a session."""

    id: int
    """Unique within the data server, as long as that lives."""
    port: int
    """The listener it came in by."""
    peer: str
    """Who connected, `host:port`."""
    target: str
    """Where it goes; empty until it is known."""
    bytes_to_consumer: int
    bytes_to_producer: int
    idle: float = 0.0
    """Seconds since bytes last moved."""


@dataclass(frozen=True)
class SessionStatus:
    """A session as one control server shows it."""

    uid: str
    role: str
    """`PROD` or `CONS`: the side that this server has."""
    state: str
    """Of its state machine: `idle`, `reserving`, `listening`, `updating`, `releasing`."""
    phase: str
    """What it waits for next, or `ready`."""
    listeners: tuple[Endpoint, ...]
    """Where they are; what a server says that is no address stays a plain `str`."""
    targets: tuple[Endpoint, ...]
    """The same; listener i feeds target i modulo their number."""
    num_conn: int
    """Listeners."""
    rate: int
    """Mbit/s of payload each way; 0 is best effort."""
    rate_is_leased: bool
    """Whether that much of the facility's capacity is set aside for it."""
    protocol: str
    """`tcp`, or `udp`: datagrams as well as connections."""
    transport: str
    protection: str
    """`encrypted`, `authenticated only` or `none`, between the facilities."""
    labels: Mapping[str, str]
    """As the request had them; they cannot be changed."""
    age: float
    """Seconds since the request."""
    bytes_to_consumer: int
    bytes_to_producer: int
    connections_active: int
    connections_total: int
    errors: int
    """Connections that did not end cleanly."""
    refused: int
    """Peers that had not the session's key; errors as well."""
    idle: float
    """Seconds since bytes last moved or a connection came or went."""
    note: str = ""
    """What its data server last told of it, such as a program that was started again."""
    connections: tuple[Connection, ...] = ()
    """Those that are live, where they were asked for; the 10,000 with the most bytes at most."""

    def __post_init__(self) -> None:
        for name in ("listeners", "targets"):
            object.__setattr__(self, name, tuple(map(_endpoint, getattr(self, name))))
        object.__setattr__(self, "labels", Labels(self.labels))


@dataclass(frozen=True)
class SessionEvent:
    """Something that has happened to a session at one control server."""

    kind: str
    """`state`: it has another; `counters`: how much has gone through; `gone`: it has ended."""
    status: SessionStatus
    """The session then."""
    detail: str
    """Why, where there is something to say."""


@dataclass(frozen=True)
class SessionStats:
    """What has gone through a session, as its consumer's facility counts it."""

    bytes_to_consumer: int
    """Of the applications, as those of the next line."""
    bytes_to_producer: int
    connections_active: int
    connections_total: int
    errors: int
    """Connections that did not end cleanly, at the facility that has more of them."""
    refused: int
    """Peers that had not the session's key, at both."""
    idle: float
    """Seconds since bytes last moved or a connection came or went."""


def stats_of(sides: Sequence[SessionStatus]) -> SessionStats:
    """What the facilities say of one session, in one."""
    shown = max(sides, key=lambda side: side.role == "CONS")
    return SessionStats(
        bytes_to_consumer=shown.bytes_to_consumer,
        bytes_to_producer=shown.bytes_to_producer,
        connections_active=shown.connections_active,
        connections_total=shown.connections_total,
        errors=max(side.errors for side in sides),
        refused=sum(side.refused for side in sides),
        idle=min(side.idle for side in sides),
    )


@dataclass(frozen=True)
class RequestedSession:
    """A session that this user has requested, and what is known of it now."""

    uid: str
    created: float
    """When it was requested: seconds since 1970, as `time.time()`."""
    servers: tuple[Endpoint, ...]
    """Its control servers."""
    status: tuple[SessionStatus, ...]
    """The session at those that have answered, as `Session.status`."""
    errors: tuple[ScistreamError, ...] = field(compare=False)
    """Why others, which are named, say nothing of it, such as Unavailable: it may be there."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "servers", tuple(map(_endpoint, self.servers)))


@dataclass(frozen=True)
class ServerInfo:
    """What a control server says about itself."""

    version: str
    data_server_kinds: tuple[str, ...]
    data_server_version: str
    """Of the program that forwards; empty if the server does not say."""
    transports: tuple[str, ...]
    ports_total: int
    ports_free: int
    capacity: int
    """Mbit/s; 0 is unlimited."""
    capacity_free: int
    """Mbit/s."""
    sessions: int


@dataclass(frozen=True)
class RelayStats:
    """What went through a relay."""

    bytes_to_client: int
    bytes_to_target: int
    connections_active: int
    connections_total: int
    errors: int
    """Connections that did not end cleanly."""
    idle: float
    """Seconds since bytes last moved or a connection came or went."""
