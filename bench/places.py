"""What is measured: ways from a load generator to its sink. All of it runs on 127.0.0.0/8."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_facility import Facility, command, free_range
from stage import Stage

ROOT = Path(__file__).resolve().parents[1]
LOAD = ROOT / "build/release/bench/bench_load"
SESSIONS = ROOT / "build/release/bench/bench_sessions"
HOST = "127.0.0.1"
NOBODY = "nobody"
LIMIT = 60.0  # seconds for one measurement


@dataclass
class Place:
    """A way to the sink: where to connect, and the processes in between."""

    name: str
    endpoint: str
    pids: tuple[int, ...] = ()

    def cpu_seconds(self) -> float:
        """User and system time of the processes in between, and of theirs, so far."""
        return sum(sum(p.ticks) for p in family(self.pids)) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        """Bytes of memory that they have."""
        pages = [
            int(Path(f"/proc/{p.pid}/statm").read_text("ascii").split()[1])
            for p in family(self.pids)
        ]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Process:
    """A line of /proc/PID/stat."""

    pid: int
    parent: int
    ticks: tuple[int, ...]  # user, system, and those of children that have ended


def family(pids: tuple[int, ...]) -> list[Process]:
    """These processes and what descends from them."""
    everyone = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                fields = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                ticks = tuple(int(field) for field in fields[11:15])
                everyone[int(entry.name)] = Process(int(entry.name), int(fields[1]), ticks)
    found = [everyone[pid] for pid in pids]
    for process in found:  # grows as it goes
        found += [child for child in everyone.values() if child.parent == process.pid]
    return found


def as_nobody() -> list[str]:
    """What a command of root's begins with that needs no privilege."""
    account = pwd.getpwnam(NOBODY)
    ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}"]
    return ["setpriv", *ids, "--clear-groups", "--bounding-set=-all"]


def free_port() -> int:
    """A port for a program that cannot take any free one itself."""
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def drive(stage: Stage, *arguments: str) -> dict[str, Any]:
    """Runs the load generator; its result."""
    words = [str(LOAD), *arguments]
    result: dict[str, Any] = json.loads(stage.call("the load generator", *words, limit=LIMIT))
    return result


def sink(stage: Stage) -> str:
    """Starts a sink; its address."""
    program = stage.start("the sink", LOAD, "sink", f"{HOST}:0", vital=True)
    return stage.line(program, "sink ready on ", 10)


def relay(
    stage: Stage,
    target: str,
    *flags: str,
    prefix: Sequence[str] = (),
    listen: str = f"{HOST}:0",
) -> Place:
    """One data server of ours, as a relay."""
    words = ["relay", "--listen", listen, "--target", target, *flags]
    program = stage.start("s2ds relay", *prefix, command("s2ds"), *words, vital=True)
    return Place("SciStream", stage.line(program, "s2ds ready on ", 10), (program.pid,))


def our_chain(stage: Stage, target: str, folder: Path, *flags: str) -> Place:
    """Two relays of ours with a key between them."""
    far = relay(stage, target, *half(folder, "server"), *flags)
    near = relay(stage, far.endpoint, *half(folder, "client"), *flags)
    return Place("SciStream", near.endpoint, near.pids + far.pids)


def half(folder: Path, side: str) -> list[str]:
    """What makes a relay of ours the client's side, or the server's, of an encrypted leg."""
    key = folder / "shared.key"
    if not key.exists():
        key.write_text(secrets.token_hex(32), "ascii")
        key.chmod(0o600)
    return ["--tls", side, "--key-file", str(key)]


def many_sessions(
    stage: Stage, folder: Path, standing: int, streams: int, per_second: int, seconds: float
) -> dict[str, Any]:
    """What sessions that come and go see while others stand and stream, all at one facility."""
    ports = free_range(size=standing + per_second)
    facility = Facility(stage, "the", "127.0.1.1", folder / "facility", ports)
    facility.wait_ready()
    words = [facility.endpoint, str(facility.certificate), str(standing), str(streams)]
    words += [str(per_second), str(seconds)]
    result: dict[str, Any] = json.loads(
        stage.call("the session generator", str(SESSIONS), *words, limit=LIMIT)
    )
    facility.stop()
    return result


class Pair:
    """Two facilities with TLS, and the user's command. Belongs to its stage."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._stage = stage
        self._folder = folder
        first = free_range()
        self.facilities = [
            Facility(stage, "producer", "127.0.1.1", folder / "producer", first),
            Facility(stage, "consumer", "127.0.2.1", folder / "consumer", free_range([first])),
        ]
        for facility in self.facilities:
            facility.wait_ready()
        certificates = [facility.certificate.read_text("ascii") for facility in self.facilities]
        self._bundle = folder / "facilities.pem"
        self._bundle.write_text("".join(certificates), "ascii")

    def _s2uc(self, *arguments: str) -> list[str]:
        own = ("--server_cert", str(self._bundle), "--state-dir", str(self._folder / "user"))
        return [str(command("s2uc")), *arguments, *own]

    def request(self, target: str) -> list[str]:
        """The command that sets up a session to the target."""
        producer, consumer = (facility.endpoint for facility in self.facilities)
        places = ("--prod", producer, "--cons", consumer)
        return self._s2uc("request", "--json", *places, "--prod-app", target)

    def release(self, uid: str) -> list[str]:
        """The command that releases it."""
        return self._s2uc("release", uid)

    @contextlib.contextmanager
    def session(self, target: str) -> Iterator[Place]:
        """A session to the target, released at the end."""
        document = json.loads(self._stage.call("s2uc request", *self.request(target)))
        pids = tuple(facility.data_server_pid for facility in self.facilities)
        yield Place("session", document["listeners"][0], pids)
        self._stage.call("s2uc release", *self.release(document["uid"]))

    def close(self) -> None:
        """Ends both facilities."""
        for facility in self.facilities:
            facility.stop()
