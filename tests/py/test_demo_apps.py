"""The demonstration's producer and consumer applications, connected directly."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dataset
import wire

SIZE = 20_000_000


@contextlib.contextmanager
def producer(root: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A producer application that serves SIZE bytes, and its address."""
    program = root / "bench/demo/producer.py"
    with subprocess.Popen(
        [sys.executable, str(program), "--bytes", str(SIZE), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert line.startswith("producer ready on "), line
            yield process, line.split()[-1]
        finally:
            process.kill()


def consume(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(root / "bench/demo/consumer.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


def expected_sha256() -> str:
    state = hashlib.sha256()
    for view in dataset.stream(SIZE):
        state.update(view)
    return state.hexdigest()


def received(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    document: dict[str, Any] = json.loads(line)
    return document


@pytest.mark.parametrize("when", [[], ["--compute-after"]])
@pytest.mark.parametrize("host", ["127.0.0.1:0", "[::1]:0"])
def test_what_was_sent_is_what_was_received(root: Path, when: list[str], host: str) -> None:
    with producer(root, "--transfers", "1", "--listen", host) as (process, endpoint):
        got = received(consume(root, endpoint, *when))
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    sent = json.loads(out)
    assert sent == {"bytes": got["bytes"], "sha256": got["sha256"]}
    assert got["bytes"] == len(dataset.stream(SIZE)) >= SIZE
    assert got["sha256"] == expected_sha256()
    assert got["gbit_per_s"] > 0


def test_the_result_does_not_depend_on_when_it_is_computed(root: Path) -> None:
    with producer(root) as (_, endpoint):
        during = received(consume(root, endpoint))["result"]
        after = received(consume(root, endpoint, "--compute-after"))["result"]
    assert during == after
    vertical = during["channels"]["BW.RJOB..EHZ"]
    assert vertical["samples"] == 3000 * dataset.stream(SIZE).repeats
    assert 0 < vertical["rms"] < vertical["peak"]


def test_progress_is_json_lines_that_end_with_the_total(root: Path) -> None:
    with producer(root) as (_, endpoint):
        done = consume(root, endpoint, "--progress")
    total = received(done)["bytes"]
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    counts = [line["bytes"] for line in lines]
    assert counts == sorted(counts)
    assert counts[-1] == total == lines[0]["total"]


def test_a_cut_stream_is_an_error_that_says_where(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        program = str(root / "bench/demo/consumer.py")
        with subprocess.Popen(
            [sys.executable, program, f"127.0.0.1:{port}"], stderr=subprocess.PIPE, text=True
        ) as process:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(wire.PREAMBLE.pack(wire.MAGIC, 1000) + bytes(300))
            _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "ended after 300 of 1000 bytes" in err


def test_a_consumer_that_leaves_does_not_end_the_producer(root: Path) -> None:
    with producer(root, "--transfers", "2") as (process, endpoint):
        with socket.create_connection(wire.split_endpoint(endpoint)) as connection:
            connection.recv(100)
        got = received(consume(root, endpoint))
        out, err = process.communicate(timeout=30)
    assert "transfer cut" in err
    assert json.loads(out)["sha256"] == got["sha256"]
    assert process.returncode == 1


@pytest.mark.parametrize("endpoint", ["nonsense", "127.0.0.1:", "127.0.0.1:70000"])
def test_a_bad_address_is_a_usage_error(root: Path, endpoint: str) -> None:
    assert consume(root, endpoint).returncode == 2
