"""tests/engine.py: however an engine ends, its processes, mounts and control groups end with it."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import engine
import pytest

from facility import eventually
from needs import skip_or_fail

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another folder than that of an engine which may be in use, and no image to build in it."""
    monkeypatch.setattr(engine, "FOLDER", tmp_path)
    monkeypatch.setattr(engine, "build_image", lambda _: None)
    try:
        engine.check_possible()
    except engine.NoEngineError as error:
        skip_or_fail(str(error))
    yield tmp_path
    engine.stop(None)


def run_container(running: engine.Engine) -> None:
    """Starts a container of an image that has one program and its libraries."""
    program = "/usr/bin/sleep"
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
        for path in {program, *re.findall(r"(/\S+) \(0x", linked)}:
            tar.add(path)
    subprocess.run(
        ["docker", "import", "-", "sleep"],
        env=engine.environment(running.address),
        input=archive.getvalue(),
        capture_output=True,
        check=True,
    )
    # The first process of a container is not ended by SIGTERM, unless it says how.
    flags = ("--detach", "--network", "host", "--stop-signal", "KILL")
    engine.docker(running.address, "run", *flags, "sleep", program, "1d")


def processes_of(running: engine.Engine) -> set[int]:
    found: set[int] = set()
    latest = [running.namespaces]
    while latest:
        found.update(latest)
        latest = [child for pid in latest for child in engine.children(pid)]
    return found


def program(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def check_nothing_is_left(running: engine.Engine, processes: set[int]) -> None:
    assert not [pid for pid in processes if engine.start_time(pid)]
    assert running.folder not in Path("/proc/self/mounts").read_text()
    assert str(engine.FOLDER) not in Path("/proc/self/mounts").read_text()
    assert not Path(running.folder).exists()
    assert engine.control_groups(Path(running.folder).name) == []
    assert engine.recorded() is None


def test_a_stop_ends_everything(folder: Path) -> None:
    running = engine.start(os.getpid())
    run_container(running)
    processes = processes_of(running)
    assert {program(pid) for pid in processes} >= {"dockerd", "containerd", "sleep"}
    engine.stop(os.getpid())
    check_nothing_is_left(running, processes)


def test_one_that_is_killed_takes_everything_with_it(folder: Path) -> None:
    running = engine.start(os.getpid())
    run_container(running)
    processes = processes_of(running)
    os.kill(running.namespaces, signal.SIGKILL)
    eventually(lambda: not any(map(engine.start_time, processes)), "every process has ended")
    engine.stop(os.getpid())
    check_nothing_is_left(running, processes)


def test_it_serves_one_owner_at_a_time_and_not_a_dead_one(folder: Path) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as owner:
        first = engine.start(owner.pid)
        processes = processes_of(first)
        with pytest.raises(engine.NoEngineError, match=f"runs for process {owner.pid}"):
            engine.start(os.getpid())
        engine.stop(os.getpid())  # nobody else's
        assert engine.answers(first)
    second = engine.start(os.getpid())
    assert not [pid for pid in processes if engine.start_time(pid)]
    assert not Path(first.folder).exists()
    assert engine.answers(second)
    engine.stop(os.getpid())
    check_nothing_is_left(second, set())


def test_two_do_not_meet(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = engine.start(os.getpid())
    other = folder / "other"
    with monkeypatch.context() as patched:
        patched.setattr(engine, "FOLDER", other)
        second = engine.start(os.getpid())
    try:
        engine.stop(os.getpid())
        check_nothing_is_left(first, set())
        assert engine.RUN_FOLDER.exists()
        run_container(second)
    finally:
        monkeypatch.setattr(engine, "FOLDER", other)
        engine.stop(os.getpid())
    check_nothing_is_left(second, set())
