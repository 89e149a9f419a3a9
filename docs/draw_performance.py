"""The plots of docs/performance.md, drawn by bench/plots.py from the tables of that page."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "bench"))

import plots  # noqa: E402

Rows = list[dict[str, Any]]
Table = list[list[str]]

CONNECTIONS, ROUND_TRIP = "1 / 4 / 16 / 64 connections", "microseconds"
PATH = "0 / 1 / 10 / 50 / 100 ms there and back"


def where(page: str) -> str:
    """On what machine, of which commit and when the page was measured: what its pictures say."""
    said = set(re.findall(r"^\*(.+, commit \w+, \d{4}-\d\d-\d\d)\.\*$", page, re.M))
    (one,) = said  # all pictures are of one run
    return str(one)


def table(page: str, heading: str, first: str) -> Table:
    """The cells of the table below a heading whose first title is `first`, titles included."""
    below = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = re.search(rf"^\| {re.escape(first)} \|(?:.*\n)(?:\|.*\n)+", below, re.M)
    if not lines:
        raise LookupError(f"there is no table {first!r} below {heading!r}")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[0].splitlines()]
    return [rows[0], *rows[2:]]


def numbers(cell: str) -> list[float | None]:
    """Of a cell with slashes; nothing of a dash."""
    return [None if text == "-" else float(text) for text in re.split(r" / ", cell)]


def counts(title: str) -> list[int]:
    """What a title lists before its words: 1 / 4 / 16 / 64 of something."""
    return [int(text) for text in re.findall(r"\d+(?= /| [a-z])", title)]


def by_connections(read: Table) -> Rows:
    """A row for each way and number of connections."""
    titles, *lines = read
    rows = []
    for way, speeds, costs in lines:
        each_cost = numbers(costs) if costs != "-" else [None] * len(counts(titles[0]))
        for count, speed, cost in zip(counts(titles[0]), numbers(speeds), each_cost):
            rows.append({"way": way, "connections": count, "gb_per_s": speed, "cpu_s_per_gb": cost})
    return rows


def round_trips(read: Table) -> Rows:
    """A row for each way and size."""
    titles, *lines = read
    sizes = list(dict.fromkeys(title.rpartition(" ")[0] for title in titles[1:]))
    rows = []
    for way, *cells in lines:
        values = dict(zip(titles[1:], map(float, cells)))
        rows += [
            {"way": way, "size": s, "p50": values[f"{s} p50"], "p99": values[f"{s} p99"]}
            for s in sizes
        ]
    return rows


def over_a_path(read: Table) -> Rows:
    """A row for each way, number of connections and round-trip time."""
    titles, *lines = read
    rows = []
    for way, *cells in lines:
        for title, cell in zip(titles[1:], cells):
            (connections,) = re.findall(r"(\d+) connection", title)
            rows += [
                {
                    "way": way,
                    "connections": int(connections),
                    "round_trip_ms": milliseconds,
                    "gbit_per_s": speed,
                }
                for milliseconds, speed in zip(counts(titles[0]), numbers(cell))
            ]
    return rows


# By the name of the file: the table, how it is read, the picture's title, how it is drawn.
Draw = Callable[[Rows, str, Path], None]
PLOTS: dict[str, tuple[str, str, Callable[[Table], Rows], str, Draw]] = {
    "plain": (
        *("One relay, in clear", CONNECTIONS),
        *(by_connections, "One relay, in clear", plots.by_connections),
    ),
    "encrypted": (
        *("Two relays, encrypted between them", CONNECTIONS),
        *(by_connections, "Two relays, encrypted between them", plots.by_connections),
    ),
    "latency": ("Round trips", ROUND_TRIP, round_trips, "Round trips", plots.round_trips),
    "path": (
        *("Over a long path", PATH, over_a_path, "Over a path of 2 Gbit/s"),
        lambda rows, title, file: plots.path(rows, file, title),
    ),
}


def draw(page: str, folder: Path) -> None:
    """All plots of the page, each with where and when it was measured."""
    for name, (heading, first, read, title, drawn) in PLOTS.items():
        rows = read(table(page, heading, first))
        drawn(rows, f"{title} ({where(page)})", folder / f"{name}.svg")
