"""$NOTIFY_SOCKET and $WATCHDOG_USEC: ready, alive, stopping. Who hangs is not said to be alive."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from applications import Application
from facility import BIN, LIMIT, Client, Command, Facility, clean_environment

WATCHDOG = 0.6  # seconds


class Manager:
    """What systemd is: a socket that takes one message a datagram."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0"))
        self.told: list[str] = []  # each assignment, in order

    def environment(self, **more: str) -> dict[str, str]:
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": str(int(WATCHDOG * 1e6)), **more}

    def next(self, limit: float = LIMIT) -> list[str]:
        """The assignments of the next message; none if there is none within `limit` seconds."""
        self._socket.settimeout(limit)
        try:
            news = self._socket.recv(4096).decode().splitlines()
        except (TimeoutError, BlockingIOError):
            return []
        self.told += news
        return news

    def hears(self, pattern: str) -> str:
        """The next assignment that has this form."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            for assignment in self.next():
                if re.fullmatch(pattern, assignment):
                    return assignment
        raise AssertionError(f"no {pattern} among {self.told}")

    def falls_silent(self) -> bool:
        """Whether no ping comes for as long as the watchdog waits, but for one on its way."""
        before = self.told.count("WATCHDOG=1")
        while self.told.count("WATCHDOG=1") <= before + 1:
            if not self.next(WATCHDOG):
                return True
        return False

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def anywhere(request: pytest.FixtureRequest) -> Iterator[Manager]:
    with tempfile.TemporaryDirectory() as folder:
        abstract = request.param == "abstract"
        manager = Manager(f"@scistream-{uuid.uuid4()}" if abstract else f"{folder}/notify")
        with contextlib.closing(manager):
            yield manager


@pytest.fixture
def manager() -> Iterator[Manager]:
    with contextlib.closing(Manager(f"@scistream-{uuid.uuid4()}")) as manager:
        yield manager


def data_server(folder: Path, manager: Manager, **more: str) -> Command:
    return Command(
        *(BIN / "s2ds", "serve", "--state-dir", folder / "s2ds"),
        env=clean_environment(folder, manager.environment(**more)),
    )


def relay(folder: Path, manager: Manager) -> Command:
    return Command(
        *(BIN / "s2ds", "relay", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:9"),
        env=clean_environment(folder, manager.environment()),
    )


def test_a_control_server_says_how_it_goes(
    anywhere: Manager, tmp_path: Path, echo_app: Application
) -> None:
    settings = anywhere.environment()
    with Facility(tmp_path, "--capacity=900", "--drain=40s", env=settings) as facility:
        assert anywhere.next() == ["READY=1"]
        idle = "STATUS=0 sessions, 8 of 8 ports free, 900 of 900 Mbit/s free"
        assert anywhere.next() == ["WATCHDOG=1", idle]
        for _ in range(3):
            assert anywhere.next() == ["WATCHDOG=1"], "what has not changed is not told again"
        user = Client(tmp_path, facility, facility)
        with user.session("--prod-app", echo_app.endpoint, "--rate", 300):
            anywhere.hears("STATUS=2 sessions, 6 of 8 ports free, 300 of 900 Mbit/s free")
        anywhere.hears(re.escape(idle))
        facility.stop()
    anywhere.hears("STOPPING=1")
    assert anywhere.next(0) == []
    assert anywhere.told[-1] == "EXTEND_TIMEOUT_USEC=60000000", "longer than the drain"


def test_a_data_server_says_how_it_goes(anywhere: Manager, tmp_path: Path) -> None:
    with data_server(tmp_path, anywhere) as command:
        assert anywhere.next() == ["READY=1"]
        assert anywhere.next() == ["WATCHDOG=1", "STATUS=0 sessions, 0 connections"]
        assert anywhere.next() == ["WATCHDOG=1"]
        command.signal(signal.SIGTERM)
        anywhere.hears("STOPPING=1")
        assert command.wait() == 0


def test_a_relay_says_how_it_goes(manager: Manager, tmp_path: Path) -> None:
    with relay(tmp_path, manager) as command:
        assert manager.next() == ["READY=1"]
        assert manager.next() == ["WATCHDOG=1", "STATUS=0 connections"]
        command.signal(signal.SIGTERM)
        manager.hears("STOPPING=1")
        assert command.wait() == 0


def test_a_data_server_that_is_gone_is_in_the_status(manager: Manager, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s2ds/s2ds.sock"
    with Command(
        *(BIN / "s2ds", "serve", "--state-dir", tmp_path / "s2ds"), env=clean_environment(tmp_path)
    ) as data:
        address = data.line(r"^s2ds ready on (\S+)$")[1]
        with Facility(tmp_path, "--data-server", address, env=manager.environment()):
            manager.hears("STATUS=.* ports free")
            data.kill()
            manager.hears("STATUS=.*, no data server answers")


# ---- whom it is about --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "watched",
    [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}],
    ids=lambda watched: "=".join(*watched.items()),
)
def test_without_a_watchdog_of_its_own_it_does_not_ping(
    manager: Manager, tmp_path: Path, watched: dict[str, str]
) -> None:
    with data_server(tmp_path, manager, **watched) as command:
        manager.hears("STATUS=0 sessions, 0 connections")
        assert manager.next(WATCHDOG) == []
        command.signal(signal.SIGTERM)
        manager.hears("STOPPING=1")
        assert "WATCHDOG=1" not in manager.told


def test_the_process_that_is_watched_pings(manager: Manager, tmp_path: Path) -> None:
    with Command(
        *("sh", "-c", 'WATCHDOG_PID=$$ exec "$@"', "sh"),
        *(BIN / "s2ds", "serve", "--state-dir", tmp_path / "s2ds"),
        env=clean_environment(tmp_path, manager.environment()),
    ):
        manager.hears("WATCHDOG=1")


def test_the_data_server_that_a_control_server_starts_does_not_speak_for_it(
    manager: Manager, tmp_path: Path
) -> None:
    with Facility(tmp_path, env=manager.environment(WATCHDOG_PID="1")) as facility:
        variables = Path(f"/proc/{facility.data_server}/environ").read_bytes().split(b"\0")
        assert not [name for name in variables if name.startswith((b"NOTIFY_", b"WATCHDOG_"))]


# ---- who hangs ---------------------------------------------------------------------------------

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17  # ptrace(2)
ANY_THREAD = 0x40000000  # __WALL of waitpid(2)


def trace(request: int, thread: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def hung(pid: int, name: str) -> Iterator[None]:
    """One thread of a process stands still; the others go on."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    (thread,) = (int(t.name) for t in threads if (t / "comm").read_text() == f"{name}\n")
    try:
        trace(SEIZE, thread)
    except PermissionError:
        pytest.skip("this machine lets nobody trace its own processes")
    trace(INTERRUPT, thread)
    os.waitpid(thread, ANY_THREAD)
    try:
        yield
    finally:
        trace(DETACH, thread)


def pings_stop_while_hung(manager: Manager, pid: int, thread: str) -> None:
    manager.hears("WATCHDOG=1")
    with hung(pid, thread):
        assert manager.falls_silent()
    manager.hears("WATCHDOG=1")


def test_a_control_server_whose_sessions_stand_still_does_not_ping(
    manager: Manager, tmp_path: Path
) -> None:
    with Facility(tmp_path, env=manager.environment()) as facility:
        pings_stop_while_hung(manager, facility.command.pid, "sci-s2cs")


def test_a_data_server_whose_sessions_stand_still_does_not_ping(
    manager: Manager, tmp_path: Path
) -> None:
    with data_server(tmp_path, manager) as command:
        pings_stop_while_hung(manager, command.pid, "sci-s2ds-0")


def test_a_relay_one_of_whose_threads_stands_still_does_not_ping(
    manager: Manager, tmp_path: Path
) -> None:
    with relay(tmp_path, manager) as command:
        pings_stop_while_hung(manager, command.pid, "sci-io-0")
