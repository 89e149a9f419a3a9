"""Reads systemd's unit files, and what they start, as systemd.syntax(7) says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

Settings = dict[str, list[str]]  # the values of a key, in order


def read_unit(*files: Path) -> dict[str, Settings]:
    """The settings of a unit and of its drop-ins, by section."""
    sections: dict[str, Settings] = {}
    for file in files:
        section = ""
        for line in file.read_text().splitlines():
            if not line or line.startswith(("#", ";")):
                continue
            if line.startswith("["):
                section = line.strip("[]")
                continue
            key, _, value = line.partition("=")
            sections.setdefault(section, {}).setdefault(key, []).append(value)
    return sections


def resolved(text: str, folders: dict[str, Path]) -> str:
    """With the specifiers' folders in their places: `%S` for the state, `%t` for what runs."""
    return re.sub(r"%(.)", lambda match: str(folders[match[1]]), text)


def read_environment(text: str) -> dict[str, str]:
    """The variables of an environment file; of two lines for one the last."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def with_every_setting(text: str) -> str:
    """An environment file, each of its settings in force."""
    return re.sub(r"^#(?=SCISTREAM_)", "", text, flags=re.M)


def command_of(unit: dict[str, Settings], bin_folder: Path, folders: dict[str, Path]) -> list[str]:
    """What the unit starts, from another folder than /usr/bin."""
    (line,) = unit["Service"]["ExecStart"]
    program, *words = shlex.split(resolved(line, folders))
    return [str(bin_folder / Path(program).relative_to("/usr/bin")), *words]


def environment_of(unit: dict[str, Settings], folders: dict[str, Path]) -> dict[str, str]:
    """The variables that the unit itself sets."""
    lines = unit["Service"].get("Environment", [])
    return dict(resolved(line, folders).split("=", 1) for line in lines)
