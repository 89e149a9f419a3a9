"""Plots of what was measured, as PNG files; as SVG files where the name says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

# Of an SVG: text stays text, and the same numbers give the same file.
mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "scistream"}

Rows = list[dict[str, Any]]

OURS = ("SciStream", "session")
# The same in every plot, whatever else is there.
COLOURS = {
    "direct": "0.35",
    "HAProxy": "C0",
    "nginx": "C2",
    "stunnel": "C1",
    "socat": "C5",
    "OpenSSH": "C4",
    "SciStream": "C3",
    "session": "C3",
}
SIZE = (8.0, 4.8)  # inches
DPI = 130


def names_of(rows: Rows) -> list[str]:
    """The ways, in the order of the table."""
    return list(dict.fromkeys(row["way"] for row in rows))


def styles(rows: Rows) -> dict[str, dict[str, Any]]:
    """A colour for each program, dashes for those as deployed; ours is thicker."""
    found = {}
    for name in names_of(rows):
        program = name.split()[0].rstrip(",")
        dashes = "--" if "deployed" in name else ":" if "TLS" in name and both(rows) else "-"
        found[name] = {
            "color": COLOURS.get(program, "C7"),
            "linestyle": dashes,
            "linewidth": 2.6 if name.startswith(OURS) else 1.3,
            "label": name,
        }
    return found


def both(rows: Rows) -> bool:
    """Whether single relays are among encrypted chains."""
    return {"SciStream", "SciStream, TLS"} <= set(names_of(rows))


def lines(axes: Axes, rows: Rows, x: str, y: str, without: str = "") -> None:
    """A line for each way."""
    for name, style in styles(rows).items():
        points = [(row[x], row[y]) for row in rows if row["way"] == name]
        if name != without:
            (line,) = axes.plot(*zip(*points), marker="o", markersize=4, **style)
            line.set_gid(mark(axes, y, name))
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)


def mark(axes: Axes, what: str, name: str) -> str:
    """By which a line is found in an SVG: the part of the figure, what is drawn, and the way."""
    part = axes.get_subplotspec()
    return f"{part.num1 if part else 0}:{what}:{name}".replace(" ", "-")


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
    legend(figure, left)
    save(figure, title, file)


def legend(figure: Any, axes: Axes) -> None:
    """Below the plots, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=4, fontsize=8)


def latency(rows: Rows, file: Path) -> None:
    """How many round trips took at most so long."""
    figure, parts = plt.subplots(1, 2, figsize=(2 * SIZE[0] * 0.75, SIZE[1]))
    for axes, size in zip(parts, (64, 65536)):
        for row, style in zip(rows, styles(rows).values()):
            axes.plot(row[f"{size}_B_percentiles_us"], range(100), **style)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(mpl.ticker.ScalarFormatter())
        axes.xaxis.set_minor_formatter(mpl.ticker.NullFormatter())
        axes.set_xlabel(f"round trip of {size} B, microseconds")
        axes.set_ylabel("percent of them took at most that")
        axes.grid(visible=True, alpha=0.3)
    legend(figure, parts[0])
    save(figure, "Latency", file)


def round_trips(rows: Rows, title: str, file: Path) -> None:
    """Median and 99th percentile of each way and size, where the single times are not kept."""
    sizes = list(dict.fromkeys(row["size"] for row in rows))
    names = names_of(rows)
    figure, parts = plt.subplots(1, len(sizes), figsize=(2 * SIZE[0] * 0.75, SIZE[1] * 0.62))
    for axes, size in zip(parts, sizes):
        for place, (name, style) in enumerate(styles(rows).items()):
            (row,) = (each for each in rows if (each["way"], each["size"]) == (name, size))
            values = [row["p50"], row["p99"]]
            style |= {"linestyle": "-", "linewidth": 2.6}
            (line,) = axes.plot(values, [place, place], marker="o", markersize=7, **style)
            line.set_gid(mark(axes, "us", name))
            for value in values:
                axes.annotate(
                    f"{value:g}",
                    (value, place),
                    xytext=(0, 9),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                )
        axes.set_yticks(range(len(names)), names if axes is parts[0] else [""] * len(names))
        axes.set_ylim(len(names) - 0.5, -0.7)
        axes.margins(x=0.12)
        axes.set_xlim(left=0)
        axes.set_xlabel(f"round trip of {size}, microseconds: median and 99th percentile")
        axes.grid(visible=True, axis="x", alpha=0.3)
    save(figure, title, file, below=0.0)


def path(rows: Rows, file: Path, title: str = "A long path") -> None:
    """Throughput by the round-trip time of the path."""
    counts = sorted({row["connections"] for row in rows})
    figure, parts = plt.subplots(1, len(counts), figsize=(len(counts) * SIZE[0] * 0.75, SIZE[1]))
    for axes, count in zip(parts, counts):
        some = [row for row in rows if row["connections"] == count]
        lines(axes, some, "round_trip_ms", "gbit_per_s")
        several = "" if count == 1 else "s"
        axes.set_xlabel(f"round-trip time of the path, ms ({count} connection{several})")
        axes.set_ylabel("Gbit/s")
    legend(figure, parts[0])
    save(figure, title, file)


def save(figure: Any, title: str, file: Path, below: float = 0.1) -> None:
    """Writes the figure, a part of it left free at the bottom, and forgets it."""
    figure.suptitle(title)
    figure.tight_layout(rect=(0, below, 1, 1))
    # When it was drawn says nothing, and would make each file another.
    undated: dict[str, Any] = {"metadata": {"Date": None}} if file.suffix == ".svg" else {}
    figure.savefig(file, dpi=DPI, **undated)
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
