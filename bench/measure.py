"""The measurements by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import control
import messages
import streams
from effort import Effort
from figures import Row
from stage import Stage
from workbench import Bench

MEASUREMENTS: dict[str, Callable[[Bench], list[Row]]] = {
    "setup": control.setup,
    "plain": streams.plain,
    "encrypted": streams.encrypted,
    "latency": messages.latency,
    "connections": messages.connections,
    "memory": messages.memory,
    "path": streams.path,
    "datagrams": messages.datagrams,
    "rate": streams.rate,
    "unprivileged": streams.unprivileged,
    "session": streams.session,
    "frames": streams.frames,
    "load": control.load,
}


def run(name: str, effort: Effort, tell: Callable[[str], None]) -> tuple[list[Row], list[str]]:
    """One measurement, with all that it starts ended afterwards; and what it left out."""
    with (
        tempfile.TemporaryDirectory(prefix="scistream-bench-") as folder,
        Stage().running() as stage,
    ):
        bench = Bench(stage, Path(folder), effort, tell)
        return MEASUREMENTS[name](bench), bench.left_out
