"""SIGTERM drains, a second SIGINT does not, and nothing is left of either."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

import pytest

from applications import Application, application, connect, payload, receive, receive_all
from facility import Client, Facility, eventually


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_without_connections_it_stops_at_once(
    tmp_path: Path, echo_app: Application, number: signal.Signals
) -> None:
    with Facility(tmp_path) as facility:
        user = Client(tmp_path, facility, facility)
        user.request("--prod-app", echo_app.endpoint, "--num-conn", 4)
        assert len(facility.taken) == 8
        facility.stop(number, limit=5)


# Protocol: stop-drains
def test_a_waiting_request_is_told(tmp_path: Path) -> None:
    with Facility(tmp_path) as facility:
        user = Client(tmp_path, facility, facility)
        with user.waiting() as request:
            request.listening()
            facility.stop(limit=5)
            assert request.wait() == 5, request.err


# Protocol: stop-drains
def test_a_live_connection_is_waited_for(tmp_path: Path) -> None:
    data = payload(20_000_000)
    go = threading.Event()

    def sends_later(connection: socket.socket) -> None:
        connection.sendall(data[:1000])
        assert go.wait(30)
        connection.sendall(data[1000:])
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)

    with Facility(tmp_path, "--drain", "30s") as facility, application(sends_later) as app:
        user = Client(tmp_path, facility, facility)
        document = user.request("--prod-app", app.endpoint, "--num-conn", 2)
        with connect(document["listeners"][0]) as connection:
            got = receive(connection, 1000)
            facility.command.signal(signal.SIGTERM)
            facility.command.line("stopping", "err")
            eventually(lambda: facility.taken == [], "no listener takes another connection")
            assert facility.command.process.poll() is None
            go.set()
            got += receive_all(connection)
            assert facility.command.process.poll() is None, "this side has not ended yet"
        assert got == data
        assert facility.command.wait(10) == 0
        assert app.errors == []
        facility.check_gone()


# Protocol: stop-cuts
def test_what_outlasts_the_drain_is_cut(tmp_path: Path, echo_app: Application) -> None:
    with Facility(tmp_path, "--drain", "300ms") as facility:
        user = Client(tmp_path, facility, facility)
        document = user.request("--prod-app", echo_app.endpoint)
        with connect(document["listeners"][0]) as connection:
            connection.sendall(b"ping")
            assert receive(connection, 4) == b"ping"
            facility.stop(limit=10)
            with pytest.raises(ConnectionResetError):
                connection.recv(1)


# Protocol: stop-cuts
def test_the_second_interrupt_does_not_wait(tmp_path: Path, echo_app: Application) -> None:
    with Facility(tmp_path, "--drain", "1h") as facility:
        user = Client(tmp_path, facility, facility)
        document = user.request("--prod-app", echo_app.endpoint)
        with connect(document["listeners"][0]) as connection:
            connection.sendall(b"ping")
            assert receive(connection, 4) == b"ping"
            facility.command.signal(signal.SIGINT)
            facility.command.line("stopping", "err")
            assert facility.command.process.poll() is None
            facility.command.signal(signal.SIGINT)
            assert facility.command.wait(5) == 0
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        facility.check_gone()


def test_a_stopped_server_can_be_started_again_on_its_ports(
    tmp_path: Path, echo_app: Application
) -> None:
    with Facility(tmp_path) as facility:
        user = Client(tmp_path, facility, facility)
        for _ in range(2):
            user.request("--prod-app", echo_app.endpoint, "--num-conn", 4)
            facility.stop()
            facility.restart()
