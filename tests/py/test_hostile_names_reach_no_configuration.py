"""Ids and host names that would break out of a path, a line or a message reach no file."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from applications import Application, echo
from callers import Caller, Outcome, ended, set_up
from data_server_states import _stubs
from deployed_peer import new_uid
from facility import LIMIT, Facility, Json
from kinds import PROGRAMS, facility_of

UIDS = [
    *("../../../tmp/evil", "..", ".", "x/../../y", "/evil", "~", "-evil", "a b", '"; }', "$(id)"),
    *("a\nb", "a\rb", "uid\0z", "%0a", "a\x1b[2Jb", "a\x85b", "a\u2028b", "a\u2029b", ""),
    *("x" * 129, "x" * 100_000),
]
HOSTS = [
    *("127.0.0.1 {}", "127.0.0.1 ", "$(id)", "`id`", "a;b", '"; }', "#", " ", "../x", "%0a"),
    *("127.0.0.1\n  server evil 127.0.0.1:1", "127.0.0.1:80\r\nexec = /bin/sh", "a\x1b[2Jb"),
    *("127.0.0.1\0", "127.0.0.1\0\n  server evil 127.0.0.1:1", "a\x85b", "a\u2028b", "x" * 300),
]
# Where in an address a host name may stand, or be taken for one.
FORMS = {
    "alone": "{}",
    "host": "{}:80",
    "port": "127.0.0.1:{}",
    "brackets": "[{}]:80",
    "zone": "[::1%{}]:80",
    "behind NUL": "[::1\0{}]:80",
}
ADDRESSES = [form.format(host) for form in FORMS.values() for host in HOSTS]


@dataclass
class Session:
    """Both halves of one, with ids of their own: a hello that comes first waits for its request."""

    facility: Facility
    caller: Caller
    uids: dict[str, str]  # by role
    targets: dict[str, str]
    listeners: dict[str, str]
    encryption: Json  # what its requests and updates need

    @property
    def root(self) -> Path:
        """So far above the state folder that a short way up stays below it."""
        return self.facility.folder.parents[2]

    @property
    def proxies(self) -> Path:
        return self.facility.state / "proxies"

    def configurations(self) -> list[Path]:
        """The producer's, which starts first, and the consumer's."""
        found = [path for path in self.proxies.rglob("*") if path.suffix in (".cfg", ".conf")]
        return sorted(found, key=lambda path: int(path.parent.name))

    def traces(self) -> list[object]:
        """Whatever a name could leave behind: files, what proxies are told, lines in logs."""
        own = re.compile(r"\d{4}-\d\d-\d\dT|s2cs ready on ")
        strays = [line for line in self.facility.logs().splitlines() if not own.match(line)]
        told = {path: path.read_bytes() for path in self.proxies.rglob("*") if path.is_file()}
        servers = (self.facility.command.process.poll(), self.facility.data_server)
        return [sorted(self.root.rglob("*")), told, strays, servers]

    @contextlib.contextmanager
    def untouched(self) -> Iterator[None]:
        """Whatever is tried meanwhile, the session goes on as it was."""
        before = self.traces()
        assert len(self.configurations()) == 2
        yield
        assert self.traces() == before
        assert self.caller.code("info") == "OK"
        assert echo(self.listeners["CONS"], b"still there?") == b"still there?"


@pytest.fixture(scope="module", params=PROGRAMS)
def facility(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Facility]:
    folder = tmp_path_factory.mktemp("root") / "a/b"
    folder.mkdir(parents=True)
    with facility_of(request.param, folder) as facility:
        yield facility


@contextlib.contextmanager
def live(facility: Facility, target: str, **more: Any) -> Iterator[Session]:
    """Once it is released, the folders of its proxies are gone."""
    # Stunnel does encrypted ones only.
    key = bytes(32) if "StunnelSubprocess" in facility.command.words else b""
    encryption = {"transport": "tls", "data_key": key} if key else {"transport": "tcp"}
    uids = {role: new_uid() for role in ("PROD", "CONS")}
    targets, listeners = {"PROD": target}, {}
    with Caller(facility) as caller:
        for role, uid in uids.items():
            (listeners[role],) = set_up(caller, uid, role, [targets[role]], data_key=key, **more)
            targets.setdefault("CONS", listeners[role])
        try:
            yield (made := Session(facility, caller, uids, targets, listeners, encryption))
        finally:
            assert [caller.code("release", uid=uid) for uid in uids.values()] == ["OK", "OK"]
    assert list(made.proxies.iterdir()) == []


@pytest.fixture
def session(facility: Facility, echo_app: Application) -> Iterator[Session]:
    with live(facility, echo_app.endpoint) as session:
        yield session


def admitted(ends: list[tuple[str, Outcome]]) -> list[str]:
    """What is not refused, or not as it should be."""
    wrong = [(name, end) for name, end in ends if end.code != "INVALID_ARGUMENT"]
    return [f"{name[:40]!r}: {end.code}, {end.details[:80]!r}" for name, end in wrong]


def shown(outcome: Outcome, value: str) -> bool:
    """On one line that is not too long, with as much of the start as needs no escape."""
    start = re.sub(r"[^ !#-&(-\[\]-~].*", "", value, flags=re.DOTALL)[:32]
    return start in outcome.details and outcome.details.isprintable() and len(outcome.details) < 999


def about(uid: str, session: Session) -> Iterator[Outcome]:
    """How each rpc that names an id ends."""
    caller, more = session.caller, session.encryption
    yield caller.outcome("req", uid=uid, role="PROD", num_conn=1, transport=more["transport"])
    yield caller.outcome("hello", uid=uid, role="PROD", prod_listeners=["127.0.0.1:9"])
    yield caller.outcome("update", uid=uid, remote_listeners=["127.0.0.1:9"], **more)
    yield caller.outcome("watch", uids=[*session.uids.values(), uid])
    for rpc in ("release", "rate", "status"):
        yield caller.outcome(rpc, uid=uid)


def aimed(address: str, session: Session) -> Iterator[Outcome]:
    """How each rpc that names an address which is used ends."""
    caller, more = session.caller, session.encryption
    yield caller.outcome("hello", uid=session.uids["PROD"], prod_listeners=[address])
    for role, uid in session.uids.items():
        for places in ([address], [session.targets[role], address]):
            yield caller.outcome("update", uid=uid, remote_listeners=places, **more)


# Protocol: uid-form
def test_ids_that_lead_elsewhere_are_refused(session: Session) -> None:
    uids = [*UIDS, f"{session.root}/evil", f"{'../' * 20}{session.root}/evil"]
    with session.untouched():
        ends = [(uid, end) for uid in uids for end in about(uid, session)]
        assert list(session.caller("list", uids=uids).sessions) == []
        assert admitted(ends) == []
        assert [end for uid, end in ends if not shown(end, uid)] == []


# Protocol: bad-address-named
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_addresses_that_say_more_are_refused(session: Session, form: str) -> None:
    with session.untouched():
        addresses = [form.format(host) for host in HOSTS]
        ends = [(address, end) for address in addresses for end in aimed(address, session)]
        assert admitted(ends) == []


# Protocol: bad-address-named
def test_what_is_refused_is_shown_on_one_line(session: Session) -> None:
    # The last one is too long for the headers in which a message travels.
    ends = [(each, next(aimed(each, session))) for each in (*ADDRESSES, "x" * 20_000 + ":80")]
    assert [end for address, end in ends if not shown(end, address)] == []
    assert admitted(ends) == []


DataServer = Callable[..., Outcome]


@pytest.fixture
def data_server(session: Session) -> Iterator[DataServer]:
    """How one of its rpcs ends that is as it should be but for what is said here."""
    messages, services = _stubs()
    first, *_, last = session.facility.ports
    wish = {"num_conn": 1, "first_port": first, "last_port": last}
    good: dict[str, tuple[Any, Json]] = {
        "reserve": (messages.ReserveListeners, wish),
        "update": (messages.SetTargets, {"targets": ["127.0.0.1:9"], **session.encryption}),
        "release": (messages.ReleaseListeners, {}),
        "status": (messages.DataServerStatusRequest, {}),
    }
    with grpc.insecure_channel(f"unix:{session.facility.state / 's2ds.sock'}") as channel:
        stub = services.DataServerStub(channel)

        def outcome(rpc: str, uid: str, **fields: Any) -> Outcome:
            message, more = good[rpc]
            request = message(session={"uid": uid, "role": "PROD"}, **{**more, **fields})
            return ended(getattr(stub, rpc).future(request, timeout=LIMIT))

        yield outcome


def test_data_servers_refuse_them_as_well(session: Session, data_server: DataServer) -> None:
    uid, rpcs = session.uids["PROD"], ("reserve", "update", "release", "status")
    with session.untouched():
        ends = [(bad, data_server(rpc, bad)) for bad in UIDS for rpc in rpcs]
        ends += [(each, data_server("update", uid, targets=[each])) for each in ADDRESSES]
        assert admitted(ends) == []


def test_they_are_no_networks_of_data_servers(session: Session, data_server: DataServer) -> None:
    """Neither one to listen in, nor one to connect to."""
    with session.untouched():
        ends = []
        for host in HOSTS:
            ends.append((host, data_server("update", session.uids["PROD"], allowed=[host])))
            ends.append((host, data_server("reserve", "new", bind_host=host)))
            data_server("release", "new")
        assert admitted(ends) == []


def test_configurations_name_what_they_should(facility: Facility, echo_app: Application) -> None:
    """And nothing else that a request says, which is for people."""
    # Of names that are for people to read, 300 bytes are taken.
    of_people = {"producer": "\n".join(HOSTS), "consumer": "\n".join(UIDS[:-1])}
    more = {**{name: text[:200] for name, text in of_people.items()}, "claim": HOSTS[-4]}
    labels = {host[:256]: host[:256] for host in HOSTS}
    with live(facility, echo_app.endpoint, labels=labels, **more) as session, session.untouched():
        for role, path in zip(session.targets, session.configurations()):
            named = re.findall(r"[^\s;]+:\d+", path.read_text())
            named = [each for each in named if each != session.listeners[role]]
            assert named == [session.targets[role]]


def test_this_would_be_seen(session: Session) -> None:
    before = session.traces()
    (session.root / "evil").touch()
    assert session.traces() != before
    (session.root / "evil").unlink()
    assert session.traces() == before
    for path in (*session.configurations(), session.facility.state / "s2ds.log"):
        with path.open("a") as file:
            file.write("evil\n")
        assert session.traces() != before
        before = session.traces()
