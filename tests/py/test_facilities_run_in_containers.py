"""Two facilities, each in a container as docs/containers.md starts one, and a user outside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from applications import (
    application,
    connect,
    digest,
    echo,
    echoes,
    payload,
    receive,
    receive_all,
)
from containers import HEALTH, ContainedFacility, Engine, contained_facility, documented_flags
from facility import Client, Command, can_bind, eventually, run
from gate import Gate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # an image may have to be built first


@dataclass
class Deployment:
    """Two facilities and a user who trusts both."""

    prod: ContainedFacility
    cons: ContainedFacility
    user: Client


@contextlib.contextmanager
def deployed(
    engine: Engine, root: Path, folder: Path, kind: str = "Native"
) -> Iterator[Deployment]:
    flags = documented_flags(root)
    with (
        contained_facility(engine, folder, flags, kind) as prod,
        contained_facility(engine, folder, flags, kind) as cons,
    ):
        yield Deployment(prod, cons, Client(folder, prod, cons))


@pytest.fixture
def deployment(containers: Engine, root: Path, tmp_path: Path) -> Iterator[Deployment]:
    with deployed(containers, root, tmp_path) as both:
        yield both


@pytest.mark.parametrize("kind", ["Native", "HaproxySubprocess"])
def test_a_file_arrives_as_it_was_served(
    containers: Engine, root: Path, tmp_path: Path, kind: str
) -> None:
    data = payload(50_000_000)
    (tmp_path / "scan.bin").write_bytes(data)
    web = ("python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "0")
    with (
        deployed(containers, root, tmp_path, kind) as both,
        Command(*web, cwd=tmp_path) as server,
    ):
        port = server.line(r"port (\d+)")[1]
        with both.user.session("--prod-app", f"127.0.0.1:{port}") as document:
            assert document["transport"] == "tls"
            url = f"http://{document['listeners'][0]}/scan.bin"
            done = run("curl", "-sSf", "--noproxy", "*", "-o", "got", url, cwd=tmp_path)
            assert done.rc == 0, done.err
            info = both.user.s2uc("info", "--s2cs", both.prod.endpoint, "--json").json
            assert info["data_server_kinds"] == [kind]
        for facility in (both.prod, both.cons):
            assert both.user.leased(facility) == 0
    assert digest((tmp_path / "got").read_bytes()) == digest(data)


def test_it_has_no_privilege_and_can_write_its_state_only(deployment: Deployment) -> None:
    facility = deployment.prod
    assert facility.exec("id", "-u").out == "10000\n"
    status = dict(
        line.split(":", 1) for line in facility.exec("cat", "/proc/1/status").out.splitlines()
    )
    assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    for folder in ("/", "/etc", "/usr/bin", "/var/log"):
        assert "Read-only" in facility.exec("touch", f"{folder}/written").err
    for folder in ("/tmp", "/var/lib/scistream"):
        assert facility.exec("touch", f"{folder}/written").rc == 0
    limits = facility.inspect()["HostConfig"]
    assert limits["Memory"] == 1 << 30
    assert limits["NanoCpus"] == 2_000_000_000
    assert limits["PidsLimit"] == 1024


def test_healthy_is_one_that_answers(deployment: Deployment) -> None:
    facility = deployment.prod
    facility.becomes("healthy")
    facility.exec("sh", "-c", "kill -STOP $(pidof s2cs)")
    assert facility.exec(HEALTH).rc != 0
    facility.exec("sh", "-c", "kill -CONT $(pidof s2cs)")
    assert facility.exec(HEALTH).rc == 0


def test_a_stop_lets_connections_end_and_leaves_nothing(deployment: Deployment) -> None:
    gate = Gate(payload(4_000_000))
    with application(gate) as app:
        document = deployment.user.request("--prod-app", app.endpoint)
        with connect(document["listeners"][0]) as connection, contextlib.ExitStack() as stopping:
            first = receive(connection, len(gate.data) // 2)
            stops = []
            for facility in (deployment.cons, deployment.prod):
                log = facility.engine.start("logs", "--follow", facility.name)
                stopping.enter_context(log)
                stops.append(stopping.enter_context(facility.engine.start("stop", facility.name)))
                log.line("stopping; waiting up to 30 s", "err")
            assert [stop.process.poll() for stop in stops] == [None, None]
            gate.opened.set()
            assert digest(first + receive_all(connection)) == digest(gate.data)
            connection.close()
            assert [stop.wait() for stop in stops] == [0, 0]
    for facility in (deployment.cons, deployment.prod):
        assert facility.state["ExitCode"] == 0
        assert not facility.state["OOMKilled"]
        assert all(can_bind(facility.host, port) for port in (facility.port, *facility.ports))
        assert not [name for name in facility.files() if name.endswith(".sock")]


def test_one_that_is_killed_finds_its_sessions(deployment: Deployment) -> None:
    user = deployment.user
    with application(echoes) as app, user.session("--prod-app", app.endpoint) as document:
        before = [(view["listeners"], view["targets"]) for view in user.sessions(document["uid"])]
        for facility in (deployment.prod, deployment.cons):
            facility.engine.docker("kill", facility.name)
            assert facility.state["ExitCode"] == 137
        for facility in (deployment.prod, deployment.cons):
            facility.start()
        views = user.sessions(document["uid"])
        assert [(view["listeners"], view["targets"]) for view in views] == before

        def echoed() -> bool:
            try:
                return echo(document["listeners"][0], b"still there?") == b"still there?"
            except (AssertionError, OSError):
                return False

        eventually(echoed, "the session goes on")
