"""Plots of what was measured, as PNG files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

Rows = list[dict[str, Any]]

OURS = "SciStream"
SIZE = (8.0, 4.8)  # inches
DPI = 130


def names_of(rows: Rows) -> list[str]:
    """The ways, in the order of the table."""
    return list(dict.fromkeys(row["way"] for row in rows))


def styles(rows: Rows) -> dict[str, dict[str, Any]]:
    """A colour for each way, in all parts of a figure; ours is thicker."""
    return {
        name: {"color": f"C{i}", "linewidth": 2.6 if name.startswith(OURS) else 1.3, "label": name}
        for i, name in enumerate(names_of(rows))
    }


def lines(axes: Axes, rows: Rows, x: str, y: str, without: str = "") -> None:
    """A line for each way."""
    for name, style in styles(rows).items():
        points = [(row[x], row[y]) for row in rows if row["way"] == name]
        if name != without:
            axes.plot(*zip(*points), marker="o", markersize=4, **style)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)


def by_connections(rows: Rows, title: str, file: Path) -> None:
    """Throughput and CPU per GB, side by side, by the number of connections."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(2 * SIZE[0] * 0.75, SIZE[1]))
    lines(left, rows, "connections", "gb_per_s")
    lines(right, rows, "connections", "cpu_s_per_gb", without="direct")
    for axes, label in ((left, "GB/s"), (right, "CPU seconds per GB")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted({row["connections"] for row in rows}))
        axes.get_xaxis().set_major_formatter(mpl.ticker.ScalarFormatter())
        axes.set_xlabel("connections")
        axes.set_ylabel(label)
    left.legend(fontsize=8)
    save(figure, title, file)


def latency(rows: Rows, file: Path) -> None:
    """How many round trips took at most so long."""
    figure, both = plt.subplots(1, 2, figsize=(2 * SIZE[0] * 0.75, SIZE[1]))
    for axes, size in zip(both, (64, 65536)):
        for row, style in zip(rows, styles(rows).values()):
            axes.plot(row[f"{size}_B_percentiles_us"], range(100), **style)
        axes.set_xscale("log")
        # Who waits for a timer now and then would leave the others no room.
        most = min(max(row[f"{size}_B_percentiles_us"]) for row in rows)
        axes.set_xlim(right=10 * most)
        axes.xaxis.set_major_formatter(mpl.ticker.ScalarFormatter())
        axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        axes.set_xlabel(f"round trip of {size} B, microseconds")
        axes.set_ylabel("percent of them took at most that")
        axes.grid(visible=True, alpha=0.3)
    both[0].legend(fontsize=8)
    save(figure, "Latency", file)


def path(rows: Rows, file: Path) -> None:
    """Throughput by the round-trip time of the path."""
    counts = sorted({row["connections"] for row in rows})
    figure, both = plt.subplots(1, len(counts), figsize=(len(counts) * SIZE[0] * 0.75, SIZE[1]))
    for axes, count in zip(both, counts):
        some = [row for row in rows if row["connections"] == count]
        lines(axes, some, "round_trip_ms", "gbit_per_s")
        axes.set_xlabel(f"round-trip time of the path, ms ({count} connections)")
        axes.set_ylabel("Gbit/s")
    both[0].legend(fontsize=8)
    save(figure, "A long path", file)


def save(figure: Any, title: str, file: Path) -> None:
    """Writes the figure and forgets it."""
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(file, dpi=DPI)
    plt.close(figure)


PLOTS: dict[str, Callable[[Rows, Path], None]] = {
    "plain": lambda rows, file: by_connections(rows, "One relay", file),
    "encrypted": lambda rows, file: by_connections(rows, "Two relays, encrypted", file),
    "latency": latency,
    "path": path,
    "session": lambda rows, file: by_connections(rows, "A whole session", file),
}


def draw(name: str, rows: Rows, file: Path) -> bool:
    """Draws what there is to draw of a measurement; whether there was anything."""
    if name not in PLOTS or not rows:
        return False
    PLOTS[name](rows, file)
    return True
