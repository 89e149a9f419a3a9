"""What is measured: ways from a load generator to its sink. All of it runs on 127.0.0.0/8."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from demo_facility import command, free_range
from stage import Failed, Stage

ROOT = Path(__file__).resolve().parents[1]
LOAD = ROOT / "build/release/bench/bench_load"
SESSIONS = ROOT / "build/release/bench/bench_sessions"
HOST = "127.0.0.1"
NOBODY = "nobody"
OURS_TLS = "SciStream, TLS"  # two relays
LIMIT = 60.0  # seconds for one measurement

_given: list[range] = []  # by free_port


@dataclass
class Way:
    """To the sink: where to connect, and the processes in between.

    Of two relays with encryption between them `far` are those of the sink's side.
    """

    name: str
    endpoint: str
    near: tuple[int, ...] = ()
    far: tuple[int, ...] = ()

    @property
    def relays(self) -> int:
        """How many there are in between."""
        return bool(self.near) + bool(self.far)

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time of the processes of each side, and of theirs, so far."""
        tick = os.sysconf("SC_CLK_TCK")
        return {
            side: sum(sum(p.ticks) for p in family(pids)) / tick
            for side, pids in (("near", self.near), ("far", self.far))
        }

    def resident(self) -> int:
        """Bytes of memory that they have."""
        pages = [
            int(Path(f"/proc/{p.pid}/statm").read_text("ascii").split()[1])
            for p in family(self.near + self.far)
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
    # A child that ends between two looks is in its parent's time at the later one only.
    before: set[int] = set()
    while True:
        found = family_now(pids)
        now = {process.pid for process in found}
        if now == before:
            return found
        before = now


def family_now(pids: tuple[int, ...]) -> list[Process]:
    """At one look, which takes a moment."""
    everyone = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended
                fields = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                ticks = tuple(int(field) for field in fields[11:15])
                everyone[int(entry.name)] = Process(int(entry.name), int(fields[1]), ticks)
    if ended := [pid for pid in pids if pid not in everyone]:
        raise Failed(f"process {ended[0]} has ended while it was measured")
    found = [everyone[pid] for pid in pids]
    for process in found:  # grows as it goes
        found += [child for child in everyone.values() if child.parent == process.pid]
    return found


def as_nobody() -> list[str]:
    """What a command of root's begins with that needs no privilege."""
    account = pwd.getpwnam(NOBODY)
    ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}"]
    return ["setpriv", *ids, "--clear-groups", "--bounding-set=-all"]


def may_become_nobody() -> bool:
    """Whether this root is one that may: in a namespace of users it may know one user only."""
    users = int(Path("/proc/self/uid_map").read_text("ascii").split()[2])
    return pwd.getpwnam(NOBODY).pw_uid < users


def free_port() -> int:
    """A port for a program that cannot take any free one itself; not given twice."""
    _given.append(free_range(_given, size=1))
    return _given[-1].start


def sink(stage: Stage, prefix: Sequence[str] = (), listen: str = f"{HOST}:0") -> str:
    """Starts a sink; its address."""
    program = stage.start("the sink", *prefix, LOAD, "sink", listen, vital=True)
    return stage.line(program, "sink ready on ", 10)


def relay(
    stage: Stage,
    target: str,
    *flags: str,
    prefix: Sequence[str] = (),
    listen: str = f"{HOST}:0",
    name: str = "SciStream",
) -> Way:
    """One data server of ours, as a relay."""
    words = ["relay", "--listen", listen, "--target", target, *flags]
    program = stage.start("s2ds relay", *prefix, command("s2ds"), *words, vital=True)
    return Way(name, stage.line(program, "s2ds ready on ", 10), (program.pid,))


def our_chain(stage: Stage, target: str, folder: Path, *flags: str, name: str = OURS_TLS) -> Way:
    """Two relays of ours with a key between them."""
    far = relay(stage, target, *half(folder, "server"), *flags)
    near = relay(stage, far.endpoint, *half(folder, "client"), *flags)
    return Way(name, near.endpoint, near.near, far.near)


def half(folder: Path, side: str) -> list[str]:
    """What makes a relay of ours the client's side, or the server's, of an encrypted leg."""
    key = folder / "shared.key"
    if not key.exists():
        key.write_text(secrets.token_hex(32), "ascii")
        key.chmod(0o600)
    return ["--tls", side, "--key-file", str(key)]
