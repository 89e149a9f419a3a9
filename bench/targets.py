"""What is promised, and whether what was measured keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import figures
from figures import Row
from ways import OURS_TLS

OURS = "SciStream"
TLS = "HAProxy TLS 1.3"
SOCKETS = "sockets in C++"
ARRAYS = "scistream.arrays"
SPEED, COST = "gb_per_s", "cpu_s_per_gb"
SIDES = ("cpu_near", "cpu_far")


@dataclass(frozen=True)
class Promise:
    """Ours to a peer, in one column of a measurement, at so many connections (0: of no number)."""

    measurement: str
    column: str
    peer: str
    bound: float
    connections: tuple[int, ...] = (0,)
    ours: str = OURS
    at_most: bool = False


def no_worse(peer: str, ours: str) -> list[Promise]:
    """In any time of a message's round trip."""
    columns = [f"{size}_B_{which}_us" for size in (64, 65536) for which in ("p50", "p99")]
    return [Promise("latency", column, peer, 1.0, ours=ours, at_most=True) for column in columns]


FEW = (1, 4, 16)
PROMISES = [
    Promise("plain", SPEED, "HAProxy", 1.05, (1,)),
    Promise("plain", SPEED, "HAProxy", 1.0, (4, 16)),
    Promise("plain", COST, "HAProxy", 1.0, FEW, at_most=True),
    Promise("plain", SPEED, "HAProxy as deployed", 1.4, FEW),
    Promise("plain", SPEED, "nginx as deployed", 2.0, FEW),
    Promise("encrypted", SPEED, TLS, 1.5, FEW),
    *(Promise("encrypted", side, TLS, 0.7, FEW, at_most=True) for side in SIDES),
    Promise("encrypted", SPEED, "OpenSSH tunnel", 1.6, FEW),
    Promise("encrypted", SPEED, "stunnel TLS 1.3", 1.8, FEW),
    Promise("encrypted", SPEED, "stunnel as deployed, no encryption", 2.0, FEW),
    *no_worse("nginx", OURS),
    *no_worse(TLS, OURS_TLS),
    *(Promise("connections", f"per_s_{n}", "HAProxy", 1.0) for n in (1, 64)),
    *(Promise("connections", f"per_s_{n}", TLS, 1.5, ours=OURS_TLS) for n in (1, 64)),
    *(Promise("connections", f"per_s_{n}", "stunnel TLS 1.3", 1.5, ours=OURS_TLS) for n in (1, 64)),
    Promise("unprivileged", SPEED, "root", 0.95, FEW, ours="nobody"),
    Promise("frames", SPEED, SOCKETS, 0.9, ours=ARRAYS),
]
MOST_KIB = {OURS: 16.0, OURS_TLS: 48.0}  # of an idle connection
MOST_GROWTH = 1.25  # of CPU per GB, from 4 connections to 64


def judge(document: dict[str, Any]) -> list[Row]:
    """What is promised, beside what was reached in this run."""
    return [*ratios(document), *idle(document), *growth(document)]


def ratios(document: dict[str, Any]) -> Iterator[Row]:
    """Of ours to peers, round by round."""
    for promise in PROMISES:
        for connections in promise.connections:
            rows = {
                row["way"]: row[f"{promise.column}_rounds"]
                for row in document.get(promise.measurement, [])
                if row.get("connections", 0) == connections or connections == 0
            }
            if promise.ours not in rows or promise.peer not in rows:
                continue
            reached = figures.ratio(rows[promise.ours], rows[promise.peer])
            what = f"{promise.measurement}: {promise.column} of {promise.ours} to {promise.peer}"
            yield verdict(what, connections, reached, promise.bound, at_most=promise.at_most)


def idle(document: dict[str, Any]) -> Iterator[Row]:
    """KiB that a connection keeps."""
    for row in document.get("memory", []):
        if most := MOST_KIB.get(row["way"]):
            what = f"memory: KiB of an idle connection of {row['way']}"
            yield verdict(what, row["connections"], row["kib_each"], most, at_most=True)


def growth(document: dict[str, Any]) -> Iterator[Row]:
    """Of what a GB costs as connections become more."""
    for name in ("plain", "encrypted"):
        cost = {
            row["connections"]: row[f"{COST}_rounds"]
            for row in document.get(name, [])
            if row["way"] == OURS
        }
        if {4, 64} <= set(cost):
            what = f"{name}: {COST} of {OURS} to that of 4 connections"
            yield verdict(what, 64, figures.ratio(cost[64], cost[4]), MOST_GROWTH, at_most=True)


def verdict(what: str, n: int, reached: float | None, bound: float, *, at_most: bool) -> Row:
    """A row of the table."""
    kept = reached is not None and (reached <= bound if at_most else reached >= bound)
    return {
        "what": what,
        "connections": n or None,
        "promised": f"{'<=' if at_most else '>='} {bound:g}",
        "reached": reached,
        "kept": "yes" if kept else "NO",
    }
