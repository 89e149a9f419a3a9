"""The numbers of a run as tables in Markdown, a line a way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from figures import Row, shown


def markdown(titles: list[str], lines: Iterable[Iterable[Any]]) -> str:
    """A table."""
    texts = [titles, ["---"] * len(titles), *([shown(cell) for cell in line] for line in lines)]
    return "".join("| " + " | ".join(line) + " |\n" for line in texts)


def by_way(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows of each, in the order of the table."""
    return {row["way"]: [r for r in rows if r["way"] == row["way"]] for row in rows}


def slashed(rows: list[Row], column: str) -> str:
    """Of one way, for one number of connections after the other."""
    values = [row[column] for row in rows]
    return "-" if not any(values) else " / ".join(shown(value) for value in values)


def counts(rows: list[Row], column: str) -> str:
    """For the title of a column with slashes."""
    return " / ".join(f"{value:g}" for value in sorted({row[column] for row in rows}))


def throughput(rows: list[Row]) -> str:
    """Speed and cost, by way."""
    ratio, cost_ratio = (name for name in rows[0] if "_to_" in name)
    peer = ratio.rpartition("_")[2]
    titles = [f"n = {counts(rows, 'connections')}", "GB/s", f"to {peer}", "CPU s/GB"]
    columns = ["gb_per_s", ratio, "cpu_s_per_gb"]
    if "cpu_near" in rows[0]:
        titles += ["near relay's", "far relay's"]
        columns += ["cpu_near", "cpu_far"]
    titles.append(f"CPU to {peer}")
    columns.append(cost_ratio)
    return markdown(
        titles,
        ([way, *(slashed(own, column) for column in columns)] for way, own in by_way(rows).items()),
    )


def plain_table(rows: list[Row]) -> str:
    """As it was printed."""
    names = [name for name, value in rows[0].items() if not isinstance(value, list)]
    return markdown(names, ([row[name] for name in names] for row in rows))


def at(rows: list[Row], connections: int) -> list[Row]:
    """Those of so many connections."""
    return [row for row in rows if row["connections"] == connections]


def path(rows: list[Row]) -> str:
    """Throughput over each path, by way."""
    titles = [f"{counts(rows, 'round_trip_ms')} ms there and back"]
    numbers = sorted({row["connections"] for row in rows})
    titles += [f"Gbit/s, {n} connection{'s' if n > 1 else ''}" for n in numbers]
    return markdown(
        titles,
        (
            [
                way,
                *(
                    slashed([r for r in own if r["connections"] == n], "gbit_per_s")
                    for n in numbers
                ),
            ]
            for way, own in by_way(rows).items()
        ),
    )


def datagrams(rows: list[Row]) -> str:
    """Thousands a second of each size, and what was lost, by way."""
    sizes = sorted({row["bytes"] for row in rows})

    def cell(own: list[Row], size: int) -> str:
        some = [row for row in own if row["bytes"] == size]
        speeds = " / ".join(f"{(row['per_s'] or 0) / 1000:.0f}" for row in some)
        lost = max(row["lost"] for row in some)
        return speeds + (f" (lost {lost:.0%})" if lost >= 0.005 else "")

    return markdown(
        [f"{counts(rows, 'flows')} flows, thousands a second", *(f"{size} B" for size in sizes)],
        ([way, *(cell(own, size) for size in sizes)] for way, own in by_way(rows).items()),
    )


TABLES: dict[str, Callable[[list[Row]], str]] = {
    "plain": throughput,
    "encrypted": throughput,
    "unprivileged": throughput,
    "session": throughput,
    "path": path,
    "datagrams": datagrams,
}


def report(document: dict[str, Any], titles: dict[str, str]) -> str:
    """Every measurement of a run under its title."""
    where = ", ".join(f"{key} {value}" for key, value in document["machine"].items())
    texts = [f"Commit {document['commit']}, {document['day']}; {where}.\n"]
    for name, title in {
        **titles,
        "targets": "What is promised, and what this run reached.",
    }.items():
        if rows := document.get(name):
            texts.append(f"**{name}**: {title}\n\n{TABLES.get(name, plain_table)(rows)}")
    return "\n".join(texts)
