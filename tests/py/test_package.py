"""The installed package."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import scistream


def test_version_is_the_one_of_cmakelists(root: Path) -> None:
    stated = re.search(
        r"VERSION ([0-9.]+)", (root / "CMakeLists.txt").read_text().split("project(")[1]
    )
    assert stated
    assert scistream.__version__ == version("scistream") == stated[1]


def test_core_exports_nothing_but_its_init_function() -> None:
    core = sys.modules["scistream._core"].__file__
    assert core
    table = subprocess.run(
        ["nm", "-D", "--defined-only", core], capture_output=True, text=True, check=True
    )
    assert [line.split()[-1] for line in table.stdout.splitlines()] == ["PyInit__core"]
