"""docs/operations.md names commands, options, variables, files and messages that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from facility import BIN, run
from guides import COMMANDS, OF_THE_SYSTEM, said_by_the_programs, spans

# What other programs are given.
OPTIONS_OF_OTHERS = {"--no-deps", "--force-reinstall", "--now"}


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs/operations.md").read_text()


@pytest.fixture(scope="module")
def helps() -> str:
    """What the programs and their commands say of themselves."""
    lines = [[name] for name in COMMANDS]
    lines += [[name, command] for name, commands in COMMANDS.items() for command in commands]
    return "\n".join(run(BIN / name, *rest, "--help").out for name, *rest in lines)


def test_every_option_exists(page: str, helps: str) -> None:
    known = {option.replace("_", "-") for option in re.findall(r"--[a-z][\w-]*", helps)}
    named = {option.replace("_", "-") for option in re.findall(r"(?<!\S)`?(--[a-z][\w-]*)", page)}
    assert len(named) > 10
    assert named - known - OPTIONS_OF_OTHERS == set()


def test_every_variable_exists(page: str, helps: str) -> None:
    known = set(re.findall(r"Env:(\w+)", helps))
    named = set(re.findall(r"SCISTREAM_[A-Z_]+", page))
    assert len(named) > 10
    assert named - known == set()


def test_every_command_exists(page: str) -> None:
    named = re.findall(r"^(?:`?)(s2uc|s2ds|appctrl) ([a-z]+)", page, flags=re.M)
    named += re.findall(r"`(s2uc|s2ds|appctrl) ([a-z]+)", page)
    assert named
    assert [pair for pair in named if pair[1] not in COMMANDS[pair[0]]] == []


def test_every_file_of_the_repository_exists(page: str, root: Path) -> None:
    named = set(re.findall(r"\bdeploy/[\w./-]*\w", page))
    assert named
    assert [name for name in named if not (root / name).exists()] == []


def test_every_file_of_the_units_is_explained(page: str, root: Path) -> None:
    for file in (root / "deploy/systemd").rglob("*"):
        text = file.read_text() if file.is_file() else ""
        sources = re.findall(r"/etc/scistream/([\w.-]+\w)", text)
        assert [name for name in sources if name not in page] == []


def test_every_message_is_one_of_the_programs(page: str, root: Path) -> None:
    """By its parts: between are names and numbers, and what one message says of another."""
    said = said_by_the_programs(root)
    tables = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    messages = [span for span in spans(tables) if re.search(r"[a-z] [a-z(…]", span)]
    messages = [span for span in messages if not span.startswith(("s2", "ss ", "systemctl "))]
    assert len(messages) > 20
    of_the_system = "|".join(re.escape(text) for text in OF_THE_SYSTEM)
    parts = [
        part.strip(" ':,;)")
        for message in messages
        for part in re.split(rf"…|: |\(|{of_the_system}", message)
    ]
    strange = [part for part in parts if part not in said]
    assert not strange, strange


def test_every_exit_status_is_documented(page: str, root: Path) -> None:
    codes = re.findall(r"^\| (\d+) \|", (root / "docs/exit-codes.md").read_text(), flags=re.M)
    of_systemd = {"203", "243"}
    assert set(re.findall(r"status=(\d+)", page)) <= {*codes, *of_systemd}
