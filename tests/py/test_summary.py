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


# A failure of each kind: ctest's text stands beside the verdict, pytest's in it.
CTEST_CASES = """<testsuite tests="2" failures="1" disabled="0" skipped="0">
  <testcase name="RelayTest.Forwards" classname="RelayTest.Forwards" status="run">
    <system-out>fine</system-out></testcase>
  <testcase name="RelayTest.Drains" classname="RelayTest.Drains" status="fail">
    <failure message=""/><system-out>{printed}</system-out></testcase>
</testsuite>"""
PYTEST_CASES = """<testsuites><testsuite errors="1" failures="0" skipped="0" tests="1">
  <testcase classname="tests.py.test_x" name="test_y"><error message="setup">no &lt;port&gt;</error>
  </testcase></testsuite></testsuites>"""


def test_what_failed_stands_at_the_end(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tsan.xml").write_text(
        CTEST_CASES.format(printed="\n".join(f"line {n}" for n in range(1000)))
    )
    (tmp_path / "pytest.xml").write_text(PYTEST_CASES)
    command = [sys.executable, str(root / "tests/summary.py"), "tsan.xml", "pytest.xml", "none.xml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert lines[-4:] == [
        "FAILED tsan::RelayTest.Drains",
        "FAILED pytest::tests.py.test_x::test_y",
        "FAILED none.xml",
        "1 passed, 3 failed",
    ]
    assert lines[0] == "---- tsan::RelayTest.Drains"
    assert lines[1] == "  line 960"
    assert "  line 999" in lines
    assert "  no <port>" in lines
    assert "fine" not in done.stdout
    assert done.returncode == 1
