"""The statements of docs/protocol.md and the tests that name them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

STATEMENT = re.compile(r"^- \*\*(.+?)\*\*", re.MULTILINE)
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
TAG = re.compile(r"^(?://|#) Protocol:(.*)$")
TEST = re.compile(r"^(?:TEST|TEST_F|TEST_P|TYPED_TEST)\(|^def test_")
BETWEEN = re.compile(r"^(?:@|\)|\]|[ \t])")  # a decorator and what it is called with


def statements(document: str) -> list[str]:
    """The name of each statement, in order, duplicates included."""
    return STATEMENT.findall(document)


def names_a_test(lines: list[str]) -> bool:
    """Whether a test begins here, past further tags and its decorators."""
    for line in lines:
        if TEST.match(line):
            return True
        if not (TAG.match(line) or BETWEEN.match(line)):
            return False
    return False


def tags(source: str) -> Iterator[tuple[int, str, bool]]:
    """Line number, statement, and whether a test follows, of each tag of a file."""
    lines = source.splitlines()
    for number, line in enumerate(lines, 1):
        if match := TAG.match(line):
            above_a_test = names_a_test(lines[number:])
            for slug in match[1].split(","):
                yield number, slug.strip(), above_a_test


def faults(document: str, sources: dict[str, str]) -> list[str]:
    """One line a statement without a test, a tag without a statement, and what else is wrong.

    `sources`: the text of each file with tests, by its name.
    """
    known = statements(document)
    found = [f"{slug}: stated twice" for slug in sorted(set(known)) if known.count(slug) > 1]
    found += [f"{slug}: not a name" for slug in known if not SLUG.fullmatch(slug)]
    tested = set()
    for name, source in sources.items():
        for number, slug, above_a_test in tags(source):
            where = f"{name}:{number}: {slug}"
            if slug not in known:
                found.append(f"{where}: no such statement")
            elif not above_a_test:
                found.append(f"{where}: no test follows")
            else:
                tested.add(slug)
    return found + [
        f"{slug}: no test names it" for slug in dict.fromkeys(known) if slug not in tested
    ]


def sources_below(root: Path) -> dict[str, str]:
    """The C++ and Python files with tests, by their path from the root."""
    cpp = root / "tests/cpp"
    # What several test programs share.
    shared = cpp / "dataserver/contract.hpp"
    files = [*cpp.rglob("*_test.cpp"), shared, *(root / "tests/py").glob("test_*.py")]
    return {str(file.relative_to(root)): file.read_text(encoding="utf-8") for file in sorted(files)}
