"""The demonstration from end to end, and what it leaves behind when it goes wrong: nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dataset
from demo_facility import listening

SIZE = 64 << 20


class Demo:
    """A running demonstration, with a temporary folder of its own."""

    def __init__(self, root: Path, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(root / "bench/demo/demo.py"), "--json", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )

    def stderr_until(self, text: str) -> None:
        """Reads what it shows up to a line that holds the text."""
        pipe = self.process.stderr
        assert pipe
        seen = []
        for line in pipe:
            seen.append(line)
            if text in line:
                return
        pytest.fail("".join(seen))

    def end(self) -> tuple[int, dict[str, Any], str]:
        """Its exit code, document and stderr."""
        out, err = self.process.communicate(timeout=50)
        return self.process.returncode, json.loads(out.splitlines()[-1]), err

    def descendants(self) -> dict[int, str]:
        """Its processes, by what they are; data servers are found by their state folder."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (path / "cmdline").read_bytes().split(b"\0")
                of_this = f"\nPPid:\t{self.process.pid}\n" in (path / "status").read_text()
                if of_this or any(os.fsencode(self.folder) in word for word in words):
                    found[int(path.name)] = os.fsdecode(b" ".join(words))
        return found


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Starts demonstrations; one that a failed test leaves running is interrupted."""
    with contextlib.ExitStack() as stack:

        def begin(*arguments: str) -> Demo:
            demo = Demo(root, tmp_path, *arguments)
            stack.enter_context(demo.process)
            stack.callback(demo.process.terminate)
            return demo

        yield begin


def expected_sha256() -> str:
    state = hashlib.sha256()
    for view in dataset.stream(SIZE):
        state.update(view)
    return state.hexdigest()


def test_data_arrives_unchanged_and_nothing_is_left(start: Callable[..., Demo]) -> None:
    demo = start("--bytes", str(SIZE))
    code, document, err = demo.end()
    assert code == 0, err
    assert document["bytes"] == len(dataset.stream(SIZE))
    assert document["sha256_sent"] == document["sha256_received"] == expected_sha256()
    assert document["gbit_per_s"] > 0
    assert document["direct_gbit_per_s"] > 0
    assert document["iperf3_gbit_per_s"] > 0
    assert 0 < document["setup_ms"] < 30_000
    assert document["ports_open_after"] == []
    assert demo.descendants() == {}
    assert list(demo.folder.iterdir()) == []


def test_states_are_those_of_the_protocol(start: Callable[..., Demo]) -> None:
    code, document, err = start("--bytes", "1").end()
    assert code == 0, err
    states = document["states"]
    assert states["s2uc"] == ["reserving", "provisioning", "updating", "idle"]
    control = ["reserving", "listening", "idle", "updating", "idle", "releasing", "idle"]
    data = ["reserving", "idle", "updating", "idle", "releasing", "idle"]
    assert states["s2cs"] == {"producer": control, "consumer": control}
    assert states["s2ds"] == {"producer": data, "consumer": data}


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["producer.py", "s2ds"])
def test_a_program_that_dies_on_the_way_fails_it(start: Callable[..., Demo], victim: str) -> None:
    demo = start()
    demo.stderr_until(" GB ")  # the first line about the progress of the transfer
    pid = next(pid for pid, words in demo.descendants().items() if f"/{victim} " in f"{words} ")
    os.kill(pid, signal.SIGKILL)
    code, document, err = demo.end()
    assert code == 1
    assert "the demonstration failed" in err
    assert document["error"]
    assert demo.descendants() == {}
    assert list(demo.folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(start: Callable[..., Demo], number: signal.Signals) -> None:
    demo = start()
    demo.stderr_until(" GB ")
    demo.process.send_signal(number)
    code, document, err = demo.end()
    assert code == 130, err
    assert number.name in document["error"]
    assert demo.descendants() == {}
    assert list(demo.folder.iterdir()) == []


def test_a_port_that_stays_open_would_be_seen() -> None:
    with socket.create_server(("127.0.1.10", 0)) as listener:
        address = listener.getsockname()
        assert address in listening()
    assert address not in listening()
