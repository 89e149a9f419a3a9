"""The measurements run and say what they should. How fast anything is, no test asks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import figures
import targets
from facility import eventually

LIMIT = 55.0  # seconds, for the shortest look there is


@contextlib.contextmanager
def running(root: Path, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The bench, which is asked to end should the test not wait for it."""
    process = subprocess.Popen(
        [sys.executable, str(root / "bench/bench.py"), "--quick", "--out", str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def measured(root: Path, folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """What a run leaves in its file, and what it says."""
    with running(root, folder, *arguments) as process:
        out, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, err
    return json.loads((folder / "numbers.json").read_text("utf-8")), out


def descendants(pid: int) -> set[int]:
    """Processes that the process has started, and those have."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def is_load(pid: int) -> bool:
    """Whether the process pushes."""
    with contextlib.suppress(OSError):
        return b"throughput" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False


def test_setup_reports_request_and_release(root: Path, tmp_path: Path) -> None:
    document, out = measured(root, tmp_path, "setup")
    assert document["machine"]["cores"] >= 1
    assert document["machine"]["cipher_gb_per_s"] > 0
    ready, request, release = document["setup"]
    for row in (ready, request, release):
        assert 0 < row["p50"] <= row["p99"]
    assert ready["p50"] < request["p50"]  # a process takes longer than what it does
    lines = out.splitlines()
    assert any(line.startswith("setup: ") for line in lines)
    assert sum(" ms " in line for line in lines) == 3


def test_load_reports_every_rpc(root: Path, tmp_path: Path) -> None:
    rows = measured(root, tmp_path, "load")[0]["load"]
    assert [row["rpc"] for row in rows] == ["req", "hello", "update", "release"]
    for row in rows:
        assert row["sessions"] == 480
        assert 0 < row["p50"] <= row["p99"]
        assert row["echoed_gb_per_s"] > 0


def test_streams_go_through_every_peer_and_are_judged(root: Path, tmp_path: Path) -> None:
    document, out = measured(root, tmp_path, "--only", "plain", "--only", "encrypted")
    single = {"direct", "HAProxy", "HAProxy as deployed", "socat", "SciStream"}
    chains = {"direct", "HAProxy TLS 1.3", "stunnel TLS 1.3", "SciStream"}
    for name, wanted in (("plain", single), ("encrypted", chains)):
        for connections in (1, 4):
            rows = [row for row in document[name] if row["connections"] == connections]
            assert wanted <= {row["way"] for row in rows}
            for row in rows:
                assert row["gb_per_s"] > 0
                assert (row["cpu_s_per_gb"] is None) == (row["way"] == "direct")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    # Each side of a chain does its share.
    ours = [row for row in document["encrypted"] if row["way"] == "SciStream"]
    assert all(0 < row["cpu_near"] < row["cpu_s_per_gb"] for row in ours)
    assert {row["kept"] for row in document["targets"]} <= {"yes", "NO"}
    assert "encrypted: gb_per_s of SciStream to HAProxy TLS 1.3" in out
    report = (tmp_path / "report.md").read_text("utf-8")
    line = next(line for line in report.splitlines() if line.startswith("| HAProxy TLS 1.3 |"))
    speeds = [row["gb_per_s"] for row in document["encrypted"] if row["way"] == "HAProxy TLS 1.3"]
    assert " / ".join(map(str, speeds)) in line


def test_memory_counts_what_idle_connections_keep(root: Path, tmp_path: Path) -> None:
    rows = measured(root, tmp_path, "--only", "memory")[0]["memory"]
    assert {"SciStream", "SciStream, TLS", "HAProxy"} <= {row["way"] for row in rows}
    # A connection of ours keeps less than the stack of a thread would.
    ours = [row for row in rows if row["way"].startswith("SciStream")]
    assert all(row["connections"] == 200 and 0 < row["kib_each"] < 64 for row in ours)


def test_all_may_use_another_congestion_control(root: Path, tmp_path: Path) -> None:
    document, _ = measured(root, tmp_path, "--congestion", "reno", "session")
    assert document["machine"]["congestion_control"] == "reno"
    assert all(row["gb_per_s"] > 0 for row in document["session"])


def test_latency_is_drawn(root: Path, tmp_path: Path) -> None:
    rows = measured(root, tmp_path, "--only", "latency")[0]["latency"]
    assert {"direct", "SciStream", "SciStream, TLS"} <= {row["way"] for row in rows}
    for row in rows:
        times = row["64_B_percentiles_us"]
        assert len(times) == 100
        assert times[0] > 0
        assert times[50] <= row["64_B_p99_us"]
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")


def test_datagrams_that_are_lost_are_not_counted_as_arrived(root: Path, tmp_path: Path) -> None:
    rows = measured(root, tmp_path, "datagrams")[0]["datagrams"]
    for row in rows:
        assert row["per_s"] > 0
        assert 0 <= row["lost"] <= 1
    assert all(row["lost"] == 0 for row in rows if row["way"] == "direct")


def test_rate_reports_what_arrived(root: Path, tmp_path: Path) -> None:
    rows = measured(root, tmp_path, "rate")[0]["rate"]
    assert [row["way"] for row in rows] == ["one relay", "two, TLS"] * 2
    for row in rows:
        assert row["mbps"] == 100
        # Without its rate it would be a hundred times as fast.
        assert 0 < row["whole"] < 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("congestion", [(), ("--congestion", "reno")])
def test_an_interrupted_run_leaves_nothing(
    root: Path, tmp_path: Path, number: int, congestion: tuple[str, ...]
) -> None:
    with running(root, tmp_path, *congestion, "setup", "path") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("path: "):
                break
        # Namespaces and relays are there once the load runs.
        eventually(lambda: any(map(is_load, descendants(process.pid))), "the load runs")
        started = descendants(process.pid)
        process.send_signal(number)
        _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    assert not list(tmp_path.glob("scistream-bench-*"))
    assert not list(Path("/run/netns").glob(f"scistream-bench-{process.pid}-*"))
    # What was measured until then is there.
    assert "setup" in json.loads((tmp_path / "numbers.json").read_text("utf-8"))


@pytest.mark.parametrize("arguments", [["nonsense"], ["--sideways"], ["--congestion", "none"]])
def test_an_unknown_measurement_is_a_usage_error(
    root: Path, tmp_path: Path, arguments: list[str]
) -> None:
    with running(root, tmp_path, *arguments) as process:
        _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert arguments[-1] in err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["throughput", "127.0.0.1:9", "0", "1"], "CONNECTIONS '0'"),
        (["throughput", "127.0.0.1:9", "1", "nan"], "SECONDS 'nan'"),
        (["datagrams", "127.0.0.1:9", "1", "3", "1"], "BYTES '3'"),
        (["ping-pong", "127.0.0.1:9", "64", "0"], "ROUNDS '0'"),
        (["arrivals", "127.0.0.1:9", "127.0.0.1:9", "1", "0.5"], "SECONDS '0.5'"),
        (["idle", "127.0.0.1:9", "127.0.0.1:9", "many"], "CONNECTIONS 'many'"),
        (["dance"], "Usage: "),
    ],
)
def test_the_load_says_what_it_cannot_do(root: Path, words: list[str], complaint: str) -> None:
    load = root / "build/release/bench/bench_load"
    done = subprocess.run([load, *words], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_figures_are_what_they_say() -> None:
    hundred = [float(value) for value in range(1, 101)]
    assert figures.quantiles(hundred) == {"p50": 50.5, "p99": 99.0}
    assert figures.quantiles([3.0]) == {"p50": 3.0, "p99": 3.0}
    # Round by round: the machine was half as fast in the second.
    assert figures.ratio([4.0, 2.0, 5.0], [2.0, 1.0, 2.0]) == 2.0
    assert figures.ratio([1.0], [0.0]) is None
    assert figures.ratio([0.0], [1.0]) is None
    assert figures.middle([[1.0, 5.0], [3.0, 7.0], [2.0, 9.0]]) == [2.0, 7.0]
    assert figures.table([{"way": "a", "n": None, "rounds": [1]}]) == "  way  n\n  a    -"


def test_promises_are_judged_by_their_rounds() -> None:
    def row(way: str, n: int, speed: list[float], cost: list[float]) -> dict[str, Any]:
        return {"way": way, "connections": n, "gb_per_s_rounds": speed, "cpu_s_per_gb_rounds": cost}

    rows = [
        row("HAProxy", 1, [2.0, 4.0, 2.0], [0.5, 0.5, 0.5]),
        row("SciStream", 1, [2.2, 4.0, 2.2], [0.6, 0.6, 0.1]),
    ]
    judged = targets.judge({"plain": rows})
    assert [(each["promised"], each["reached"], each["kept"]) for each in judged] == [
        (">= 1.05", 1.1, "yes"),
        ("<= 1", 1.2, "NO"),
    ]
    many = [row("SciStream", n, [1.0], [cost]) for n, cost in ((4, 1.0), (64, 1.3))]
    assert [each["kept"] for each in targets.judge({"plain": many})] == ["NO"]
    idle = [{"way": "SciStream", "connections": 200, "kib_each": 4.0}]
    assert [each["kept"] for each in targets.judge({"memory": idle})] == ["yes"]
