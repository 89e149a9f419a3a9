"""`s2ds doctor` looks at this machine and changes nothing."""

from __future__ import annotations

import json
import subprocess

import pytest

from facility import BIN


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "s2ds", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_a_table_names_every_check() -> None:
    done = doctor()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["what", "state", "found", "change"]
    for check in (
        "open files",
        "pipes",
        "receive buffers",
        "congestion control",
        "clock",
        "cipher",
    ):
        assert any(line.startswith(check) for line in lines), check


def test_a_document_for_scripts() -> None:
    done = doctor("--json", "--port-range", "40000-40010")
    findings = {each["check"]: each for each in json.loads(done.stdout)["findings"]}
    assert findings["port range"]["state"] == "change"
    assert "ip_local_reserved_ports=40000-40010" in findings["port range"]["remedy"]
    assert {each["state"] for each in findings.values()} <= {"good", "change", "unknown"}


def test_strict_fails_where_something_should_change() -> None:
    done = doctor("--strict", "--json", "--rate", "100000", "--rtt", "1000")
    assert done.returncode == 10
    document = json.loads(done.stdout)
    found = [each for each in document["findings"] if each["state"] == "change"]
    assert len(found) == document["changes"] > 0


def test_a_bad_value_is_a_document_too() -> None:
    done = doctor("--json", "--rate", "nan")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["cause"] == "invalid_argument"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rate", "0"],
        ["--rtt", "-1"],
        ["--rtt", "soon"],
        ["--rtt", "nan"],
        ["--connections", "0"],
        ["--port-range", "5000-abc"],
    ],
)
def test_nonsense_is_a_usage_error(arguments: list[str]) -> None:
    done = doctor(*arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
