"""The README and the pages of docs/: their fenced blocks, and a folder in which these are run."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from facility import Command, Done, clean_environment, run

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
COMMANDS = {
    "s2cs": ["check-policy"],
    "s2ds": ["serve", "relay", "doctor"],
    "s2uc": [
        *("request", "release", "rate", "status", "watch", "list", "info", "trust", "login"),
        *("logout", "check-auth", "doctor"),
        *("prod-req", "cons-req", "inbound-request", "outbound-request"),
    ],
    "appctrl": ["hello", "run", "mock"],
}
# The system's words, at the end of ours.
OF_THE_SYSTEM = {os.strerror(number) for number in range(1, 134)} | {"Name or service not known"}


PAGES = ["README", *sorted(path.stem for path in DOCS.glob("*.md"))]


def page(name: str) -> str:
    folder = ROOT if name == "README" else DOCS
    return (folder / f"{name}.md").read_text(encoding="utf-8")


def blocks(name: str) -> list[tuple[str, str, str]]:
    """Language, content, and the text before, of each fenced block."""
    found = []
    end = 0
    text = page(name)
    for match in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.M | re.S):
        found.append((match[2], textwrap.dedent(match[3]), text[end : match.start()]))
        end = match.end()
    return found


def spans(page: str) -> Iterator[str]:
    """What is set as code within the text."""
    for line in re.sub(r"^```.*?^```", "", page, flags=re.M | re.S).splitlines():
        yield from re.findall(r"`([^`]+)`", line)


def said_by_the_programs(root: Path) -> str:
    """Every text in the sources, those that are written in pieces put together."""
    source = "\n".join(path.read_text() for path in sorted((root / "cpp").rglob("*.?pp")))
    return re.sub(r'"\s*"', "", source)


def of_language(name: str, language: str) -> list[str]:
    return [content for found, content, _ in blocks(name) if found == language]


def named_file(before: str) -> str:
    """Under which name the page says to save the block that follows."""
    *_, last = re.findall(r"`([\w-]+\.py)`", before) or [""]
    return str(last)


def program(name: str, file: str) -> str:
    """A program of a page, by the name that the page gives it."""
    return next(
        content
        for language, content, before in blocks(name)
        if language == "python" and named_file(before) == file
    )


class Place:
    """A folder in which a page's blocks are run, with what there is here for its names."""

    def __init__(self, folder: Path, stand_ins: dict[str, str]) -> None:
        self.folder = folder / "place"
        self.folder.mkdir()
        self.stand_ins = stand_ins
        self.env = clean_environment(self.folder)
        self.exports = ""

    def here(self, text: str) -> str:
        if not self.stand_ins:
            return text
        names = "|".join(map(re.escape, sorted(self.stand_ins, key=len, reverse=True)))
        return re.sub(rf"(?:{names})(?![\d.])", lambda name: self.stand_ins[name[0]], text)

    def there(self, text: str) -> str:
        for name, word in self.stand_ins.items():
            text = re.sub(rf"{re.escape(word)}(?![\d.])", name, text)
        return text.replace(str(self.folder), "/home/user")

    def words(self, block: str) -> list[str]:
        self.exports += "".join(re.findall(r"^export .*\n", block, re.M))
        return ["bash", "-euc", f"{self.exports}\n{self.here(block)}"]

    def run(self, block: str, **env: str) -> Done:
        return run(*self.words(block), cwd=self.folder, env={**self.env, **env})

    def start(self, block: str, **env: str) -> Command:
        words = self.words(f"exec {block}")
        return Command(*words, cwd=self.folder, env={**self.env, **env})

    def save(self, file: str, text: str, mode: int = 0o600) -> None:
        path = self.folder / file
        path.write_text(self.here(text))
        path.chmod(mode)


def alike(text: str) -> list[str]:
    """The lines without what is different in each run: times, numbers of processes, columns."""
    for pattern in (
        r"\d{4}-\d\d-\d\dT[\d:.]+",
        r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}",
        r"pid \d+",
        r"[\d.]+ ms",
        r"\d+ s$",
    ):
        text = re.sub(pattern, "#", text, flags=re.M)
    return sorted(re.sub(r" +", " ", line.strip()) for line in text.splitlines() if line.strip())
