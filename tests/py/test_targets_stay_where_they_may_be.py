"""What a facility does not allow to connect to gets no connection, however it is written."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from applications import Application, connect, echo
from callers import Caller, aim, half, set_up
from datagrams import socket_at
from deployed_peer import new_uid
from facility import (
    BIN,
    LIMIT,
    Facility,
    clean_environment,
    data_servers,
    eventually,
    free_range,
    own_address,
    run,
    split,
)
from kinds import PROGRAMS, facility_of

KINDS = ["Native", *PROGRAMS]
ALLOWED = "127.0.5.0/24"


@pytest.fixture(scope="module", params=KINDS)
def narrow(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Facility]:
    """A facility that allows one network for either role."""
    folder = tmp_path_factory.mktemp("narrow")
    flags = ("--allow-target", ALLOWED, "--allow-peer", ALLOWED)
    with facility_of(request.param, folder, *flags, ports=16) as facility:
        yield facility


@pytest.fixture(scope="module")
def transport(narrow: Facility) -> dict[str, bytes]:
    """What sessions there need: stunnel does encrypted ones only."""
    return {"data_key": bytes(32)} if "StunnelSubprocess" in narrow.command.words else {}


@pytest.fixture(scope="module")
def caller(narrow: Facility) -> Iterator[Caller]:
    with Caller(narrow) as caller:
        yield caller


@contextlib.contextmanager
def trap(host: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
    """A listener to which nothing must come."""
    with socket.create_server((host, port)) as listener:
        listener.setblocking(False)
        yield listener
        with pytest.raises(BlockingIOError):
            listener.accept()


FORBIDDEN = [
    "127.0.0.1:9",
    "127.0.4.255:9",
    "127.0.6.0:9",
    "0.0.0.0:9",
    "10.0.0.1:9",
    "169.254.169.254:80",
    "255.255.255.255:9",
    "[::1]:9",
    "[::]:9",
    "[::ffff:127.0.0.1]:9",
    "[::ffff:7f00:1]:9",
    "[0:0:0:0:0:FFFF:127.0.0.1]:9",
    "[::ffff:169.254.169.254]:80",
    "[fe80::1]:9",
    "[fd00:ec2::254]:80",
    "[::127.0.5.1]:9",
    "[64:ff9b::7f00:501]:9",
]


# Protocol: targets-allowed
@pytest.mark.parametrize("role", ["PROD", "CONS"])
def test_an_address_that_is_not_allowed_is_refused_by_name(
    caller: Caller, transport: dict[str, bytes], role: str
) -> None:
    with half(caller, role, transport) as uid:
        for target in FORBIDDEN:
            for targets in (target, ["127.0.5.1:9", target]):
                outcome = aim(caller, uid, targets, transport)
                assert outcome.code == "PERMISSION_DENIED", target
                host = ipaddress.ip_address(target.rsplit(":", 1)[0].strip("[]"))
                assert f"{host}" in outcome.details or target.split("]")[0] in outcome.details
                option = {"PROD": "--allow-target", "CONS": "--allow-peer"}[role]
                assert option in outcome.details
        (session,) = caller("status", uid=uid).sessions
        assert (session.phase, list(session.targets)) == ("update", [])


# Protocol: targets-allowed
def test_an_address_that_is_allowed_is_connected_to(
    caller: Caller, transport: dict[str, bytes]
) -> None:
    for target in ("127.0.5.9", "[::ffff:127.0.5.9]"):
        with (
            socket.create_server(("127.0.5.9", 0)) as listener,
            half(caller, "PROD", transport) as uid,
        ):
            listener.settimeout(LIMIT)
            place = f"{target}:{listener.getsockname()[1]}"
            assert aim(caller, uid, place, transport).code == "OK"
            (session,) = caller("status", uid=uid).sessions
            assert list(session.targets) == [place]
            if transport:
                continue  # without the key nobody is connected to anything
            with connect(session.listeners[0]) as connection:
                connection.sendall(b"ping")
                near, _ = listener.accept()
                with near:
                    near.settimeout(LIMIT)
                    assert near.recv(4) == b"ping"


# Other ways to write 127.0.0.1, which only look like names of hosts.
NAMES = ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "LOCALHOST"]


# Protocol: targets-allowed
@pytest.mark.parametrize("role", ["PROD", "CONS"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_elsewhere_leads_nowhere(
    caller: Caller, transport: dict[str, bytes], name: str, role: str
) -> None:
    """Refused when it is resolved, which is with the update or when somebody connects."""
    with trap() as listener, half(caller, role, transport) as uid:
        outcome = aim(caller, uid, f"{name}:{listener.getsockname()[1]}", transport)
        if outcome.code == "OK":
            (session,) = caller("status", uid=uid).sessions
            assert_cut(session.listeners[0])
        else:
            assert outcome.code in ("PERMISSION_DENIED", "INVALID_ARGUMENT", "UNAVAILABLE"), outcome


def assert_cut(listener: str) -> None:
    """A connection to it ends with a reset and brings nothing."""
    with pytest.raises(ConnectionResetError):
        ask(listener)


def ask(listener: str) -> bytes:
    """What comes back, an end of the other side included; the reset may come at any time."""
    with connect(listener) as connection:
        connection.sendall(b"is anybody there?")
        return connection.recv(100)


# Protocol: targets-allowed
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ["PROD", "CONS"])
def test_the_control_port_is_no_target(tmp_path: Path, kind: str, role: str) -> None:
    """Even where its network is allowed."""
    flags = ("--allow-target", "0.0.0.0/0", "--allow-target", "[::]/0", "--allow-peer", "0.0.0.0/0")
    with facility_of(kind, tmp_path, *flags) as facility, Caller(facility) as caller:
        transport = {"data_key": bytes(32)} if kind == "StunnelSubprocess" else {}
        host, port = split(facility.endpoint)
        number = int(ipaddress.ip_address(host))
        with half(caller, role, transport) as uid:
            for spelling in (host, f"[::ffff:{host}]"):
                outcome = aim(caller, uid, f"{spelling}:{port}", transport)
                assert outcome.code == "PERMISSION_DENIED"
        with half(caller, role, transport) as uid:
            if aim(caller, uid, f"{number}:{port}", transport).code == "OK":
                (session,) = caller("status", uid=uid).sessions
                assert_cut(session.listeners[0])


def listener_of(caller: Caller, uid: str) -> str:
    (session,) = caller("status", uid=uid).sessions
    listener: str = session.listeners[0]
    return listener


# Protocol: targets-not-back
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ["PROD", "CONS"])
def test_no_session_leads_back_to_its_own_facility(tmp_path: Path, kind: str, role: str) -> None:
    """Neither to itself nor to another that leads back to it; but a consumer's to a producer's."""
    flags = ("--allow-target", "0.0.0.0/0", "--allow-target", "[::]/0", "--allow-peer", "0.0.0.0/0")
    with facility_of(kind, tmp_path, *flags) as facility, Caller(facility) as caller:
        transport = {"data_key": bytes(32)} if kind == "StunnelSubprocess" else {}
        with half(caller, role, transport) as uid, half(caller, role, transport) as other:
            for place in (listener_of(caller, uid), listener_of(caller, other)):
                host, port = split(place)
                for spelling in (host, f"[::ffff:{host}]"):
                    outcome = aim(caller, uid, f"{spelling}:{port}", transport)
                    assert outcome.code == "PERMISSION_DENIED"
        with half(caller, role, transport) as uid:
            host, port = split(listener_of(caller, uid))
            number = int(ipaddress.ip_address(host))
            if aim(caller, uid, f"{number}:{port}", transport).code == "OK":
                assert_cut(listener_of(caller, uid))
        if role == "CONS":
            with half(caller, "PROD", transport) as prod, half(caller, "CONS", transport) as cons:
                place = listener_of(caller, prod)
                assert aim(caller, cons, place, transport).code == "OK"


# Protocol: targets-not-back, targets-allowed
def test_a_server_that_listens_by_name_leads_nowhere_back_as_well(tmp_path: Path) -> None:
    with (
        Facility(tmp_path, host="localhost", ports=range(*spare_ports())) as facility,
        Caller(facility) as caller,
        half(caller, "PROD", {}) as uid,
    ):
        (session,) = caller("status", uid=uid).sessions
        own = split(session.listeners[0])[1]
        for port in (facility.port, own):
            for host in ("127.0.0.1", "[::ffff:127.0.0.1]"):
                outcome = aim(caller, uid, f"{host}:{port}", {})
                assert outcome.code == "PERMISSION_DENIED", (host, port)


def spare_ports() -> tuple[int, int]:
    """Eight ports of localhost that nobody has."""
    found = free_range("127.0.0.1", 8)
    return found[0], found[-1] + 1


# What the kernel takes for this machine, as it does 127.0.0.1.
UNSPECIFIED = ["0.0.0.0", "[::ffff:0.0.0.0]", "0"]


# Protocol: targets-allowed
@pytest.mark.parametrize("target", UNSPECIFIED)
def test_nor_is_it_by_no_address(tmp_path: Path, target: str) -> None:
    flags = ("--allow-target", "0.0.0.0/0")
    with (
        Facility(tmp_path, *flags, host="127.0.0.1") as facility,
        Caller(facility) as caller,
        half(caller, "PROD", {}) as uid,
    ):
        if aim(caller, uid, f"{target}:{facility.port}", {}).code == "OK":
            (session,) = caller("status", uid=uid).sessions
            assert_cut(session.listeners[0])


# Protocol: targets-allowed
@pytest.mark.parametrize("target", UNSPECIFIED)
def test_no_address_is_no_way_around_what_is_denied(tmp_path: Path, target: str) -> None:
    flags = ("--allow-target", "0.0.0.0/0", "--allow-target", "!127.0.0.0/8")
    with (
        trap() as listener,
        Facility(tmp_path, *flags) as facility,
        Caller(facility) as caller,
        half(caller, "PROD", {}) as uid,
    ):
        if aim(caller, uid, f"{target}:{listener.getsockname()[1]}", {}).code == "OK":
            (session,) = caller("status", uid=uid).sessions
            assert_cut(session.listeners[0])


# Protocol: targets-allowed
def test_without_options_loopback_is_allowed_to_a_server_on_loopback_and_nothing_special(
    tmp_path: Path, echo_app: Application
) -> None:
    special = [
        "169.254.169.254:80",
        "[::ffff:169.254.169.254]:80",
        "224.0.0.1:9",
        "255.255.255.255:9",
        "[fe80::1]:9",
        "[ff02::1]:9",
        "[fd00:ec2::254]:80",
    ]
    with Facility(tmp_path) as facility, Caller(facility) as caller:
        for role in ("PROD", "CONS"):
            with half(caller, role, {}) as uid:
                for target in (*special, *(["203.0.113.9:9"] if role == "PROD" else [])):
                    assert aim(caller, uid, target, {}).code == "PERMISSION_DENIED", target
                assert aim(caller, uid, echo_app.endpoint, {}).code == "OK"
                (session,) = caller("status", uid=uid).sessions
                assert echo(session.listeners[0], b"hello") == b"hello"


# Protocol: targets-allowed
def test_ports_count_and_what_is_denied_stays_so(tmp_path: Path) -> None:
    flags = ("--allow-target", "127.0.0.0/8:7000-7999", "--allow-target", "!127.0.7.0/24:7500")
    codes = {
        "127.0.7.1:7000": "OK",
        "127.0.7.1:7999": "OK",
        "127.0.8.1:7500": "OK",
        "127.0.7.1:7500": "PERMISSION_DENIED",
        "[::ffff:127.0.7.1]:7500": "PERMISSION_DENIED",
        "127.0.7.1:6999": "PERMISSION_DENIED",
        "127.0.7.1:8000": "PERMISSION_DENIED",
    }
    with (
        Facility(tmp_path, *flags) as facility,
        Caller(facility) as caller,
        half(caller, "PROD", {}) as uid,
    ):
        assert {target: aim(caller, uid, target, {}).code for target in codes} == codes


def test_names_that_lead_where_they_may_are_good(tmp_path: Path, echo_app: Application) -> None:
    """Of several addresses those count that are allowed."""
    with (
        Facility(tmp_path, "--allow-target", "127.0.0.1") as facility,
        Caller(facility) as caller,
    ):
        for name in ("localhost", "127.1"):
            target = f"{name}:{split(echo_app.endpoint)[1]}"
            (listener,) = set_up(caller, new_uid(), "PROD", [target])
            assert echo(listener, b"hello") == b"hello"


# Protocol: targets-allowed
def test_datagrams_stay_there_as_well(tmp_path: Path) -> None:
    with (
        Facility(tmp_path, "--allow-target", ALLOWED) as facility,
        Caller(facility) as caller,
        socket_at("127.0.0.1") as forbidden,
        socket_at("127.0.5.9") as allowed,
        socket_at() as client,
    ):
        uid, port = new_uid(), forbidden.getsockname()[1]
        (listener,) = set_up(caller, uid, "PROD", [f"localhost:{port}"], protocol="udp")
        client.sendto(b"to where it may not go", split(listener))
        eventually(lambda: caller("status", uid=uid).sessions[0].counters.errors, "it is an error")
        aim(caller, uid, f"127.0.5.9:{allowed.getsockname()[1]}", {})
        with socket_at() as another:
            another.sendto(b"to where it may go", split(listener))
            assert allowed.recv(100) == b"to where it may go"
        forbidden.setblocking(False)
        with pytest.raises(BlockingIOError):
            forbidden.recv(100)
        caller("release", uid=uid)


# Protocol: targets-allowed
@pytest.mark.parametrize("killed", ["data server", "both"])
def test_a_session_that_is_given_back_is_as_narrow_as_before(tmp_path: Path, killed: str) -> None:
    with (
        trap() as listener,
        Facility(tmp_path, "--allow-target", ALLOWED) as facility,
    ):
        uid, port = new_uid(), listener.getsockname()[1]
        with Caller(facility) as caller:
            (place,) = set_up(caller, uid, "PROD", [f"localhost:{port}"])
        before = facility.data_server
        if killed == "both":
            facility.command.kill()
        os.kill(before, signal.SIGKILL)
        if killed == "both":
            facility.restart()
        eventually(lambda: data_servers(facility.state) not in ([], [before]), "another one")
        eventually(lambda: is_listening(place), "the session is there")
        assert_cut(place)


def is_listening(endpoint: str) -> bool:
    try:
        connect(endpoint).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        pass  # it is cut as soon as it is there
    return True


@pytest.mark.parametrize("option", ["--allow-target", "--allow-peer"])
@pytest.mark.parametrize(
    "value", ["nowhere", "10.0.0.0/33", "10.0.0.0:0", "localhost", "!", "::1/"]
)
def test_a_network_that_is_none_is_named(tmp_path: Path, option: str, value: str) -> None:
    done = run(
        *(BIN / "s2cs", "--port", 0, "--listener_ip", own_address(), option, value),
        cwd=tmp_path,
        env=clean_environment(tmp_path),
    )
    assert done.rc == 2, done.err
    assert f"{option}: '{value.lstrip('!')}' is no network" in done.err
