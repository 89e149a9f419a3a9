"""Amounts in units that suit them."""

from __future__ import annotations

STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def unit_for(largest: float, unit: str) -> tuple[float, str]:
    """How much one of the unit is that suits amounts up to this one, and its name."""
    for size, prefix in STEPS:
        if largest >= size:
            return size, prefix + unit
    return 1.0, unit


def amount(value: float, unit: str) -> str:
    """With three digits: `1.23 GB`, `12.3 MB`, `123 kB`, `17 B`."""
    # What rounds up to a thousand of a unit is one of the next.
    size, name = unit_for(float(f"{value:.3g}"), unit)
    scaled = value / size
    digits = 0 if size == 1.0 or scaled >= 99.95 else 1 if scaled >= 9.995 else 2
    return f"{scaled:.{digits}f} {name}"
