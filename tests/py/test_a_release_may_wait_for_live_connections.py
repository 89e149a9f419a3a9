"""`release --drain` closes the listeners and waits for what streams; another release cuts it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from applications import application, connect, digest, payload, receive, receive_all
from deployed_peer import deployed_server
from facility import Client, Facility, eventually
from gate import Gate


# Protocol: release-drain
def test_a_stream_runs_to_its_end(tmp_path: Path) -> None:
    gate = Gate(payload(4_000_000))
    with Facility(tmp_path) as facility, application(gate) as app:
        user = Client(tmp_path, facility, facility)
        document = user.request("--prod-app", app.endpoint, "--num-conn", 2)
        with connect(document["listeners"][0]) as connection:
            first = receive(connection, len(gate.data) // 2)
            with user.start("s2uc", "release", document["uid"], "--drain") as draining:
                eventually(lambda: facility.taken == [], "nobody else gets in")
                views = user.sessions(document["uid"])
                assert [view["state"] for view in views] == ["releasing", "releasing"]
                assert draining.process.poll() is None
                gate.opened.set()
                assert digest(first + receive_all(connection)) == digest(gate.data)
                connection.close()
                assert draining.wait() == 0
                assert draining.out == "Release completed\n"
        assert user.leased(facility) == 0
        assert user.s2uc("status", document["uid"], *user.places).rc == 7


# Protocol: release-drain
def test_an_interrupted_drain_goes_on_without_its_client(tmp_path: Path) -> None:
    gate = Gate(payload(1_000_000))
    with Facility(tmp_path) as facility, application(gate) as app:
        user = Client(tmp_path, facility, facility)
        document = user.request("--prod-app", app.endpoint)
        with connect(document["listeners"][0]) as connection:
            first = receive(connection, len(gate.data) // 2)
            with user.start("s2uc", "release", document["uid"], "--drain") as draining:
                eventually(lambda: facility.taken == [], "it drains")
                draining.signal(signal.SIGINT)
                assert draining.wait() == 11
                assert "another release" in draining.err
            gate.opened.set()
            assert digest(first + receive_all(connection)) == digest(gate.data)
        eventually(lambda: user.leased(facility) == 0, "it ends with its last connection")


# Protocol: release-drain-cut
def test_another_release_cuts(tmp_path: Path) -> None:
    gate = Gate(payload(1_000_000))
    with Facility(tmp_path) as facility, application(gate) as app:
        user = Client(tmp_path, facility, facility)
        document = user.request("--prod-app", app.endpoint)
        with connect(document["listeners"][0]) as connection:
            receive(connection, len(gate.data) // 2)
            with user.start("s2uc", "release", document["uid"], "--drain") as draining:
                eventually(lambda: facility.taken == [], "it drains")
                user.release(document["uid"])
                with pytest.raises(ConnectionResetError):
                    receive_all(connection)
                assert draining.wait() == 0
        gate.opened.set()


# Protocol: release-drain
def test_a_drain_goes_on_when_the_control_server_is_killed(tmp_path: Path) -> None:
    gate = Gate(payload(1_000_000))
    with Facility(tmp_path) as facility, application(gate) as app:
        user = Client(tmp_path, facility, facility)
        document = user.request("--prod-app", app.endpoint)
        with connect(document["listeners"][0]) as connection:
            first = receive(connection, len(gate.data) // 2)
            with user.start("s2uc", "release", document["uid"], "--drain") as draining:
                eventually(lambda: facility.taken == [], "it drains")
                facility.command.kill()
                facility.restart()
                eventually(
                    lambda: (
                        [view["state"] for view in user.sessions(document["uid"])]
                        == ["releasing", "releasing"]
                    ),
                    "it drains on",
                )
                assert draining.process.poll() is None
                gate.opened.set()
                assert digest(first + receive_all(connection)) == digest(gate.data)
                connection.close()
                assert draining.wait() == 0, draining.err
        eventually(lambda: user.leased(facility) == 0, "it has ended")


# Protocol: release-drain
def test_those_who_gave_up_waiting_cost_nothing(tmp_path: Path) -> None:
    gate = Gate(payload(1_000_000))
    with Facility(tmp_path) as facility, application(gate) as app:
        user = Client(tmp_path, facility, facility)
        document = user.request("--prod-app", app.endpoint)
        files = Path(f"/proc/{facility.command.pid}/fd")
        with connect(document["listeners"][0]) as connection:
            receive(connection, len(gate.data) // 2)
            for number in range(12):
                with user.start("s2uc", "release", document["uid"], "--drain") as draining:
                    eventually(lambda: facility.taken == [], "it drains")
                    draining.kill()
                if number == 1:
                    before = len(list(files.iterdir()))
            eventually(lambda: len(list(files.iterdir())) <= before + 1, "descriptors come back")
            gate.opened.set()


# Protocol: release-drain-deployed
def test_a_deployed_server_is_not_asked_to_wait(tmp_path: Path) -> None:
    """It would cut, and not say so."""
    with deployed_server(lambda targets: "127.0.0.1:9") as server:
        user = Client(tmp_path)
        flags = ("--s2cs", server.endpoint, "--ssl=False")
        done = user.s2uc("release", "some-session", "--drain", *flags)
        assert done.rc == 10, done.err
        assert "--drain" in done.err
        assert "release" not in server.rpcs
