"""Text as a terminal shows it, as an SVG whose lines appear one after another."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from svg import MONO, Picture, element

SIZE, STEP = 12.5, 18.0  # of the letters and of a line, in pixels
LETTER = 0.602 * SIZE  # the widest of the usual fonts
MARGIN, BAR = 16, 34
PAPER, EDGE, INK = "#10161d", "#3a4653", "#d3dae2"
ESCAPE = re.compile(r"\x1b\[([\d;]*)m")
# Those of the codes that our programs use, and how what is typed looks.
STYLES = {
    "1": "font-weight:bold;fill:#ffffff",
    "2": "fill:#7d8b99",
    "31": "fill:#ff8578",
    "32": "fill:#6fd08c",
    "33": "fill:#e6c15c",
    "34": "fill:#7fb2ff",
    "36": "fill:#6cd3d8",
}
BOLD, PALE, GREEN = "1", "2", "32"
STILL = "@media(prefers-reduced-motion:reduce){.l{animation:none}}"


@dataclass(frozen=True)
class Line:
    """What has appeared, and when: seconds since the beginning. With a terminal's own colours."""

    at: float
    text: str


def coloured(text: str, code: str) -> str:
    """As programs write it."""
    return f"\x1b[{code}m{text}\x1b[0m"


def plain(text: str) -> str:
    """Without colours."""
    return ESCAPE.sub("", text)


def spans(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Parts of a line with the codes in force."""
    codes: tuple[str, ...] = ()
    end = 0
    for match in [*ESCAPE.finditer(text), None]:
        part = text[end : match.start() if match else len(text)]
        if part:
            yield codes, part
        if match:
            end = match.end()
            for code in (match[1] or "0").split(";"):
                codes = () if code == "0" else (*codes, code)


def wrapped(lines: Sequence[Line], columns: int) -> list[Line]:
    """Those that are too long go on in the next, as terminals do; they have one colour then."""
    found = []
    for line in lines:
        if len(plain(line.text)) <= columns:
            found.append(line)
            continue
        pieces = textwrap.wrap(
            plain(line.text), columns, break_on_hyphens=False, subsequent_indent="    "
        )
        (codes, _), *_ = spans(line.text)
        found += [Line(line.at, coloured(p, codes[0]) if codes else p) for p in pieces]
    return found


def picture(lines: Sequence[Line], columns: int, title: str, description: str) -> Picture:
    """A window with the lines; where nothing moves, all of them are there."""
    rows = wrapped(lines, columns)
    width = round(columns * LETTER + 2 * MARGIN)
    height = round(BAR + len(rows) * STEP + MARGIN)
    kinds = "".join(f".c{code}{{{style}}}" for code, style in STYLES.items())
    style = (
        f"text{{font-family:{MONO};font-size:{SIZE}px;fill:{INK};white-space:pre}}{kinds}"
        f".l{{animation:s .01s linear both}}@keyframes s{{from{{opacity:0}}to{{opacity:1}}}}{STILL}"
    )
    drawn = Picture(width, height, title, description, style)
    drawn.add(
        "rect", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=9, fill=PAPER, stroke=EDGE
    )
    for number, colour in enumerate(("#e0655b", "#dfb24c", "#62b866")):
        drawn.add("circle", cx=MARGIN + 4 + 18 * number, cy=17, r=5, fill=colour)
    drawn.text(width / 2, 21, title, class_="c2", text_anchor="middle")
    for number, row in enumerate(rows):
        inside = "".join(
            element("tspan", escape(part), class_=" ".join(f"c{code}" for code in codes))
            if codes
            else escape(part)
            for codes, part in spans(row.text)
        )
        drawn.add(
            "text",
            inside or " ",
            class_="l",
            x=MARGIN,
            y=BAR + (number + 0.7) * STEP,
            style=f"animation-delay:{row.at:.2f}s",
            **{"xml:space": "preserve"},
        )
    return drawn


def text_of(svg: str) -> list[str]:
    """The lines that a picture shows."""
    found = re.findall(r'<text class="l"[^>]*>(.*?)</text>', svg)
    bare = (re.sub(r"<[^>]*>", "", line) for line in found)
    return [
        line.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").rstrip()
        for line in bare
    ]
