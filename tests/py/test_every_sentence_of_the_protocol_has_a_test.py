"""Every statement of docs/protocol.md is named by a test, and every name is that of a statement."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol import faults, sources_below, statements

DOCUMENT = """# Protocol

## Wire

- **one-thing** The first statement, which is
  longer than a line and names **something else**.
- **another-thing** The second.
"""
BOTH = "# Protocol: one-thing, another-thing\ndef test_both() -> None:\n"


def test_every_statement_has_a_test_and_every_tag_a_statement(root: Path) -> None:
    document = (root / "docs/protocol.md").read_text(encoding="utf-8")
    assert len(statements(document)) > 100
    assert faults(document, sources_below(root)) == []


def test_both_languages_are_looked_through(root: Path) -> None:
    suffixes = {
        Path(name).suffix for name, text in sources_below(root).items() if "Protocol:" in text
    }
    assert suffixes == {".cpp", ".hpp", ".py"}


def test_statements_are_read_in_order() -> None:
    assert statements(DOCUMENT) == ["one-thing", "another-thing"]


@pytest.mark.parametrize(
    "source",
    [
        BOTH,
        "# Protocol: one-thing\n# Protocol: another-thing\ndef test_both() -> None:\n",
        "// Protocol: one-thing, another-thing\nTEST(Suite, Both) {\n",
        "// Protocol: one-thing\n// Protocol: another-thing\nTEST_F(Suite, Both) {\n",
        '# Protocol: one-thing, another-thing\n@pytest.mark.parametrize(\n    "x", [1]\n)\n@slow\n'
        "def test_both(x: int) -> None:\n",
    ],
    ids=["python", "two lines", "c++", "c++, two lines", "decorated"],
)
def test_a_named_statement_has_its_test(source: str) -> None:
    assert faults(DOCUMENT, {"file": source}) == []


@pytest.mark.parametrize(
    ("document", "source", "why"),
    [
        (DOCUMENT, "# Protocol: one-thing\ndef test_one() -> None:\n", "another-thing: no test"),
        (DOCUMENT, BOTH.replace("one-", "old-"), "file:1: old-thing: no such statement"),
        (DOCUMENT, BOTH + "    # Protocol: one-thing\n    pass\n", ""),
        (
            DOCUMENT,
            BOTH + "# Protocol: one-thing\nLIMIT = 5\n",
            "file:3: one-thing: no test follows",
        ),
        (DOCUMENT, BOTH + "# Protocol: one-thing\n\ndef test_b() -> None:\n", "no test follows"),
        (DOCUMENT, BOTH + "# Protocol:\ndef test_b() -> None:\n", "no such statement"),
        (DOCUMENT + "- **one-thing** Again.\n", BOTH, "one-thing: stated twice"),
        (DOCUMENT + "- **Third Thing** Spelt so.\n", BOTH, "Third Thing: not a name"),
    ],
)
def test_what_is_wrong_is_found(document: str, source: str, why: str) -> None:
    found = faults(document, {"file": source})
    assert any(why in line for line in found) if why else found == []
