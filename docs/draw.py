"""Draws the pictures of docs/pictures: `./dev doc --pictures`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import draw_architecture
import draw_performance
import draw_session

FOLDER = Path(__file__).resolve().parent / "pictures"


def everything(folder: Path = FOLDER) -> None:
    """All of them; those of commands are run for it, and show what this machine says today."""
    folder.mkdir(exist_ok=True)
    (folder / "architecture.svg").write_text(str(draw_architecture.picture()), encoding="utf-8")
    page = (FOLDER.parent / "performance.md").read_text(encoding="utf-8")
    draw_performance.draw(page, folder)
    draw_session.main(folder / "session.svg", Path(tempfile.mkdtemp(prefix="scistream-picture-")))
