"""The checks of `./dev lint` that take seconds, so that they fail before a review does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

TOOLS = Path(sys.executable).parent


def check(root: Path, *command: str | Path) -> None:
    """Passes if the command ends with 0; its output is the failure's text."""
    done = subprocess.run(
        [str(word) for word in command], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def tracked(root: Path, *patterns: str) -> list[str]:
    """Files git tracks or would, by pattern."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard", "--", *patterns],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listing.stdout.split("\0") if name and (root / name).exists()]


def test_cpp_is_formatted(root: Path) -> None:
    sources = tracked(root, "cpp/*.?pp", "tests/cpp/*.?pp", "bench/*.?pp")
    check(root, TOOLS / "clang-format", "--dry-run", "-Werror", *sources)


def test_python_is_formatted(root: Path) -> None:
    check(root, TOOLS / "ruff", "format", "--check", ".")


def test_python_passes_ruff(root: Path) -> None:
    check(root, TOOLS / "ruff", "check", ".")


def test_python_passes_mypy(root: Path) -> None:
    check(root, sys.executable, "-m", "mypy")


def test_what_tests_share_is_no_test(root: Path) -> None:
    """A module that is imported by others and collected as well would exist twice."""
    importing = [
        f"{path.name}: {line}"
        for path in sorted((root / "tests").rglob("*.py"))
        for line in path.read_text().splitlines()
        if line.startswith(("from test_", "import test_"))
    ]
    assert importing == []


def test_no_test_can_signal_everybody(root: Path) -> None:
    """kill(2) of -1, which is what a lookup that failed may answer, would end the whole machine."""
    raw = [
        f"{name}: {line.strip()}"
        for name in tracked(root, "tests/cpp/*.?pp")
        for line in (root / name).read_text().splitlines()
        if re.search(r"(^|[^.>\w])(::)?kill(pg)?\((?!\))", line.split("//")[0])
        and not re.search(r"if \(pid_ > 0\) ::kill\(pid_, |::kill\(::getpid\(\), ", line)
    ]
    assert raw == [], "signals.hpp has send_signal"


def test_shell_passes_shellcheck(root: Path) -> None:
    check(root, "shellcheck", "dev", ".ci/run", *tracked(root, "*.sh"))
