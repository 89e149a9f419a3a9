"""What a measurement works with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peers
import ways
from effort import Effort
from stage import Stage
from ways import LIMIT, LOAD, Way


@dataclass
class Bench:
    """Belongs to one measurement."""

    stage: Stage
    folder: Path
    effort: Effort
    tell: Callable[[str], None]  # what is measured right now
    left_out: list[str] = field(default_factory=list)  # and why

    def turns(self, what: str, of: list[Way], rounds: int = 0) -> Iterator[Way]:
        """Each way in each round; every other round in the opposite order."""
        rounds = rounds or self.effort.rounds
        for number in range(rounds):
            for way in of if number % 2 == 0 else reversed(of):
                self.tell(f"{what}, round {number + 1} of {rounds}: {way.name}")
                yield way

    def drive(self, *arguments: str, prefix: Iterable[str] = ()) -> dict[str, Any]:
        """Runs the load generator; its result."""
        text = self.stage.call("the load", *prefix, LOAD, *arguments, limit=LIMIT)
        result: dict[str, Any] = json.loads(text)
        return result

    def push(
        self, way: Way, connections: int, seconds: float, prefix: Iterable[str] = ()
    ) -> tuple[float, dict[str, float]]:
        """Pushes through connections that are there already; GB/s, CPU seconds a GB by side."""
        words = ["throughput", way.endpoint, str(connections), str(seconds)]
        load = self.stage.start("the load", *prefix, LOAD, *words, hold_stdin=True)
        self.stage.line(load, "throughput ready", LIMIT)
        before = way.cpu_seconds()
        load.end_stdin()
        got = json.loads(self.stage.success(load, LIMIT)[-1])
        after = way.cpu_seconds()
        cpu = {side: (after[side] - before[side]) / got["bytes"] * 1e9 for side in after}
        return got["bytes"] / got["seconds"] * 1e-9, cpu

    def those_here(self, builders: Iterable[Callable[[], Way]]) -> list[Way]:
        """Starts each peer that is there; the others are left out, and named."""
        found = []
        for build in builders:
            try:
                found.append(build())
            except peers.NotHere as error:
                self.left_out.append(str(error))
        return found

    def single_relays(self, target: str, *, deployed: bool = False) -> list[Way]:
        """Direct, through each peer, through one relay of ours, all to one sink."""
        others = peers.plain_relays(self.stage, target, self.folder, deployed=deployed)
        ours = ways.relay(self.stage, target)
        return [Way("direct", target), *self.those_here(others), ours]

    def chains(self, target: str, *, deployed: bool = False, name: str = "SciStream") -> list[Way]:
        """Two relays with an encrypted leg between them: those of peers, and ours."""
        others = peers.encrypted_chains(self.stage, target, self.folder, deployed=deployed)
        ours = ways.our_chain(self.stage, target, self.folder, name=name)
        return [*self.those_here(others), ours]

    def both(self, target: str) -> list[Way]:
        """Single relays and chains, all tuned."""
        return [*self.single_relays(target), *self.chains(target, name=ways.OURS_TLS)]


def yardstick_of(of: list[Way], wanted: str) -> str:
    """The peer to compare with, or the direct connection where it is not installed."""
    return wanted if any(way.name == wanted for way in of) else "direct"
