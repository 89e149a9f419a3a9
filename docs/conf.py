"""The site of the documents: sphinx-build -W -b html -c docs . build/docs/html.

The source is the repository's root, so that links to files outside docs/ lead somewhere; pages
stay plain Markdown, and the menu is made of the links of docs/index.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OTHERS = ["README", "CHANGELOG", "CONTRIBUTING", "SECURITY", "bench/README"]

project = "SciStream"
author = "the SciStream project"
project_copyright = author
(release,) = re.findall(
    r"project\(scistream VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()
)
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
root_doc = "docs/index"
include_patterns = ["docs/*.md", *(f"{name}.md" for name in OTHERS)]
html_theme = "furo"
html_title = f"SciStream {release}"
html_show_sourcelink = False
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
highlight_language = "text"
nitpicky = True


def add_menu(_: Any, name: str, source: list[str]) -> None:
    """The pages in the order of the index, then the others of the repository."""
    if name == root_doc:
        pages = [f"/docs/{page}" for page in re.findall(r"\]\(([\w-]+)\.md\)", source[0])]
        lines = "\n".join([*pages, *(f"/{other}" for other in OTHERS)])
        source[0] += f"\n```{{toctree}}\n:hidden:\n\n{lines}\n```\n"


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_menu)
