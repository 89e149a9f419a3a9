"""The modules of docs/, for tests."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Behind everything else: `build` and `conf` are names that others may have.
sys.path.append(str(ROOT / "docs"))

import build  # noqa: E402
import cpp_reference  # noqa: E402
import draw_architecture  # noqa: E402
import draw_performance  # noqa: E402
import draw_session  # noqa: E402
import markup  # noqa: E402
import python_reference  # noqa: E402
import svg  # noqa: E402
import terminal  # noqa: E402
import wire_reference  # noqa: E402

__all__ = [
    "build",
    "cpp_reference",
    "draw_architecture",
    "draw_performance",
    "draw_session",
    "markup",
    "python_reference",
    "svg",
    "terminal",
    "wire_reference",
]
