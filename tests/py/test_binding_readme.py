"""The README's Python works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from binding import python


def test_the_example_of_the_readme_runs(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCISTREAM_STATE_DIR", str(tmp_path))
    (example,) = re.findall(
        r"^```python\n(.*?)^```", (root / "README.md").read_text(encoding="utf-8"), re.M | re.S
    )
    assert python(example).startswith("the consumer application connects to ('127.0.2.1:")
