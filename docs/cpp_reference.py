"""The C++ library: a page a public header, of its declarations and the comments above them.

It reads the house's own style, by lines and brackets: `///` above what it is about, `///<` behind
it, one declaration at a time. Bodies of functions, private members and macros that say where a
symbol is to be seen are left out.
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from markup import code, escaped, page, table

TOP = 2  # the level of headings for what is not inside of something
WIDTH = 96  # of a declaration in one line
OPEN, CLOSED = "([{", ")]}"
NAMESPACE = re.compile(r"(?:inline\s+)?namespace\s*([\w: ]*?)\s*\{")
TYPE = re.compile(
    r"(?:template\s*<.*?>\s*)?(?P<word>class|struct|enum class|enum|union)\s+"
    r"(?:\[\[.*?\]\]\s*)?(?P<name>[\w:]+(?:<[^{}]*?>)?)(?P<rest>[^{};()]*)\{(?P<body>.*)\}\s*;",
    re.DOTALL,
)
ACCESS = re.compile(r"(public|protected|private)\s*:")
TEXT = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'')
EXPORTS = re.compile(r"\b[A-Z_]+_EXPORT\s+")


@dataclass
class Declaration:
    """One of a header, or of a class in it."""

    code: str
    """Without its body; of a class without its members."""
    said: str
    name: str = ""
    """Of a class or enumeration; empty of all others."""
    members: list[Declaration] = field(default_factory=list)
    values: list[tuple[str, str]] = field(default_factory=list)
    """Of an enumeration: names, and what is said of them."""


def depth(line: str) -> int:
    """How many brackets the line leaves open."""
    plain = TEXT.sub("", line)
    return sum(plain.count(sign) for sign in OPEN) - sum(plain.count(sign) for sign in CLOSED)


def split_comment(line: str) -> tuple[str, str]:
    """A line without its comment, and the comment, if it is behind a declaration and about it."""
    masked = TEXT.sub(lambda text: "_" * len(text[0]), line)
    start = masked.find("//")
    if start < 0:
        return line.rstrip(), ""
    comment = line[start:]
    return line[:start].rstrip(), comment[4:].strip() if comment.startswith("///<") else ""


def is_whole(text: str) -> bool:
    """Whether a declaration that has no bracket open has ended."""
    if re.match(r"(?:template\s*<.*>\s*)?(?:class|struct|enum|union)\b(?!.*\()", text, re.DOTALL):
        return text.endswith(";")
    return text.endswith((";", "}"))


def without_body(text: str) -> str:
    """A declaration as it would stand if it were defined elsewhere."""
    text = EXPORTS.sub("", text)
    if text.endswith("}"):
        start = len(text)
        open_brackets = 0
        while True:
            start -= 1
            open_brackets += (text[start] in CLOSED) - (text[start] in OPEN)
            if open_brackets == 0:
                break
        text = text[:start].rstrip()
        # What a constructor begins its members with.
        text = re.sub(r"\)((?:\s*(?:noexcept|const))*)\s*:(?!:).*", r")\1", text, flags=re.DOTALL)
        text += ";"
    return laid_out(text)


def laid_out(text: str) -> str:
    """In one line, or with its further lines indented."""
    lines = [line.strip() for line in text.splitlines()]
    line = re.sub(r"\( ", "(", " ".join(lines))
    return line if len(line) <= WIDTH else "\n    ".join(lines)


class Reader:
    """Reads declarations out of lines, in order."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._at = 0

    def _next(self) -> str:
        self._at += 1
        return self._lines[self._at - 1]

    def declarations(self, private: bool = False) -> Iterator[Declaration]:
        """All that is public; `private`: of a class, whose members are private until it says so."""
        above: list[str] = []
        last: Declaration | None = None
        while self._at < len(self._lines):
            line = self._next()
            bare = line.strip()
            if bare.startswith("///<"):
                if last:
                    last.said = f"{last.said} {bare[4:].strip()}".strip()
            elif bare.startswith("///"):
                above.append(bare[3:].removeprefix(" "))
            elif bare.startswith("#"):
                if (macro := self._macro(bare)) and above:
                    yield Declaration(macro, "\n".join(above))
                above = []
            elif not bare or bare.startswith(("//", "}")):
                above = [] if not bare else above
            elif namespace := NAMESPACE.match(bare):
                above = []
                if namespace[1].endswith("detail"):
                    self._skip(depth(bare))
            elif access := ACCESS.match(bare):
                private = access[1] == "private"
                above = []
            else:
                text, behind = self._gather(line)
                last = self._read(text, "\n".join([*above, *behind]).strip())
                above = []
                if not private:
                    yield last

    def _macro(self, line: str) -> str:
        """What is defined, without what it stands for; empty of other directives."""
        named = re.match(r"#\s*define\s+(\w+(?:\([^)]*\))?)", line)
        while line.endswith("\\") and self._at < len(self._lines):
            line = self._next()
        return f"#define {named[1]}" if named else ""

    def _skip(self, still_open: int) -> None:
        while still_open > 0 and self._at < len(self._lines):
            still_open += depth(split_comment(self._next())[0])

    def _gather(self, line: str) -> tuple[str, list[str]]:
        """The text of the declaration that begins in a line, and what is said behind it."""
        text, comment = split_comment(line)
        kept, behind = [text], [comment] if comment else []
        still_open = depth(text)
        is_type = bool(re.search(r"\b(class|struct|enum|union)\b", text))
        raw = [line]
        while still_open > 0 or not is_whole("\n".join(kept).strip()):
            if self._at == len(self._lines):
                break
            line = self._next()
            raw.append(line)
            text, comment = split_comment(line)
            still_open += depth(text)
            if text.strip():
                kept.append(text)
            if comment and not is_type:
                behind.append(comment)
        return "\n".join(raw if is_type and len(raw) > 1 else kept), behind

    def _read(self, text: str, said: str) -> Declaration:
        found = TYPE.match(EXPORTS.sub("", text.strip()))
        if not found:
            plain = "\n".join(split_comment(line)[0] for line in text.splitlines())
            return Declaration(without_body(plain.strip()), said)
        body = found["body"]
        head = textwrap.dedent(found[0][: found.start("body") - found.start() - 1]).strip()
        if found["word"].startswith("enum"):
            return Declaration(head, said, found["name"], values=list(values(body)))
        inner = Reader(textwrap.dedent(body).splitlines())
        members = list(inner.declarations(private=found["word"] == "class"))
        return Declaration(head, said, found["name"], members)


def values(body: str) -> Iterator[tuple[str, str]]:
    """The names of an enumeration, and the text above or behind each."""
    above: list[str] = []
    gathered: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        bare = line.strip()
        if bare.startswith("///<") and gathered:
            gathered[-1][1].append(bare[4:].strip())
        elif bare.startswith("///"):
            above.append(bare[3:].strip())
        else:
            text, behind = split_comment(bare)
            for each in filter(None, (part.strip() for part in text.split(","))):
                gathered.append((each, [*above, *([behind] if behind else [])]))
                above = []
    yield from ((name, " ".join(said)) for name, said in gathered)


def read(text: str) -> list[Declaration]:
    """The public declarations of a header."""
    return list(Reader(text.splitlines()).declarations())


def is_data(declaration: Declaration) -> bool:
    """A member that holds something, and is no function."""
    plain = declaration.code
    while (shorter := re.sub(r"<[^<>]*>", "", plain)) != plain:
        plain = shorter
    starts = ("using ", "friend ", "#", "virtual ", "template")
    return not (declaration.name or "(" in plain or plain.startswith(starts))


def together(declarations: list[Declaration]) -> str:
    """Several that stand side by side: data as a table, if something is said of it."""
    if any(each.said for each in declarations):
        rows = (
            (f"`{laid_out(each.code).rstrip(';')}`", escaped(each.said.replace("\n", " ")))
            for each in declarations
        )
        return table(("member", "what it says"), rows)
    return code("\n".join(each.code for each in declarations), "cpp") if declarations else ""


def shown(declarations: list[Declaration], level: int) -> Iterator[str]:
    """Data stands together, and so do functions that nothing is said of."""

    def group(each: Declaration) -> str:
        if level > TOP and is_data(each):
            return "data"
        return str(id(each)) if each.said or each.name else "silent"

    for kind, grouped in itertools.groupby(declarations, group):
        if kind in ("data", "silent"):
            yield together(list(grouped))
            continue
        (each,) = grouped
        if each.name:
            yield f"{'#' * min(level, 6)} {escaped(each.name)}"
        yield code(f"{each.code};" if each.name else each.code, "cpp")
        yield escaped(each.said)
        if each.values:
            rows = ((f"`{name}`", escaped(said)) for name, said in each.values)
            yield table(("value", "what it says"), rows)
        yield from shown(each.members, level + 1)


def pages(root: Path) -> dict[str, str]:
    """By the names of their files; none where there is no public header."""
    folder = root / "cpp/include"
    found = {}
    for header in sorted(folder.rglob("*.hpp")):
        name = header.relative_to(folder).as_posix()
        parts = shown(read(header.read_text(encoding="utf-8")), TOP)
        include = code(f'#include "{name}"', "cpp")
        file = f"cpp-{header.relative_to(folder / 'scistream').with_suffix('').as_posix()}.md"
        found[file.replace("/", "-")] = page(f"# {name}", include, *parts)
    return found
