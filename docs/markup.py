"""Markdown of the generated pages: prose, code, tables and docstrings."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable

CODE_SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
SPECIAL = re.compile(r"[\\*<\[{$|#]|(?<!\w)_|_(?!\w)")
SECTIONS = {
    "Args": "Arguments",
    "Attributes": "Attributes",
    "Raises": "Raises",
    "Returns": "Returns",
    "Yields": "Yields",
}
SECTION = re.compile(rf"({'|'.join(SECTIONS)}):")
ENTRY = re.compile(r"(\*{0,2}\w[\w, *]*): ")


def escaped(prose: str) -> str:
    """Prose as it stands, whatever it holds; what is between backticks stays code."""
    parts, end = [], 0
    for span in CODE_SPAN.finditer(prose):
        parts += [SPECIAL.sub(r"\\\g<0>", prose[end : span.start()]), span[0]]
        end = span.end()
    return "".join(parts) + SPECIAL.sub(r"\\\g<0>", prose[end:])


def code(text: str, language: str = "") -> str:
    """A fenced block; its fence is longer than any inside."""
    longest = max((len(ticks) for ticks in re.findall(r"^`{3,}", text, re.M)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Cells are Markdown already, in one line each; a bar inside of code is not the cell's end."""
    lines = [list(titles)]
    lines.append(["---"] * len(lines[0]))
    lines += [[re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(*parts: str) -> str:
    """The parts that are not empty, one below the other."""
    return "\n\n".join(part for part in parts if part) + "\n"


# ---- docstrings ----------------------------------------------------------------------------------


def language_of(text: str) -> str:
    """Of an example: Python where it is, or else nothing that could be coloured wrongly."""
    if text.startswith(">>>"):
        return "pycon"
    try:
        ast.parse(text)
    except SyntaxError:
        return "text"
    return "python"


def blocks(text: str) -> list[str]:
    """Paragraphs, sections and examples: what empty lines part, but for those inside of one."""
    found: list[str] = []
    for piece in re.split(r"\n\s*?\n", text):
        last = found[-1] if found else ""
        if piece.startswith(" ") and (last.startswith(" ") or section_of(last)):
            found[-1] += f"\n\n{piece}"
        else:
            found.append(piece)
    return found


def section_of(block: str) -> str:
    """The name of the section that the block is; empty of any other block."""
    named = SECTION.fullmatch(block.partition("\n")[0])
    return named[1] if named else ""


def entries(text: str) -> str:
    """A list of what a section names, one item a name."""
    items: list[str] = []
    for line in textwrap.dedent(text).splitlines():
        if line.startswith(" ") and items:
            items[-1] += f" {line.strip()}"
        else:
            items.append(line)
    found = []
    for item in items:
        named = ENTRY.match(item)
        rest = item[named.end() :] if named else item
        found.append(f"- `{named[1]}`: {escaped(rest)}" if named else f"- {escaped(rest)}")
    return "\n".join(found)


def docstring(text: str) -> str:
    """A docstring in Google's style as Markdown."""
    parts = []
    for block in blocks(inspect.cleandoc(text)):
        first, _, rest = block.partition("\n")
        if section := section_of(block):
            plain = section in ("Returns", "Yields")
            said = escaped(textwrap.dedent(rest)) if plain else entries(rest)
            parts += [f"**{SECTIONS[section]}**", said]
        elif block.startswith(" "):
            example = textwrap.dedent(block)
            parts.append(code(example, language_of(example)))
        elif re.fullmatch(r"[-=~]+", rest):
            parts.append(f"**{escaped(first)}**")
        else:
            parts.append(escaped(block))
    return "\n\n".join(parts)
