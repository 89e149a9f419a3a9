"""What is made of numbers that were measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
Rounds = Sequence[float]


def quantiles(values: Rounds) -> Row:
    """Median, and the least value that 99 percent do not exceed."""
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 2),
        "p99": round(ordered[math.ceil(len(ordered) * 0.99) - 1], 2),
    }


def ratio(mine: Rounds, theirs: Rounds) -> float | None:
    """Round by round, then the median, so that the machine's own ups and downs cancel.

    None where there is nothing to compare with.
    """
    ratios = [a / b for a, b in zip(mine, theirs) if b > 0]
    return round(statistics.median(ratios), 2) if any(ratios) else None


def median(values: Rounds, digits: int) -> float | None:
    """None of nothing, and where nothing was used."""
    return round(statistics.median(values), digits or None) if any(values) else None


def middle(values: list[Any]) -> Any:
    """The median; of lists, place by place."""
    if isinstance(values[0], list):
        return [middle(list(place)) for place in zip(*values)]
    return round(statistics.median(values), 1)


def short(name: str) -> str:
    """For the name of a column."""
    return name.split()[0].lower()


def table(rows: list[Row]) -> str:
    """The rows under the names of their columns; lists are for the file of numbers only."""
    if not rows:
        return "  nothing"
    names = [name for name, value in rows[0].items() if not isinstance(value, list)]
    texts = [names, *([shown(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in texts) for i in range(len(names))]
    numeric = [all(not isinstance(row[name], str) for row in rows) for name in names]
    return "\n".join(
        "  "
        + "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric)
        ).rstrip()
        for line in texts
    )


def shown(value: Any) -> str:
    """In a table."""
    return "-" if value is None else str(value)
