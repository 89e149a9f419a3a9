"""The documents say what is so."""

from __future__ import annotations

import re
from pathlib import Path

from generators import build


def test_every_link_resolves(root: Path) -> None:
    assert list(build.broken_links(root)) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "# A title\n[good](#a-title) [gone](no.md) [astray](#elsewhere) [out](https://example.org)\n"
        "```\n[code](nowhere.md)\n```\n"
    )
    assert list(build.broken_links(tmp_path)) == [
        "README.md: no.md: no such file",
        "README.md: #elsewhere: no such heading",
    ]


def test_exit_codes_are_those_of_the_code(root: Path) -> None:
    source = (root / "cpp/base/error.cpp").read_text()
    stated = {
        int(code): cause for cause, code in re.findall(r"case Cause::(\w+): return (\d+);", source)
    }
    table = (root / "docs/exit-codes.md").read_text()
    documented = {
        int(code): cause for code, cause in re.findall(r"^\| (\d+) \| `(\w+)` \|", table, re.M)
    }
    assert stated
    assert documented == stated


def test_readme_names_every_layer(root: Path) -> None:
    readme = (root / "README.md").read_text()
    for folder in (root / "cpp").iterdir():
        if folder.is_dir() and any(folder.iterdir()):
            assert f"`{folder.name}/`" in readme
