"""The closing line of ./dev test, from reports of both kinds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# As ctest and pytest write them.
CTEST = '<testsuite tests="5" failures="1" disabled="0" skipped="1"><testcase/></testsuite>'
PYTEST = (
    '<testsuites name="x"><testsuite errors="1" failures="0" skipped="1" tests="10"/></testsuites>'
)
GREEN = '<testsuite tests="3" failures="0" disabled="0" skipped="0"/>'
EMPTY = '<testsuite tests="0" failures="0" disabled="0" skipped="0"/>'


@pytest.mark.parametrize(
    ("reports", "line", "code"),
    [
        ([GREEN], "3 passed, 0 failed", 0),
        ([GREEN, GREEN, EMPTY], "6 passed, 0 failed", 0),
        ([CTEST, PYTEST], "11 passed, 2 failed, 2 skipped", 1),
        ([GREEN, None], "3 passed, 1 failed", 1),
        ([GREEN, "<testsuite tests="], "3 passed, 1 failed", 1),
        ([EMPTY], "0 passed, 0 failed", 1),
    ],
)
def test_reports_add_up(
    root: Path, tmp_path: Path, reports: list[str | None], line: str, code: int
) -> None:
    files = []
    for number, text in enumerate(reports):
        files.append(tmp_path / f"{number}.xml")
        if text is not None:
            files[-1].write_text(text)
    command = [sys.executable, str(root / "tests/summary.py"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == line
    assert done.returncode == code
