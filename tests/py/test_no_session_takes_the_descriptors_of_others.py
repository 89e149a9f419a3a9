"""A data server with few descriptors left keeps them for those who have few connections."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from applications import Application
from callers import Caller, set_up
from facility import BIN, Command, Facility, eventually, split

MOST = 400


class Poor(Facility):
    """Its data server may open so many files and no more."""

    def try_start(self) -> Command:
        words = ("prlimit", f"--nofile={MOST}:{MOST}", BIN / "s2cs", *self.flags)
        return Command(*words, "--port", self.port, cwd=self.folder, env=self.env)


def is_served(stack: contextlib.ExitStack, listener: str) -> bool:
    """Whether one more connection gets through to the application; it stays open then."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        connection = stack.enter_context(socket.create_connection(split(listener), timeout=15))
        connection.sendall(b"?")
        return connection.recv(1) == b"?"
    return False


def flows_come_and_go(caller: Caller, target: str) -> None:
    """Many datagrams, of more senders than there are connections in this test."""
    for number in range(4):
        uid = f"datagrams-{number}"
        (listener,) = set_up(caller, uid, "PROD", [target], protocol="udp")
        with contextlib.ExitStack() as stack:
            for _ in range(60):
                sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sender.sendto(b"?", split(listener))

            def are_there() -> bool:
                (session,) = caller("status", uid=uid).sessions  # noqa: B023
                total: int = session.counters.connections_total
                return total == 60

            eventually(are_there, "all have a flow")
        caller("release", uid=uid)


# Protocol: descriptors-shared
@pytest.mark.parametrize("before", ["", "datagrams"])
def test_a_session_with_many_connections_leaves_room_for_others(
    tmp_path: Path, echo_app: Application, before: str
) -> None:
    with Poor(tmp_path) as facility, Caller(facility) as caller, contextlib.ExitStack() as stack:
        if before:
            flows_come_and_go(caller, echo_app.endpoint)
        greedy, modest, late = (
            set_up(caller, uid, "PROD", [echo_app.endpoint])[0]
            for uid in ("greedy", "modest", "late")
        )
        assert is_served(stack, modest)
        count = 0
        while is_served(stack, greedy):
            count += 1
            assert count < MOST
        assert count > 10
        assert "takes no more for now" in facility.logs()
        # Whoever has fewer is served, new ones as well.
        for listener in (modest, late, modest, late):
            assert is_served(stack, listener)
        assert not is_served(stack, greedy)
        for uid in ("greedy", "modest", "late"):
            caller("release", uid=uid)


# Protocol: descriptors-shared
def test_alone_a_session_may_have_all(tmp_path: Path, echo_app: Application) -> None:
    with Poor(tmp_path) as facility, Caller(facility) as caller:
        (listener,) = set_up(caller, "only", "PROD", [echo_app.endpoint])
        with contextlib.ExitStack() as stack:
            descriptors = Path(f"/proc/{facility.data_server}/fd")
            while len(list(descriptors.iterdir())) < MOST - 20:
                assert is_served(stack, listener)
            assert "takes no more for now" not in facility.logs()
        with contextlib.ExitStack() as stack:
            eventually(lambda: is_served(stack, listener), "it serves again")
        caller("release", uid="only")
