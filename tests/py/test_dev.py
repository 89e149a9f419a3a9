"""The ./dev script, without its builds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

COMMANDS = ["demo", "test", "bench", "image", "build", "wheel", "lint", "doc", "clean", "help"]


def dev(
    root: Path, *arguments: str, cwd: Path | None = None, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs ./dev, with the programs in `path` before those of the system."""
    search = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
    return subprocess.run(
        [str(root / "dev"), *arguments],
        cwd=cwd or root,
        env={**os.environ, "PATH": search},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def fake(folder: Path, name: str, script: str) -> None:
    """Puts a program of that name into the folder."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A search path whose Debian has no package, whose user is not root and may not use sudo."""
    fake(tmp_path, "id", "echo 1000")
    fake(tmp_path, "sudo", "exit 1")
    fake(tmp_path, "dpkg-query", "exit 1")
    fake(tmp_path, "apt-get", f'echo "$@" >>"{tmp_path}/apt.log"')
    return tmp_path


def test_help_lists_every_command(root: Path) -> None:
    done = dev(root, "help")
    assert done.returncode == 0
    listed = [
        line.split()[0]
        for line in done.stdout.splitlines()
        if line[:3].strip(" ") and line[:2] == "  "
    ]
    assert listed == COMMANDS


def test_no_command_is_help(root: Path) -> None:
    assert dev(root).stdout == dev(root, "help").stdout


def test_unknown_command_is_a_usage_error(root: Path) -> None:
    done = dev(root, "frobnicate")
    assert done.returncode == 2
    assert "unknown command 'frobnicate'" in done.stderr
    assert done.stdout == ""


def test_any_folder_will_do(root: Path, tmp_path: Path) -> None:
    assert dev(root, "help", cwd=tmp_path).returncode == 0


def test_without_root_and_sudo_the_missing_packages_are_named(root: Path, bare: Path) -> None:
    done = dev(root, "build", path=bare)
    assert done.returncode == 1
    assert "libgrpc++-dev" in done.stderr
    (command,) = [line for line in done.stderr.splitlines() if "apt-get install" in line]
    assert "cmake" in command.split()
    assert "#" not in command
    assert not (bare / "apt.log").exists()


def test_only_what_is_missing_is_asked_for(root: Path, bare: Path) -> None:
    fake(
        bare,
        "dpkg-query",
        f"sed 's/#.*//' '{root}/deploy/debian-packages.txt' | grep . |"
        " sed 's/^/installed /; s/installed haproxy/config-files haproxy/'",
    )
    done = dev(root, "build", path=bare)
    assert "missing: haproxy\n" in done.stderr


def test_nothing_follows_what_takes_the_place_of_the_script(root: Path) -> None:
    """`run_program` and `exec` do not return."""
    lines = [line.strip() for line in (root / "dev").read_text().splitlines()]
    for line, following in zip(lines, lines[1:]):
        if line.startswith(("run_program ", "exec ")):
            assert following in (";;", "}"), line


INSTALL = "-o DPkg::Lock::Timeout=300 install -y --no-install-recommends"


@pytest.mark.parametrize("who", ["root", "sudo"])
def test_missing_packages_are_installed_with_fresh_lists_if_need_be(
    root: Path, bare: Path, who: str
) -> None:
    if who == "root":
        fake(bare, "id", "echo 0")
    else:
        fake(bare, "sudo", 'shift; exec "$@"')
    fake(bare, "apt-get", f'echo "$DEBIAN_FRONTEND $*" >>"{bare}/apt.log"; [ "$1" = update ]')
    done = dev(root, "build", path=bare)
    assert done.returncode == 1
    assert "apt-get failed" in done.stderr
    first, update, second = (bare / "apt.log").read_text().splitlines()
    assert first == second
    assert first.startswith(f"noninteractive {INSTALL} build-essential ")
    assert update.split()[-1] == "update"
