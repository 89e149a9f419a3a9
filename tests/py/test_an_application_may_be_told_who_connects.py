"""`s2uc request --proxy-protocol`: each connection to the producer begins with a PROXY header."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from applications import connect, receive
from binding import facilities, listening
from conftest import Pair
from containers import Engine
from deployed_peer import deployed_server
from facility import LIMIT, Client, Facility, Json, split

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
# Which of them know the binary header.
KINDS = {
    "Native": 2,
    "HaproxySubprocess": 2,
    "NginxSubprocess": 1,
    "StunnelSubprocess": 1,
    "Haproxy": 2,
    "Nginx": 1,
    "Stunnel": 1,
}


def header_of(connection: socket.socket) -> tuple[int, str, str]:
    """The version, who has connected, and to what."""
    connection.settimeout(LIMIT)
    begin = receive(connection, 12)
    if begin == SIGNATURE:
        version, family, size = struct.unpack(">BBH", receive(connection, 4))
        assert (version, family, size) == (0x21, 0x11, 12)
        source, target, source_port, target_port = struct.unpack(
            ">4s4sHH", receive(connection, size)
        )
        return (
            2,
            f"{socket.inet_ntoa(source)}:{source_port}",
            f"{socket.inet_ntoa(target)}:{target_port}",
        )
    line = begin
    while not line.endswith(b"\r\n"):
        line += receive(connection, 1)
    word, family_name, source_host, target_host, *ports = line.decode().split()
    assert (word, family_name) == ("PROXY", "TCP4")
    return 1, f"{source_host}:{ports[0]}", f"{target_host}:{ports[1]}"


def check(document: Json, app: socket.socket, version: int) -> None:
    with connect(document["listeners"][0]) as client:
        client.sendall(b"question")
        served, _ = app.accept()
        with served:
            told, source, target = header_of(served)
            assert told == version
            # The consumer's gateway connects to the producer's, here from any port of this machine.
            assert split(source)[0].startswith("127.")
            if version == 2:
                assert target == document["prod_listeners"][0]
            assert receive(served, 8) == b"question"
            served.sendall(b"answer")
            assert receive(client, 6) == b"answer"


# Protocol: proxy-protocol
@pytest.mark.parametrize("kind", KINDS)
def test_each_connection_begins_with_it(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    flags: list[object] = ["--type", kind]
    if kind in ("Haproxy", "Nginx", "Stunnel"):
        engine: Engine = request.getfixturevalue("containers")
        flags += ["--container-engine", engine.address, "--container-image", engine.image]
    with (
        Facility(tmp_path, *flags, ports=4) as prod,
        Facility(tmp_path, ports=4) as cons,
        listening() as (app, place),
    ):
        user = Client(tmp_path, prod, cons)
        for transport in ("tls",) if "Stunnel" in kind else ("tls", "tcp"):
            with user.session(
                *("--prod-app", place, "--transport", transport),
                "--proxy-protocol",
            ) as document:
                check(document, app, KINDS[kind])


def test_stunnel_refuses_it_with_a_rate(tmp_path: Path) -> None:
    with (
        Facility(tmp_path, "--type", "StunnelSubprocess", ports=4) as prod,
        Facility(tmp_path, ports=4) as cons,
    ):
        user = Client(tmp_path, prod, cons)
        flags = ("--prod-app", "127.0.0.1:7000", "--proxy-protocol", "--rate", 10)
        refused = user.s2uc("request", *user.places, *flags)
        assert refused.rc == 10, refused.err
        assert "leave the rate or the PROXY protocol out" in refused.err


# Protocol: proxy-protocol
def test_a_facility_that_does_not_know_of_it_is_an_error(tmp_path: Path) -> None:
    def listener(_: object) -> str:
        return "127.0.0.1:9"

    with Facility(tmp_path, tls=False) as ours, deployed_server(listener) as theirs:
        user = Client(tmp_path, ours, ours)
        done = user.s2uc(
            *("request", "--prod", theirs.endpoint, "--cons", ours.endpoint),
            *("--transport=tcp", "--proxy-protocol", "--prod-app", "127.0.0.1:9"),
        )
        assert done.rc == 10
        assert f"{theirs.endpoint}: this facility cannot tell applications who connects" in done.err
        assert user.leased(ours) == 0


def test_it_does_not_go_with_datagrams(pair: Pair) -> None:
    flags = ("--prod-app", "127.0.0.1:7000", "--protocol", "udp", "--proxy-protocol")
    refused = pair.user.s2uc("request", *pair.user.places, *flags)
    assert refused.rc == 2, refused.err
    assert "PROXY protocol" in refused.err


def test_python_asks_for_it(tmp_path: Path) -> None:
    with (
        listening() as (app, place),
        facilities(tmp_path) as here,
        here.client.request(
            here.prod.endpoint, here.cons.endpoint, prod_app=[place], proxy_protocol=True
        ) as session,
    ):
        (consumer,) = session.listeners
        (producer,) = session.prod_listeners
        check({"listeners": [consumer], "prod_listeners": [producer]}, app, 2)
