"""Every notebook runs from its first cell to its last, and shows what it should."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from needs import skip_or_fail

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# In a process of its own: what the kernel's packages warn of is not ours.
RUN = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
nbformat.validate(notebook)
NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def shown(cell: dict[str, Any]) -> str:
    """All that a cell has put out, kinds included."""
    text = ""
    for output in cell["outputs"]:
        text += "".join(output.get("text", ""))
        for kind, value in output.get("data", {}).items():
            text += f"\n{kind}\n" + ("" if kind.startswith("image/") else "".join(value))
    return text


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_users_find_every_notebook(page: str) -> None:
    named = re.findall(r"\]\((?:\.\./)?notebooks/([^)]+)\)", (ROOT / page).read_text())
    assert sorted(named) == [path.name for path in NOTEBOOKS]


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, path, tmp_path / "done.ipynb"],
        cwd=tmp_path,
        env={
            **os.environ,
            "IPYTHONDIR": str(tmp_path),
            "SCISTREAM_REPOSITORY": str(ROOT),
            "SCISTREAM_STATE_DIR": str(tmp_path / "s"),
        },
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = json.loads((tmp_path / "done.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    lacking: list[str] = []
    for cell in code:
        if skipped := re.findall(r"^skipped: (.*)", shown(cell), re.M):
            lacking += skipped
            continue
        wanted = cell["metadata"].get("expect", "")
        assert re.search(wanted, shown(cell), re.S), f"{cell['source']}\n{shown(cell)}"
    if lacking:
        skip_or_fail("; ".join(dict.fromkeys(lacking)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_what_it_showed(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert sum("expect" in cell["metadata"] for cell in code) > len(code) / 2
    assert cells[0]["source"][0].startswith("# ")
