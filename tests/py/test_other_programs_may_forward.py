"""`s2cs --type`: sessions whose bytes other programs move, which come and go with them."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from applications import application, connect, digest, echoes, payload, receive, receive_all, sends
from conftest import Pair
from containers import Engine
from datagrams import ask, socket_at
from facility import (
    BIN,
    LIMIT,
    Client,
    Command,
    Done,
    Facility,
    clean_environment,
    command_line,
    eventually,
    free_port,
    run,
    split,
)

# What each does between the facilities.
PROCESSES = {
    "HaproxySubprocess": ("tls", "tcp"),
    "NginxSubprocess": ("tls", "tcp"),
    "StunnelSubprocess": ("tls",),
}
CONTAINERS = {"Haproxy": ("tls", "tcp"), "Nginx": ("tls", "tcp"), "Stunnel": ("tls",)}
KINDS = {**PROCESSES, **CONTAINERS}
PACKAGES = {
    "HaproxySubprocess": "haproxy",
    "NginxSubprocess": "nginx",
    "StunnelSubprocess": "stunnel4",
}


@pytest.fixture(scope="module", params=KINDS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    flags = ["--type", request.param]
    if request.param in CONTAINERS:
        engine: Engine = request.getfixturevalue("containers")
        flags += ["--container-engine", engine.address, "--container-image", engine.image]
    with Facility(folder, *flags, ports=16) as prod, Facility(folder, *flags, ports=16) as cons:
        yield Pair(prod, cons, Client(folder, prod, cons))


@pytest.fixture
def transports(request: pytest.FixtureRequest, pair: Pair) -> tuple[str, ...]:
    return KINDS[request.node.callspec.params["pair"]]


def proxies(facility: Facility) -> list[int]:
    """The programs that the facility's data server has started, as it has written down."""
    records = (facility.state / "proxies").glob("*/identity")
    pids = [int(record.read_text().split()[0]) for record in records]
    return [pid for pid in pids if command_line(pid)]


def echoed(listener: str) -> bool:
    try:
        with connect(listener) as connection:
            connection.sendall(b"still there?")
            return receive(connection, 12) == b"still there?"
    except (AssertionError, OSError):
        return False


def gone(pid: int) -> bool:
    return not command_line(pid)


# Protocol: data-unchanged, type
def test_bytes_arrive_as_they_were_sent(pair: Pair, transports: tuple[str, ...]) -> None:
    data = payload(20_000_000)
    for transport in transports:
        with (
            application(sends(data)) as app,
            pair.user.session(
                "--prod-app", app.endpoint, "--transport", transport, "--num-conn", "2"
            ) as document,
        ):
            assert document["transport"] == transport
            for listener in document["listeners"]:
                # HAProxy takes a client that ends its side before it is through for one that has
                # gone.
                with connect(listener) as connection:
                    assert digest(receive_all(connection)) == digest(data)
            both = partial(count_on_both_sides, pair.user, document["uid"], 2 * len(data))
            eventually(both, "both sides count it")
        for facility in (pair.prod, pair.cons):
            assert proxies(facility) == []


def count_on_both_sides(user: Client, uid: str, wanted: int) -> bool:
    return all(view["bytes_to_consumer"] == wanted for view in user.sessions(uid))


@pytest.mark.parametrize("direction", [(), ("--reverse",)], ids=["to producer", "to consumer"])
def test_iperf3_runs_through_them(pair: Pair, direction: tuple[str, ...]) -> None:
    port = free_port()
    with (
        Command("iperf3", "--server", "--one-off", "--port", port, "--forceflush") as server,
        pair.user.session("--prod-app", f"127.0.0.1:{port}") as document,
    ):
        server.line("Server listening")
        host, gateway = split(document["listeners"][0])
        words = ("--port", gateway, "--bytes", "40M", "--parallel", 4, "--json", *direction)
        done = run("iperf3", "--client", host, *words, limit=LIMIT)
        assert done.rc == 0, done.out
        assert done.json["end"]["sum_sent"]["bytes"] >= 40_000_000
        assert done.json["end"]["sum_received"]["bytes"] > 0


# Protocol: datagrams-whole
def test_nginx_forwards_datagrams(pair: Pair, transports: tuple[str, ...]) -> None:
    if not {"Nginx", "NginxSubprocess"} & set(pair.prod.command.words):
        flags = ("--prod-app", "127.0.0.1:7000", "--protocol", "udp")
        refused = pair.user.s2uc("request", *pair.user.places, *flags)
        assert refused.rc == 2
        assert "forwards no datagrams" in refused.err
        return
    for transport in transports:
        with (
            application(echoes) as app,
            socket_at("127.0.0.1", split(app.endpoint)[1]) as datagrams,
            socket_at() as client,
            pair.user.session(
                *("--prod-app", app.endpoint, "--protocol", "udp", "--transport", transport)
            ) as document,
        ):
            (listener,) = document["listeners"]
            for size in (1, 1_400, 8_000, 65_507):
                ask(client, listener, datagrams, payload(size))
            with connect(listener) as connection:
                connection.sendall(b"over a connection")
                assert receive(connection, 17) == b"over a connection"


def test_info_says_which_program_it_is(pair: Pair) -> None:
    done = pair.user.s2uc("info", "--s2cs", pair.prod.endpoint, "--json")
    (kind,) = done.json["data_server_kinds"]
    assert kind in KINDS
    assert done.json["data_server_version"][0].isdigit()


# Protocol: proxy-restart
def test_one_that_is_killed_is_replaced(pair: Pair) -> None:
    with (
        application(echoes) as app,
        pair.user.session("--prod-app", app.endpoint) as document,
        pair.user.start("s2uc", "watch", document["uid"], "--json", *pair.user.places) as watch,
    ):
        watch.line('"counters"|"state"')
        for facility in (pair.prod, pair.cons):
            (before,) = proxies(facility)
            os.kill(before, signal.SIGKILL)
            # Of nginx, a worker that is about to go may take one more.
            eventually(partial(echoed, document["listeners"][0]), "the next one serves")
            assert proxies(facility) != [before]
        watch.line("ended by signal 9")
        watch.line("serves again")
        # What was killed of a container is what stands for it: it serves for a moment still.
        eventually(partial(both_serve_again, pair.user, document["uid"]), "both say so")


def both_serve_again(user: Client, uid: str) -> bool:
    return all("serves again" in view["note"] for view in user.sessions(uid))


# Protocol: proxy-restart
def test_a_container_that_dies_is_replaced(tmp_path: Path, containers: Engine) -> None:
    flags = ("--container-engine", containers.address, "--container-image", containers.image)

    def running() -> list[str]:
        mine = f"label=org.scistream.facility={facility.state / 'proxies'}"
        return containers.docker("ps", "--quiet", "--no-trunc", "--filter", mine).split()

    with (
        Facility(tmp_path, "--type", "Haproxy", *flags, ports=4) as facility,
        application(echoes) as app,
    ):
        user = Client(tmp_path, facility, facility)
        with user.session("--prod-app", app.endpoint, "--transport", "tcp") as document:
            for kill in (containers_are_killed, their_programs_are_killed):
                before = running()
                assert len(before) == 2
                with user.start("s2uc", "watch", document["uid"], "--json", *user.places) as watch:
                    watch.line('"counters"|"state"')
                    kill(containers, before)
                    for _ in before:
                        watch.line("ended with 137")
                    for _ in before:
                        watch.line("serves again")
                eventually(partial(echoed, document["listeners"][0]), "the next ones serve")
                # Those that were there are gone, the next ones there.
                eventually(partial(are_others, running, before), "one each")


def are_others(running: Callable[[], list[str]], before: list[str]) -> bool:
    now = running()
    return len(now) == len(before) and not set(now) & set(before)


def containers_are_killed(engine: Engine, which: list[str]) -> None:
    engine.docker("kill", *which)


def their_programs_are_killed(engine: Engine, which: list[str]) -> None:
    for each in which:
        engine.docker("exec", each, "sh", "-c", "kill -KILL $(pidof haproxy)")


def test_hosts_that_vanish_are_noticed(pair: Pair, transports: tuple[str, ...]) -> None:
    """The kernel probes each connection of theirs that is quiet."""
    with (
        application(echoes) as app,
        pair.user.session("--prod-app", app.endpoint, "--transport", transports[-1]) as document,
        connect(document["listeners"][0]) as connection,
    ):
        connection.sendall(b"there?")
        assert receive(connection, 6) == b"there?"
        # Once the last byte has been acknowledged, of which there is a timer, too.
        eventually(every_side_is_probed, "probes towards each side, at both facilities")


def every_side_is_probed() -> bool:
    done = run("ss", "--tcp", "--numeric", "--options", "--processes", "--no-header")
    theirs = [
        line
        for line in done.out.splitlines()
        if re.search(r'users:\(\("(haproxy|nginx|stunnel)', line) and line.startswith("ESTAB")
    ]
    return len(theirs) == 4 and all("timer:(keepalive," in line for line in theirs)


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
        eventually(partial(echoed, document["listeners"][0]), "the session goes on")


# Protocol: data-server-missing
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can hide a program")
@pytest.mark.parametrize("kind", PROCESSES)
def test_a_program_that_is_missing_is_noticed_at_the_start(tmp_path: Path, kind: str) -> None:
    nothing = tmp_path / "bin"
    nothing.mkdir()
    # Hidden from this one start: what is there and cannot be run is not there.
    done = run(
        *("unshare", "--mount", "sh", "-c"),
        "for name in haproxy nginx stunnel; do"
        ' program=$(command -v "$name") && mount --bind /dev/null "$program"; done; exec "$@"',
        *("sh", BIN / "s2cs", "--port", 0, "--listener_ip", "127.0.0.1"),
        *("--state-dir", tmp_path / "state", "--type", kind.lower()),
        env={**clean_environment(tmp_path), "PATH": "/usr/sbin:/usr/bin:/bin"},
        limit=LIMIT,
    )
    assert done.rc == 7, done.err
    assert done.out == ""
    assert f"apt-get install {PACKAGES[kind]}" in done.err


def test_an_unknown_kind_lists_those_there_are(tmp_path: Path) -> None:
    done = run(BIN / "s2cs", "--type", "Varnish", env=clean_environment(tmp_path))
    assert done.rc == 2
    assert ", ".join(["Native", *KINDS]) in done.err


# Protocol: data-server-missing
def test_an_engine_or_an_image_that_is_missing_is_noticed_at_the_start(
    tmp_path: Path, containers: Engine
) -> None:
    def refused(*flags: object) -> Done:
        words = ("--port", 0, "--listener_ip", "127.0.0.1", "--state-dir", tmp_path / "state")
        return run(
            *(BIN / "s2cs", *words, "--type", "Haproxy", *flags),
            env=clean_environment(tmp_path),
            limit=LIMIT,
        )

    engine = ("--container-engine", containers.address)
    done = refused(*engine, "--container-image", "no-such-image:1")
    assert (done.rc, done.out) == (7, "")
    assert "no-such-image:1" in done.err
    assert "--container-image" in done.err
    # One that has no HAProxy.
    done = refused(*engine, "--container-image", "debian:bookworm-slim")
    assert (done.rc, done.out) == (7, "")
    assert "has no /usr/sbin/haproxy" in done.err
    done = refused(*engine, "--container-image", "not an image")
    assert (done.rc, done.out) == (2, "")
    assert "--container-image 'not an image'" in done.err
    done = refused(*engine, "--container-cpus", "0.001")
    assert (done.rc, done.out) == (2, "")
    done = refused("--container-engine", f"unix://{tmp_path}/nobody.sock")
    assert (done.rc, done.out) == (5, "")
    assert "docker.io" in done.err
    done = refused("--container-engine", "tcp://192.0.2.1:2375")
    assert (done.rc, done.out) == (2, "")
    assert "unix:///PATH" in done.err


def test_containers_have_no_more_than_they_need(tmp_path: Path, containers: Engine) -> None:
    flags = ("--container-engine", containers.address, "--container-image", containers.image)
    limits = ("--container-memory", 64, "--container-cpus", 0.5)
    with (
        Facility(tmp_path, "--type", "Nginx", *flags, *limits, ports=4) as facility,
        application(echoes) as app,
    ):
        user = Client(tmp_path, facility, facility)
        with user.session("--prod-app", app.endpoint) as document:
            mine = f"label=org.scistream.facility={facility.state / 'proxies'}"
            names = containers.docker("ps", "--format", "{{.Names}}", "--filter", mine).split()
            assert len(names) == 2
            assert len(set(names)) == 2
            for container in json.loads(containers.docker("inspect", *names)):
                labels = container["Config"]["Labels"]
                assert labels["org.scistream.session"] == document["uid"]
                assert labels["org.scistream.role"] in ("PROD", "CONS")
                host = container["HostConfig"]
                assert host["NetworkMode"] == "host"
                assert host["ReadonlyRootfs"] is True
                assert host["CapDrop"] == ["ALL"]
                assert host["SecurityOpt"] == ["no-new-privileges"]
                assert host["Memory"] == 64 << 20
                assert host["NanoCpus"] == 500_000_000
                assert [mount["Source"] for mount in container["Mounts"]] == [
                    container["Config"]["WorkingDir"]
                ]
                assert not any("key" in entry.lower() for entry in container["Config"]["Env"])
            # Their engine has what they said.
            assert "start worker process" in containers.docker("logs", names[0])
        eventually(
            lambda: not containers.docker("ps", "--all", "--quiet", "--filter", mine),
            "their containers go with the session",
        )


def test_the_id_of_a_compatible_session_is_its_key_and_no_engine_is_told(
    tmp_path: Path, containers: Engine
) -> None:
    flags = ("--container-engine", containers.address, "--container-image", containers.image)
    with (
        Facility(tmp_path, "--type", "Stunnel", "--compat-stunnel", *flags, ports=4) as facility,
        application(echoes) as app,
    ):
        user = Client(tmp_path, facility, facility)
        with user.session("--prod-app", app.endpoint, "--transport", "tcp") as document:
            eventually(partial(echoed, document["listeners"][0]), "it streams")
            mine = f"label=org.scistream.facility={facility.state / 'proxies'}"
            names = containers.docker("ps", "--format", "{{.Names}}", "--filter", mine).split()
            assert len(names) == 2
            told = containers.docker("inspect", *names)
            assert document["uid"] not in told
            assert document["uid"].replace("-", "") not in told


def test_containers_of_a_data_server_that_was_killed_are_removed_and_no_others(
    tmp_path: Path, containers: Engine
) -> None:
    flags = ("--container-engine", containers.address, "--container-image", containers.image)
    mine = f"org.scistream.facility={tmp_path / 'state' / 'proxies'}"
    sleeper = ("run", "--detach", "--network", "none", "--entrypoint", "sleep")
    left = containers.docker(*sleeper, "--label", mine, containers.image, "1000").strip()
    other = containers.docker(
        *sleeper, "--label", f"{mine}-of-another", containers.image, "1000"
    ).strip()
    try:
        with Command(
            *(BIN / "s2cs", "--port", 0, "--listener_ip", "127.0.0.1", "--type", "Stunnel"),
            *("--state-dir", tmp_path / "state", *flags),
            env=clean_environment(tmp_path),
        ) as server:
            server.line("s2cs ready")
            there = containers.docker("ps", "--quiet", "--no-trunc").split()
            assert left not in there
            assert other in there
            server.process.terminate()
            server.wait()
    finally:
        containers.docker("rm", "--force", left, other)
