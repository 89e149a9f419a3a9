"""A long path between two network namespaces, which need root; removed when it is left."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from places import LOAD
from stage import Failed, Stage

MTU = 9000
FIRST, SECOND = "10.77.0.1", "10.77.0.2"


@dataclass(frozen=True)
class Path:
    """Two namespaces: the instrument's, which is `FIRST`, and the analysis's, which is `SECOND`."""

    producer: str
    consumer: str

    @staticmethod
    def within(namespace: str) -> list[str]:
        """What a command begins with that runs there."""
        return ["ip", "netns", "exec", namespace]


def possible() -> str:
    """Why it cannot be had here; empty if it can."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    return "" if pathlib.Path("/dev/net/tun").exists() else "needs /dev/net/tun"


def ip(*words: str) -> None:
    """The command of that name."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextlib.contextmanager
def long_path(stage: Stage, milliseconds: float, mbps: float) -> Iterator[Path]:
    """A path with this round-trip time, this fast each way, of jumbo frames."""
    names = [f"scistream-bench-{os.getpid()}-{end}" for end in ("producer", "consumer")]
    made: list[str] = []
    try:
        for name in names:
            ip("netns", "add", name)
            made.append(name)
        words = ["path", *names, str(milliseconds / 2), str(mbps)]
        program = stage.start("the path", LOAD, *words, vital=True)
        stage.line(program, "path ready", 10)
        for name, address in zip(names, (FIRST, SECOND)):
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "addr", "add", f"{address}/30", "dev", "path")
            ip("-n", name, "link", "set", "path", "mtu", str(MTU), "up")
        yield Path(*names)
    finally:
        for name in made:
            ip("netns", "del", name)
