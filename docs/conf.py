"""The site of the documents: sphinx-build -W -b html -c docs . build/docs/html.

The source is the repository's root, so that links to files outside docs/ lead somewhere; pages
stay plain Markdown, and the menu is made of the links of docs/index.md, and of the references that
docs/build.py has written to build/docs/reference.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "build/docs/reference"
# In this order: what is typed, what is imported, what is sent, what is linked.
ORDER = ("commands", "scistream", "wire", "cpp-")
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
include_patterns.append("build/docs/reference/*.md")
html_theme = "furo"
html_title = f"SciStream {release}"
html_show_sourcelink = False
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
highlight_language = "text"
nitpicky = True


def references() -> list[Path]:
    """The generated pages, in the order of the menu."""
    pages = sorted(REFERENCE.glob("*.md"), key=lambda page: page.stem)
    return [page for name in ORDER for page in pages if page.stem.startswith(name)]


def title(page: Path) -> str:
    """Of a page, by its first line."""
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def menu(caption: str, pages: list[str]) -> str:
    """A part of the menu."""
    head = f":caption: {caption}\n" if caption else ""
    lines = "\n".join(pages)
    return f"\n```{{toctree}}\n:hidden:\n{head}\n{lines}\n```\n"


def add_menu(_: Any, name: str, source: list[str]) -> None:
    """The pages in the order of the index, the references, then the others of the repository."""
    if name == root_doc:
        pages = [f"/docs/{page}" for page in re.findall(r"\]\(([\w-]+)\.md\)", source[0])]
        source[0] += menu("", pages)
        if generated := references():
            source[0] += "\n## References\n\nGenerated from the sources of this version:\n\n"
            source[0] += "".join(
                f"- [{title(page)}](/{page.relative_to(ROOT)})\n" for page in generated
            )
            source[0] += menu(
                "References",
                [f"/{page.relative_to(ROOT).with_suffix('')}" for page in generated],
            )
        source[0] += menu("The repository", [f"/{other}" for other in OTHERS])


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_menu)
