"""The measurements run and say what they should. How fast anything is, no test asks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def bench(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "bench/bench.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )


def test_setup_reports_request_and_release(root: Path, tmp_path: Path) -> None:
    done = bench(root, "--quick", "--json", str(tmp_path / "out.json"), "setup")
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert document["machine"]["cores"] >= 1
    ready, request, release = document["setup"]
    for row in (ready, request, release):
        assert 0 < row["p50"] <= row["p99"]
    assert ready["p50"] < request["p50"]  # a process takes longer than what it does
    lines = done.stdout.splitlines()
    assert any(line.startswith("setup: ") for line in lines)
    assert sum(" ms " in line for line in lines) == 3


def test_load_reports_every_rpc(root: Path, tmp_path: Path) -> None:
    done = bench(root, "--quick", "--json", str(tmp_path / "out.json"), "load")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out.json").read_text("utf-8"))["load"]
    assert [row["rpc"] for row in rows] == ["req", "hello", "update", "release"]
    for row in rows:
        assert row["sessions"] == 480
        assert 0 < row["p50"] <= row["p99"]


def test_memory_counts_what_idle_connections_keep(root: Path, tmp_path: Path) -> None:
    done = bench(root, "--quick", "--only", "memory", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "numbers.json").read_text("utf-8"))["memory"]
    ours = {row["way"]: row for row in rows if row["way"].startswith("SciStream")}
    assert set(ours) == {"SciStream", "SciStream, TLS"}
    assert all(row["connections"] == 200 and row["kib_each"] > 0 for row in rows)


def test_all_may_use_another_congestion_control(root: Path, tmp_path: Path) -> None:
    done = bench(root, "--quick", "--congestion", "reno", "--out", str(tmp_path), "session")
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "numbers.json").read_text("utf-8"))
    assert document["machine"]["congestion_control"] == "reno"
    assert all(row["gb_per_s"] > 0 for row in document["session"])


def test_latency_is_drawn(root: Path, tmp_path: Path) -> None:
    done = bench(root, "--quick", "--only", "latency", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "numbers.json").read_text("utf-8"))["latency"]
    assert {"direct", "SciStream", "SciStream, TLS"} <= {row["way"] for row in rows}
    for row in rows:
        times = row["64_B_percentiles_us"]
        assert len(times) == 100
        assert times == sorted(times)
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("arguments", [["nonsense"], ["--sideways"], ["--congestion", "none"]])
def test_an_unknown_measurement_is_a_usage_error(root: Path, arguments: list[str]) -> None:
    assert bench(root, *arguments).returncode == 2


def test_rate_reports_what_arrived(root: Path, tmp_path: Path) -> None:
    done = bench(root, "--quick", "--json", str(tmp_path / "out.json"), "rate")
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out.json").read_text("utf-8"))["rate"]
    assert [row["way"] for row in rows] == ["one relay", "two, TLS"] * 2
    for row in rows:
        assert row["mbps"] == 100
        assert 0 < row["slowest_second"] <= row["fastest_second"]
        assert row["least_share"] <= 1 <= row["most_share"]
