"""`s2cs --type`: sessions whose bytes other programs move, which come and go with them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from applications import application, connect, digest, echoes, payload, receive, receive_all, sends
from conftest import Pair
from facility import BIN, LIMIT, Client, Facility, clean_environment, command_line, eventually, run

KINDS = {"HaproxySubprocess": "haproxy"}


@pytest.fixture(scope="module", params=KINDS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    flags = ("--type", request.param)
    with Facility(folder, *flags, ports=16) as prod, Facility(folder, *flags, ports=16) as cons:
        yield Pair(prod, cons, Client(folder, prod, cons))


def proxies(facility: Facility) -> list[int]:
    """The programs that the facility's data server has started, as it has written down."""
    records = (facility.state / "proxies").glob("*/identity")
    pids = [int(record.read_text().split()[0]) for record in records]
    return [pid for pid in pids if command_line(pid)]


def gone(pid: int) -> bool:
    return not command_line(pid)


# Protocol: data-unchanged, type
@pytest.mark.parametrize("transport", ["tls", "tcp"])
def test_bytes_arrive_as_they_were_sent(pair: Pair, transport: str) -> None:
    data = payload(20_000_000)
    with (
        application(sends(data)) as app,
        pair.user.session(
            "--prod-app", app.endpoint, "--transport", transport, "--num-conn", "2"
        ) as document,
    ):
        assert document["transport"] == transport
        for listener in document["listeners"]:
            # HAProxy takes a client that ends its side before it is through for one that has gone.
            with connect(listener) as connection:
                assert digest(receive_all(connection)) == digest(data)
        eventually(
            lambda: all(
                view["bytes_to_consumer"] == 2 * len(data)
                for view in pair.user.sessions(document["uid"])
            ),
            "both sides count it",
        )
    for facility in (pair.prod, pair.cons):
        assert proxies(facility) == []


def test_info_says_which_program_it_is(pair: Pair) -> None:
    done = pair.user.s2uc("info", "--s2cs", pair.prod.endpoint, "--json")
    (kind,) = done.json["data_server_kinds"]
    assert kind in KINDS
    assert done.json["data_server_version"][0].isdigit()


def test_one_that_is_killed_is_replaced(pair: Pair) -> None:
    with (
        application(echoes) as app,
        pair.user.session("--prod-app", app.endpoint) as document,
    ):
        for facility in (pair.prod, pair.cons):
            (before,) = proxies(facility)
            os.kill(before, signal.SIGKILL)
            with connect(document["listeners"][0]) as connection:
                connection.sendall(b"still there?")
                assert receive(connection, 12) == b"still there?"
            assert proxies(facility) != [before]


def test_none_outlives_a_data_server_that_is_killed(pair: Pair) -> None:
    with (
        application(echoes) as app,
        pair.user.session("--prod-app", app.endpoint) as document,
    ):
        for facility in (pair.prod, pair.cons):
            (proxy,) = proxies(facility)
            os.kill(facility.data_server, signal.SIGKILL)
            eventually(partial(gone, proxy), "it has ended too")

        # The control server starts another one, which gets the session back, and that its proxy.
        def echoed() -> bool:
            try:
                with connect(document["listeners"][0]) as connection:
                    connection.sendall(b"again")
                    return receive(connection, 5) == b"again"
            except (AssertionError, OSError):
                return False

        eventually(echoed, "the session goes on")


# Protocol: data-server-missing
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide a program")
def test_a_program_that_is_missing_is_noticed_at_the_start(tmp_path: Path) -> None:
    nothing = tmp_path / "bin"
    nothing.mkdir()
    # What is not there can be hidden only by hiding where everything is.
    done = run(
        *("unshare", "--mount", "sh", "-c"),
        'mount -t tmpfs none /usr/sbin && exec "$@"',
        *("sh", BIN / "s2cs", "--port", 0, "--listener_ip", "127.0.0.1"),
        *("--state-dir", tmp_path / "state", "--type", "haproxysubprocess"),
        env={**clean_environment(tmp_path), "PATH": "/usr/bin:/bin"},
        limit=LIMIT,
    )
    assert done.rc == 7, done.err
    assert done.out == ""
    assert "apt-get install haproxy" in done.err


def test_an_unknown_kind_lists_those_there_are(tmp_path: Path) -> None:
    done = run(BIN / "s2cs", "--type", "Varnish", env=clean_environment(tmp_path))
    assert done.rc == 2
    assert "Native, HaproxySubprocess" in done.err
