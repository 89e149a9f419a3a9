"""A facility on this machine: a control server with its data server, a certificate and ports."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import wire
from stage import Failed, Program, Stage

COMMANDS = Path(sys.executable).parent  # where `./dev build` installs them
PORTS = 16  # of a facility's range
FIRST_PORT, LAST_PORT = 20000, 32000  # below those that connections go out from
STOP_LIMIT = 20.0  # seconds


def command(name: str) -> Path:
    """One of the four commands."""
    path = COMMANDS / name
    if not path.exists():
        raise Failed(f"{path} is not there: run ./dev build first")
    return path


def listening(protocol: str = "tcp") -> set[tuple[str, int]]:
    """Every IPv4 address and port that something in this machine listens on; `tcp` or `udp`."""
    found = set()
    waits = "0A" if protocol == "tcp" else "07"  # LISTEN, not connected
    for line in Path(f"/proc/net/{protocol}").read_text("ascii").splitlines()[1:]:
        local, _, state = line.split()[1:4]
        if state == waits:
            host, port = local.split(":")
            octets = bytes.fromhex(host)[::-1]  # in the order of a little-endian machine
            found.add((".".join(map(str, octets)), int(port, 16)))
    return found


def free_range(taken: Iterable[range] = (), size: int = PORTS) -> range:
    """Ports that nothing listens on and that are in no range already taken."""
    used = {port for _, port in listening()}.union(*taken)
    starts = list(range(FIRST_PORT, LAST_PORT - size, PORTS))
    random.shuffle(starts)  # two demonstrations at once should not meet
    for start in starts:
        if used.isdisjoint(range(start, start + size)):
            return range(start, start + size)
    raise Failed(f"no {size} free ports in a row from {FIRST_PORT} to {LAST_PORT}")


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


class Facility:
    """Belongs to its stage, which ends the control server if nothing else does."""

    def __init__(
        self,
        stage: Stage,
        name: str,
        host: str,
        folder: Path,
        ports: range,
        on_state: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.host = host
        self.folder = folder
        self.ports = ports
        self.endpoint = ""  # of the control server, once it is ready
        self.data_server_pid = 0
        self.states: list[str] = []  # that the control server's session machine went through
        self._stage = stage
        self._on_state = on_state
        self._server: Program = stage.start(
            f"{name}'s s2cs",
            command("s2cs"),
            *("--listener_ip", host, "--port", "0"),
            *("--port-range", f"{ports.start}-{ports.stop - 1}"),
            *("--state-dir", folder, "--verbose"),
            # Should this program be killed, nothing stays for long.
            *("--orphan-grace", "5s", "--drain", "5s"),
            on_line=self._take_line,
            vital=True,
        )

    def _take_line(self, source: str, line: str) -> None:
        if source != "err":
            return
        if found := re.search(r"Current state: (\w+)", line):
            self.states.append(found[1])
            if self._on_state:
                self._on_state(found[1])
        elif found := re.search(r"data server started, pid (\d+)", line):
            self.data_server_pid = int(found[1])

    @property
    def certificate(self) -> Path:
        """Of the control server."""
        return self.folder / "server.crt"

    def wait_ready(self) -> None:
        """Waits until the control server answers, and its certificate is there."""
        self.endpoint = self._stage.line(self._server, "s2cs ready on ", 20)
        self._stage.until(lambda: self.data_server_pid > 0, 5, f"{self.name}'s data server")

    def open_ports(self) -> list[str]:
        """What still listens on a port of the sessions or on the control port."""
        control = wire.split_endpoint(self.endpoint)[1] if self.endpoint else 0
        return [
            wire.join_endpoint(host, port)
            for host, port in sorted(listening())
            if host in (self.host, "0.0.0.0") and (port in self.ports or port == control)
        ]

    def open_session_ports(self) -> list[str]:
        """What still listens on a port of the sessions."""
        return [text for text in self.open_ports() if wire.split_endpoint(text)[1] in self.ports]

    def stop(self) -> None:
        """Ends it; Failed if it needs force, complains, or leaves its data server behind."""
        if not self._stage.stop(self._server, signal.SIGTERM, STOP_LIMIT):
            raise Failed(f"{self.name}'s s2cs did not end within {STOP_LIMIT:g} s of SIGTERM")
        self._stage.success(self._server, STOP_LIMIT)
        if alive(self.data_server_pid):
            raise Failed(f"{self.name}'s data server outlives its control server")

    def sweep(self) -> None:
        """Ends what is left, whatever happened before; for use after the stage."""
        pid = self.data_server_pid
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if str(self.folder).encode() in words:  # no other process that got its number
                os.kill(pid, signal.SIGKILL)
