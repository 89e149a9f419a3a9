"""Control and data are separate processes with separate fates."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from applications import (
    Application,
    application,
    connect,
    digest,
    echo,
    echoes,
    fetch,
    payload,
    receive,
    receive_all,
)
from facility import (
    BIN,
    Client,
    Command,
    Facility,
    can_bind,
    clean_environment,
    command_line,
    data_servers,
    eventually,
    own_address,
    split,
)
from gate import Gate


@pytest.fixture
def short(tmp_path: Path) -> Iterator[Facility]:
    """A facility, both sides of a session in one, whose data server outlives it by a second."""
    facility = Facility(tmp_path, "--orphan-grace", "1s")
    try:
        yield facility
    finally:
        facility.kill()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not command_line(pid), f"process {pid} is gone")


# Protocol: streams-outlive-control, orphan-waits
def test_a_stream_runs_to_its_end_without_the_control_server(
    short: Facility, tmp_path: Path
) -> None:
    gate = Gate(payload(30_000_000))
    user = Client(tmp_path, short, short)
    with application(gate) as app:
        document = user.request("--prod-app", app.endpoint)
        with connect(document["listeners"][0]) as connection:
            first = receive(connection, len(gate.data) // 2)
            data_server = short.data_server
            short.command.kill()
            gate.opened.set()
            rest = receive_all(connection)
            assert command_line(data_server), "it waits for its last connection"
        assert digest(first + rest) == digest(gate.data)
        assert app.errors == []
    eventually(lambda: not command_line(data_server), "the data server ends after its grace")
    short.check_gone()


# Protocol: orphan-end
def test_without_connections_the_data_server_ends_after_the_grace(short: Facility) -> None:
    data_server = short.data_server
    short.command.kill()
    assert command_line(data_server)
    eventually(lambda: not command_line(data_server), "the data server ends after its grace")
    short.check_gone()


# Protocol: orphan-waits
def test_a_live_stream_is_waited_for_longer_than_the_grace(short: Facility, tmp_path: Path) -> None:
    gate = Gate(payload(1_000_000))
    user = Client(tmp_path, short, short)
    with application(gate) as app:
        document = user.request("--prod-app", app.endpoint)
        with connect(document["listeners"][0]) as connection:
            first = receive(connection, len(gate.data) // 2)
            data_server = short.data_server
            short.command.kill()
            # Nothing announces that nothing happens: outlast the grace once.
            assert not threading.Event().wait(2.5)
            assert command_line(data_server)
            gate.opened.set()
            assert digest(first + receive_all(connection)) == digest(gate.data)
    eventually(lambda: not command_line(data_server), "the data server ends after its grace")


def restart_after_a_kill(facility: Facility) -> None:
    facility.command.kill()
    facility.restart()


# Protocol: released-ids-kept, data-server-started, control-restart
def test_a_restarted_control_server_finds_every_session_lease_and_counter(
    short: Facility, tmp_path: Path
) -> None:
    """Nothing of what streams meanwhile is lost, and it all can be released as ever."""
    gate = Gate(payload(1_000_000))
    half = len(gate.data) // 2
    user = Client(tmp_path, short, short)
    with application(gate) as app:
        document = user.request("--prod-app", app.endpoint, "--num-conn", 2, "--label", "job=42")
        listener = document["listeners"][0]
        with connect(listener) as connection:
            first = receive(connection, half)
            data_server = short.data_server
            restart_after_a_kill(short)
            assert short.data_server == data_server
            views = user.sessions(document["uid"])
            assert [view["role"] for view in views] == ["PROD", "CONS"]
            for view in views:
                assert (view["state"], view["phase"]) == ("idle", "ready")
                assert (view["num_conn"], view["labels"]) == (2, {"job": "42"})
                assert view["bytes_to_consumer"] == half
                assert view["connections_active"] == 1
            assert user.leased(short) == 4
            gate.opened.set()
            assert digest(first + receive_all(connection)) == digest(gate.data)
        assert app.errors == []
        assert digest(fetch(listener)) == digest(gate.data), "and it takes new connections"
        user.release(document["uid"])
        assert short.taken == []
        assert user.leased(short) == 0
        assert user.s2uc("release", document["uid"], "--s2cs", short.endpoint).rc == 0
        restart_after_a_kill(short)
        again = user.s2uc("release", document["uid"], "--s2cs", short.endpoint)
        assert again.rc == 0, "the released id is remembered"


# Protocol: both-killed
def test_both_servers_killed_sessions_come_back(short: Facility, tmp_path: Path) -> None:
    user = Client(tmp_path, short, short)
    with application(echoes) as app:
        document = user.request("--prod-app", app.endpoint, "--num-conn", 3)
        before = short.taken
        short.kill()
        short.restart()
        eventually(lambda: short.taken == before, "the same ports")

        def streams() -> bool:
            try:
                return all(echo(listener) == b"ping" for listener in document["listeners"])
            except OSError:
                return False  # bound again, and its target not yet set

        eventually(streams, "every listener works")
        user.release(document["uid"])
    short.stop()


# Protocol: waiting-request-goes-on
def test_a_request_that_waits_is_completed_by_the_next_control_server(
    tmp_path: Path, echo_app: Application
) -> None:
    with Facility(tmp_path) as prod, Facility(tmp_path, "--orphan-grace", "1s") as cons:
        user = Client(tmp_path, prod, cons)
        with user.waiting() as request:
            request.listening()
            restart_after_a_kill(cons)
            for role, facility, flags in (
                ("PROD", prod, ["--listen", echo_app.endpoint]),
                ("CONS", cons, []),
            ):
                key = request.prod_key if role == "PROD" else request.cons_key
                done = user.appctrl(
                    *("hello", request.uid, facility.endpoint, "--role", role, *flags),
                    *("--key-file", key),
                )
                assert done.rc == 0, done.err
            assert request.wait() == 0, request.err
            assert echo(json.loads(request.out)["listeners"][0]) == b"ping"
            user.release(request.uid)


# Protocol: waiting-request-goes-on
def test_a_request_that_waits_outlives_any_number_of_restarts(
    tmp_path: Path, echo_app: Application
) -> None:
    with Facility(tmp_path) as prod, Facility(tmp_path, "--orphan-grace", "1s") as cons:
        user = Client(tmp_path, prod, cons)
        with user.waiting() as request:
            for _ in range(2):
                request.listening()
                # Longer than what belongs to one outage.
                assert not threading.Event().wait(6)
                restart_after_a_kill(cons)
            request.listening()
            assert request.process.poll() is None, request.err
            request.signal(signal.SIGINT)
            assert request.wait() == 11


def test_an_interrupt_while_a_server_comes_back_is_an_orderly_end(tmp_path: Path) -> None:
    with Facility(tmp_path) as prod, Facility(tmp_path, "--orphan-grace", "1s") as cons:
        user = Client(tmp_path, prod, cons)
        for _ in range(5):
            with user.waiting() as request:
                request.listening()
                restart_after_a_kill(cons)
                request.signal(signal.SIGINT)
                assert request.wait() == 11, request.err


def test_a_controller_that_waits_outlives_a_restart(tmp_path: Path, echo_app: Application) -> None:
    with Facility(tmp_path) as prod, Facility(tmp_path, "--orphan-grace", "1s") as cons:
        user = Client(tmp_path, prod, cons)
        with user.waiting() as request:
            request.listening()
            run = ["run", request.uid, cons.endpoint, "--role", "CONS"]
            with user.start(
                "appctrl",
                *(*run, "--key-file", request.cons_key),
                *("--", "echo", "connects to", "{listener}"),
            ) as waiting:
                words = ("status", request.uid, "--s2cs", cons.endpoint)
                eventually(lambda: "waits for targets" in user.s2uc(*words).out, "its hello came")
                restart_after_a_kill(cons)
                done = user.appctrl(
                    *("hello", request.uid, prod.endpoint, "--role", "PROD"),
                    *("--listen", echo_app.endpoint, "--key-file", request.prod_key),
                )
                assert done.rc == 0, done.err
                assert request.wait() == 0, request.err
                assert waiting.wait() == 0, waiting.err
                assert waiting.out.startswith("connects to 127.")
            user.release(request.uid)


def test_a_full_data_server_lets_its_next_control_server_in(
    tmp_path: Path, echo_app: Application
) -> None:
    """Its connections have taken every descriptor, and one is kept back for this."""
    with Facility(tmp_path) as prod, Facility(tmp_path, "--orphan-grace", "1s") as cons:
        user = Client(tmp_path, prod, cons)
        document = user.request("--prod-app", echo_app.endpoint)
        pid = cons.data_server
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (128, 128))
        with contextlib.ExitStack() as crowd:
            place = split(document["listeners"][0])
            for _ in range(150):
                crowd.enter_context(socket.create_connection(place, timeout=15))
            descriptors = Path(f"/proc/{pid}/fd")
            eventually(lambda: len(list(descriptors.iterdir())) >= 127, "it has no more")
            restart_after_a_kill(cons)
            assert cons.data_server == pid
            assert user.sessions(document["uid"])[1]["phase"] == "ready"
        user.release(document["uid"])


# Protocol: strangers-end
def test_a_damaged_store_is_put_aside_and_streams_run_on(short: Facility, tmp_path: Path) -> None:
    gate = Gate(payload(1_000_000))
    user = Client(tmp_path, short, short)
    with application(gate) as app:
        document = user.request("--prod-app", app.endpoint)
        with connect(document["listeners"][0]) as connection:
            first = receive(connection, len(gate.data) // 2)
            short.command.kill()
            (short.state / "sessions.db").write_bytes(b"no database " * 1000)
            (short.state / "sessions.db-wal").unlink()
            short.restart()
            assert "sessions.db" in short.command.err
            assert "is kept as" in short.command.err
            assert len(list(short.state.glob("sessions.db.damaged-*"))) >= 1
            assert user.s2uc("status", document["uid"]).rc == 7
            gate.opened.set()
            assert digest(first + receive_all(connection)) == digest(gate.data)
    eventually(lambda: short.taken == [], "what nobody knows any more ends with its streams")


# Protocol: kill-is-reset, data-server-replaced
def test_a_killed_data_server_is_replaced_and_its_sessions_restored(
    tmp_path: Path, echo_app: Application
) -> None:
    with Facility(tmp_path) as prod, Facility(tmp_path) as cons:
        user = Client(tmp_path, prod, cons)
        with user.session("--prod-app", echo_app.endpoint, "--num-conn", 3) as document:
            before = (prod.taken, cons.taken)
            for facility in (prod, cons):
                with connect(document["listeners"][1]) as connection:
                    connection.sendall(b"ping")
                    assert receive(connection, 4) == b"ping"
                    old = facility.data_server
                    kill(old)
                    with pytest.raises(ConnectionResetError):
                        connection.recv(1)
                eventually(
                    lambda f=facility, o=old: data_servers(f.state) not in ([], [o]),  # type: ignore[misc]
                    "another data server",
                    5,
                )
                eventually(lambda: (prod.taken, cons.taken) == before, "the same ports", 5)

                def streams() -> bool:
                    try:
                        return echo(document["listeners"][2]) == b"ping"
                    except OSError:
                        return False  # bound again, and its target not yet set

                eventually(streams, "a new connection works", 5)
            assert user.s2uc("status", document["uid"]).rc == 0
        assert (prod.taken, cons.taken) == ([], [])


# Protocol: data-server-replaced
def test_a_data_server_that_dies_again_and_again_is_replaced(
    tmp_path: Path, echo_app: Application
) -> None:
    with Facility(tmp_path) as facility:
        user = Client(tmp_path, facility, facility)
        with user.session("--prod-app", echo_app.endpoint) as document:
            for _ in range(3):
                old = facility.data_server
                kill(old)
                eventually(
                    lambda o=old: data_servers(facility.state) not in ([], [o]),  # type: ignore[misc]
                    "another data server",
                )
                eventually(lambda: len(facility.taken) == 2, "the listeners are back")
            eventually(
                lambda: all(s["phase"] == "ready" for s in user.sessions(document["uid"])),
                "the session is ready",
            )
            assert echo(document["listeners"][0]) == b"ping"


@contextlib.contextmanager
def stolen(facility: Facility, place: tuple[str, int]) -> Iterator[None]:
    """The data server dies, and somebody takes one of its ports before the next one can."""
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Both processes stand still, so that nobody is faster.
        facility.command.signal(signal.SIGSTOP)
        kill(facility.data_server)
        eventually(lambda: can_bind(*place), "its sockets are gone as well")
        thief.bind(place)
        thief.listen()
        facility.command.signal(signal.SIGCONT)
        yield


# Protocol: restore-limit
def test_ports_that_stay_lost_end_the_session(tmp_path: Path, echo_app: Application) -> None:
    """Restoring is tried for 5 s; then the session ends in error and gives everything back."""
    with Facility(tmp_path) as prod, Facility(tmp_path) as cons:
        user = Client(tmp_path, prod, cons)
        document = user.request("--prod-app", echo_app.endpoint, "--num-conn", 3)
        place = split(document["prod_listeners"][0])
        with user.start("s2uc", "watch", document["uid"], "--json") as watch:
            watch.line('"role":"PROD"')
            with stolen(prod, place):
                gone = watch.line('"event":"gone".*"role":"PROD"')
                assert str(place[1]) in gone.string
                assert prod.taken == [place[1]], "the others come back"
                assert user.leased(prod) == 0
                assert user.leased(cons) == 3, "the other facility is not concerned"
            user.release(document["uid"])


# Protocol: restore-limit
def test_a_port_that_is_lost_for_a_moment_is_waited_for(
    tmp_path: Path, echo_app: Application
) -> None:
    with Facility(tmp_path) as prod, Facility(tmp_path) as cons:
        user = Client(tmp_path, prod, cons)
        with user.session("--prod-app", echo_app.endpoint) as document:
            before = prod.data_server
            with stolen(prod, split(document["prod_listeners"][0])):
                eventually(
                    lambda: data_servers(prod.state) not in ([], [before]), "another data server"
                )
                eventually(lambda: prod.command.err.count("data server started") == 2, "its log")
                assert not threading.Event().wait(0.5)  # time in which to try, and to fail
            eventually(lambda: len(prod.taken) == 1, "the port is taken back", 5)
            assert echo(document["listeners"][0]) == b"ping"


# Protocol: data-server-started, data-server-ends
def test_stopping_ends_what_an_earlier_control_server_started(tmp_path: Path) -> None:
    with Facility(tmp_path, "--orphan-grace", "1h") as facility:
        data_server = facility.data_server
        restart_after_a_kill(facility)
        assert facility.data_server == data_server
        facility.stop()
        assert not command_line(data_server)


# Protocol: data-server-ends
def test_stopping_leaves_alone_what_somebody_else_started(tmp_path: Path) -> None:
    """A data server that was there before is used, whatever the folder tells of a process."""
    with Facility(tmp_path) as facility:
        facility.stop()
        start = [BIN / "s2ds", "serve", "--state-dir", facility.state]
        with Command(*start, env=facility.env) as other:
            other.line("^s2ds ready")
            # Of its number, but of another time.
            (facility.state / "s2ds.pid").write_text(f"{other.pid} 1 some-boot")
            facility.restart()
            assert facility.data_server == other.pid
            facility.command.signal(signal.SIGTERM)
            assert facility.command.wait() == 0
            assert command_line(other.pid)
            other.signal(signal.SIGTERM)
            assert other.wait() == 0
        facility.check_gone()


def test_servers_on_free_ports_clear_away_what_killed_ones_left(tmp_path: Path) -> None:
    """Nobody can start those again; one that lives keeps its folder, however old."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    env = clean_environment(tmp_path, {"TMPDIR": str(temporary)})
    long_ago = (1e9, 1e9)

    def start() -> tuple[Command, Path]:
        before = set(temporary.iterdir())
        command = Command(BIN / "s2cs", "--port", 0, "--listener_ip", own_address(), env=env)
        command.line("^s2cs ready")
        (made,) = set(temporary.iterdir()) - before
        return command, made

    killed, abandoned = start()
    living, kept = start()
    with killed, living:
        killed.kill()
        (data_server,) = data_servers(abandoned)
        kill(data_server)
        (foreign := temporary / "s2cs-notes").mkdir()
        for folder in (abandoned, kept, foreign):
            os.utime(folder, long_ago)
        third, own = start()
        with third:
            assert set(temporary.iterdir()) == {kept, own, foreign}
            for command in (living, third):
                command.signal(signal.SIGTERM)
                assert command.wait() == 0
        assert set(temporary.iterdir()) == {foreign}
