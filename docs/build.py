"""Writes the references to build/docs/reference and checks every link of the documents.

They are made of what the installed commands say with --help, of proto/, of the signatures and
docstrings of the installed package, and of the public headers, so they cannot fall behind them.
`--pictures` draws those of docs/pictures again, first.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cpp_reference
import draw
import python_reference
import wire_reference

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("s2cs", "s2uc", "s2ds", "appctrl")

FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(\s*<?([^)>\s]+)>?[^)]*\)|!\[[^\]]*\]\(([^)\s]+)[^)]*\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
SUBCOMMANDS = re.compile(r"^subcommands:\s*$(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL | re.I)


def documents(root: Path) -> list[Path]:
    """The Markdown files that users read."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def anchors(text: str) -> set[str]:
    """The fragments that headings offer, spelt as code hosts spell them."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def broken_links(root: Path) -> Iterator[str]:
    """One line a link to a file or heading that is not there; links to elsewhere are not tried."""
    for document in documents(root):
        text = FENCE.sub("", document.read_text(encoding="utf-8"))
        for match in LINK.finditer(text):
            link = match[1] or match[2]
            if re.match(r"[a-z][a-z0-9+.-]*:", link):
                continue
            name, _, fragment = link.partition("#")
            target = (document.parent / name).resolve() if name else document
            where = f"{document.relative_to(root)}: {link}"
            if not target.exists():
                yield f"{where}: no such file"
            elif fragment and fragment not in anchors(target.read_text(encoding="utf-8")):
                yield f"{where}: no such heading"


def help_text(*command: str) -> str:
    """What a command says with --help."""
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def reference(folder: Path) -> str:
    """The help of every command in the folder and of each of its subcommands."""
    parts = ["# Commands"]
    for name in COMMANDS:
        program = folder / name
        if not program.exists():
            continue
        text = help_text(str(program))
        parts += [f"## {name}", f"```\n{text}\n```"]
        listed = SUBCOMMANDS.search(text)
        for sub in re.findall(r"^ {1,4}([a-z][\w-]*)", listed[1] if listed else "", re.MULTILINE):
            parts += [f"### {name} {sub}", f"```\n{help_text(str(program), sub)}\n```"]
    return "\n\n".join(parts) + "\n"


def pages(root: Path) -> dict[str, str]:
    """Every page that is generated, by the name of its file."""
    return {
        "commands.md": reference(Path(sys.executable).parent),
        **wire_reference.pages(root),
        **python_reference.pages(),
        **cpp_reference.pages(root),
    }


def write(folder: Path, texts: dict[str, str]) -> None:
    """These files and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def main() -> int:
    """Writes the references; 1 if a link is broken."""
    parser = argparse.ArgumentParser(description="Writes the references and checks links.")
    parser.add_argument("--pictures", action="store_true", help="draw docs/pictures again")
    if parser.parse_args().pictures:
        draw.everything()
    output = ROOT / "build/docs/reference"
    write(output, pages(ROOT))
    print(f"wrote {output}")
    broken = list(broken_links(ROOT))
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
