"""A long path between two network namespaces, which need root; removed when it is left."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from stage import Failed, Stage
from ways import LOAD

MTU = 9000
FIRST, SECOND = "10.77.0.1", "10.77.0.2"
CONGESTION_CONTROL = "/proc/sys/net/ipv4/tcp_congestion_control"


@dataclass(frozen=True)
class Path:
    """Two namespaces: the instrument's, which is `FIRST`, and the analysis's, which is `SECOND`."""

    producer: str
    consumer: str

    @staticmethod
    def within(namespace: str) -> list[str]:
        """What a command begins with that runs there."""
        return ["ip", "netns", "exec", namespace]


def congestion_control() -> str:
    """That of new connections here."""
    return pathlib.Path(CONGESTION_CONTROL).read_text("ascii").strip()


def possible() -> str:
    """Why it cannot be had here; empty if it can."""
    if not os.access("/run", os.W_OK):  # root in a namespace of users has no say there
        return "needs root, for network namespaces"
    return "" if pathlib.Path("/dev/net/tun").exists() else "needs /dev/net/tun"


def ip(*words: str) -> None:
    """The command of that name, which a Ctrl-C does not reach."""
    words = ("ip", *words)
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, start_new_session=True
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)}: {done.stderr.strip()}")


@contextlib.contextmanager
def long_path(stage: Stage, milliseconds: float, mbps: float) -> Iterator[Path]:
    """A path with this round-trip time, this fast each way, of jumbo frames."""
    names = [f"scistream-bench-{os.getpid()}-{end}" for end in ("producer", "consumer")]
    congestion = congestion_control()
    with contextlib.ExitStack() as made:
        for name in names:
            ip("netns", "add", name)
            made.callback(ip, "netns", "del", name)
            # A new namespace has that of the system, not that of whoever makes it.
            use = f"echo {congestion} >{CONGESTION_CONTROL}"
            ip("netns", "exec", name, "sh", "-c", use)
        words = ["path", *names, str(milliseconds / 2), str(mbps)]
        program = stage.start("the path", LOAD, *words, vital=True)
        stage.line(program, "path ready", 10)
        for name, address in zip(names, (FIRST, SECOND)):
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "addr", "add", f"{address}/30", "dev", "path")
            ip("-n", name, "link", "set", "path", "mtu", str(MTU), "up")
        yield Path(*names)
