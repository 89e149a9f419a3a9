"""The pictures of docs/pictures: what they show is so, and can be read."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from generators import draw_architecture, draw_performance, draw_session, svg, terminal
from guides import DOCS, PAGES, ROOT, page

FOLDER = DOCS / "pictures"
FILES = sorted(path.name for path in FOLDER.glob("*"))
PLOTS = draw_performance.PLOTS
SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"


def read(name: str) -> ET.Element:
    return ET.parse(FOLDER / name).getroot()


# ---- all of them -------------------------------------------------------------------------------


def test_there_are_those_that_are_drawn() -> None:
    assert set(FILES) == {"architecture.svg", "session.svg", *(f"{name}.svg" for name in PLOTS)}


def test_every_picture_is_shown_and_described() -> None:
    shown: dict[str, list[str]] = {}
    for name in PAGES:
        for said, file in re.findall(r"!\[([^\]]*)\]\(((?:docs/)?pictures/[^)]+)\)", page(name)):
            assert len(said) > 10, file
            shown.setdefault(Path(file).name, []).append(name)
    assert sorted(shown) == FILES
    assert "README" in shown["architecture.svg"]
    assert "README" in shown["session.svg"]


@pytest.mark.parametrize("name", FILES)
def test_a_picture_is_small_and_stands_alone(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert len(text) < 60_000
    assert "<script" not in text
    assert "<image" not in text
    links = [element.get(LINK, element.get("href", "#")) for element in read(name).iter()]
    assert [link for link in links if not link.startswith("#")] == []
    assert "url(http" not in text


@pytest.mark.parametrize("name", FILES)
def test_a_picture_brings_its_background(name: str) -> None:
    """It is read on a light page and on a dark one."""
    root = read(name)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    if name.removesuffix(".svg") in PLOTS:
        (patch,) = (each for each in root.iter(f"{SVG}g") if each.get("id") == "patch_1")
        (path,) = patch.iter(f"{SVG}path")
        numbers = [float(number) for number in re.findall(r"[\d.]+", path.attrib["d"])]
        assert (max(numbers), "fill: #ffffff" in path.attrib["style"]) == (width, True)
    else:
        first = next(root.iter(f"{SVG}rect"))
        assert float(first.attrib["width"]) >= width - 2
        assert float(first.attrib["height"]) >= height - 2
        assert re.fullmatch(r"#[0-9a-f]{6}", first.attrib["fill"])


# ---- the architecture --------------------------------------------------------------------------


@dataclass
class Box:
    """Where something is."""

    what: str
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)

    def holds(self, other: Box) -> bool:
        sideways = self.left <= other.left and other.right <= self.right
        return sideways and self.top <= other.top and other.bottom <= self.bottom


def texts() -> Iterator[Box]:
    """Of the architecture, by the widest of the fonts that it may be shown in."""
    styles = draw_architecture.STYLE
    for element in read("architecture.svg").iter(f"{SVG}text"):
        kind = element.get("class", "")
        rule = re.search(rf"^\.{kind}\{{(.*)\}}", styles, re.M) if kind else None
        size = re.search(r"font-size:(\d+)px", rule[1] if rule else "")
        points = float(element.get("font-size") or (size[1] if size else 14))
        weight = "bold" if rule and "bold" in rule[1] else "normal"
        font = FontProperties(family="DejaVu Sans", weight=weight)
        words = element.text or ""
        wide = TextPath((0, 0), words, size=points, prop=font).get_extents().width
        x, y = float(element.attrib["x"]), float(element.attrib["y"])
        left = {"middle": x - wide / 2, "end": x - wide}.get(element.get("text-anchor", ""), x)
        yield Box(words, left, y - 0.76 * points, left + wide, y + 0.2 * points)


def rectangles(kind: str) -> list[Box]:
    found = []
    for element in read("architecture.svg").iter(f"{SVG}rect"):
        x, y, wide, high = (float(element.attrib[name]) for name in ("x", "y", "width", "height"))
        if element.get("class", "") == kind:
            found.append(Box(kind, x, y, x + wide, y + high))
    return found


def lines() -> Iterator[Box]:
    """The straight parts of every arrow."""
    for element in read("architecture.svg").iter(f"{SVG}path"):
        if element.get("class") in ("control", "data"):
            points = re.findall(r"([\d.]+) ([\d.]+)", element.attrib["d"])
            for (x1, y1), (x2, y2) in zip(points, points[1:]):
                xs, ys = sorted((float(x1), float(x2))), sorted((float(y1), float(y2)))
                half = 1 if element.get("class") == "control" else 5
                yield Box("arrow", xs[0] - half, ys[0] - half, xs[1] + half, ys[1] + half)


def test_the_architecture_is_as_its_source_draws_it() -> None:
    assert (FOLDER / "architecture.svg").read_text() == str(draw_architecture.picture())


def test_no_text_covers_another_or_an_arrow() -> None:
    words = list(texts())
    assert len(words) > 25
    assert [(a, b) for a, b in itertools.combinations(words, 2) if a.meets(b)] == []
    assert [(a, b) for a in words for b in lines() if a.meets(b)] == []


def test_every_text_is_inside_of_what_it_belongs_to() -> None:
    (whole,) = rectangles("")
    boxes = [*rectangles("box"), *rectangles("frame"), *rectangles("gateway")]
    assert len(boxes) == 9 + 2 + 2
    for text in texts():
        assert whole.holds(text), text
        for box in boxes:
            assert box.holds(text) or not box.meets(text), (text, box)


def test_the_architecture_has_the_programs_and_the_steps_of_a_session() -> None:
    words = [text.what for text in texts()]
    for name, times in (("s2uc", 1), ("s2cs", 2), ("s2ds", 2), ("appctrl", 2)):
        assert words.count(name) == times
    steps = re.findall(r"^(\d)\. \*\*(\w+)\.\*\*", page("README"), re.M)
    assert len(steps) == 5
    shown = " ".join(words)
    for number, step in steps:
        assert f"{number} {step.lower()}" in shown or f"{number} is {step.lower()}" in shown


# ---- the session -------------------------------------------------------------------------------


def test_the_recording_shows_what_the_commands_say(tmp_path: Path) -> None:
    today = terminal.wrapped(draw_session.record(tmp_path, seconds=1), draw_session.COLUMNS)
    shown = terminal.text_of((FOLDER / "session.svg").read_text())
    assert len(shown) > 25
    assert draw_session.alike(shown) == draw_session.alike(
        [terminal.plain(line.text) for line in today]
    )


def test_a_recording_that_says_something_else_would_be_noticed() -> None:
    said = ["scan-7  PROD  127.0.1.1:5100  0/2   3.86 GB  3 s", "set up in 13.7 ms"]
    assert draw_session.alike(said) == draw_session.alike(
        ["scan-7  PROD  127.0.1.1:5100  1/3   910 MB  21 s", "set up in 9 ms"]
    )
    for other in (
        "scan-7  CONS  127.0.1.1:5100  0/2   3.86 GB  3 s",
        "scan-7  PROD  127.0.1.1:5101  0/2   3.86 GB  3 s",
        "scan-8  PROD  127.0.1.1:5100  0/2   3.86 GB  3 s",
    ):
        assert draw_session.alike([other]) != draw_session.alike(said[:1])


def test_a_recording_whose_command_fails_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draw_session, "SCRIPT", "s2uc release nothing\n")
    with pytest.raises(RuntimeError, match="s2uc release nothing ended with 7"):
        draw_session.record(tmp_path)


def test_lines_appear_one_after_another_and_are_still_where_nothing_moves() -> None:
    text = (FOLDER / "session.svg").read_text()
    times = [float(each) for each in re.findall(r"animation-delay:([\d.]+)s", text)]
    assert times == sorted(times)
    assert len(times) == len(terminal.text_of(text))
    assert times[-1] < 30
    assert "prefers-reduced-motion:reduce" in text
    rows = [float(each) for each in re.findall(r'class="l" x="16" y="([\d.]+)"', text)]
    assert {round(below - above, 1) for above, below in zip(rows, rows[1:])} == {terminal.STEP}
    widest = max(map(len, terminal.text_of(text)))
    assert widest <= draw_session.COLUMNS


def test_a_terminal_has_colours_and_ends_its_lines() -> None:
    seen = [
        terminal.Line(0, f"{terminal.coloured('ok', '32;1')} & <so> on"),
        terminal.Line(1.5, "a line that is too long for it"),
        terminal.Line(2, ""),
    ]
    text = str(terminal.picture(seen, 20, "title", "what it is"))
    assert '<tspan class="c32 c1">ok</tspan> &amp; &lt;so&gt; on' in text
    assert terminal.text_of(text) == [
        "ok & <so> on",
        "a line that is too",
        "    long for it",
        "",
    ]
    assert ET.fromstring(text).get("role") == "img"


def test_words_of_a_picture_are_no_markup() -> None:
    drawn = svg.Picture(10, 10, "a < b", "c & d")
    drawn.text(1, 2, "<b>", class_="x", text_anchor="end", fill=None)
    assert '<text x="1" y="2" class="x" text-anchor="end">&lt;b&gt;</text>' in str(drawn)
    assert "a &lt; b" in str(drawn)


# ---- plots -------------------------------------------------------------------------------------


def marks(name: str) -> dict[tuple[str, str], dict[str, list[tuple[float, float]]]]:
    """Where the points of each line are, by the part of the figure and what it shows."""
    found: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}
    for group in read(f"{name}.svg").iter(f"{SVG}g"):
        if match := re.fullmatch(r"(\d):(\w+):(.*)", group.get("id", "")):
            points = [
                (float(use.attrib["x"]), float(use.attrib["y"])) for use in group.iter(f"{SVG}use")
            ]
            found.setdefault((match[1], match[2]), {})[match[3]] = points
    return found


def are_in_scale(places: list[float], values: list[float]) -> bool:
    """Whether one straight scale maps the values to the places, to a tenth of a point."""
    least, most = values.index(min(values)), values.index(max(values))
    step = (places[most] - places[least]) / (values[most] - values[least])
    return all(
        math.isclose(places[least] + step * (value - values[least]), place, abs_tol=0.1)
        for place, value in zip(places, values)
    )


def way(name: str) -> str:
    return name.replace(" ", "-")


def values_of(name: str) -> dict[tuple[str, str], dict[str, list[tuple[float, float]]]]:
    """What the page's table says, in the picture's order."""
    heading, first, how, _, _ = PLOTS[name]
    rows = how(draw_performance.table(page("performance"), heading, first))
    found: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = {}

    def add(part: int, what: str, row: dict[str, object], x: float, y: float) -> None:
        lines_of = found.setdefault((str(part), what), {})
        lines_of.setdefault(way(str(row["way"])), []).append((x, y))

    for row in rows:
        if name == "path":
            part = sorted({each["connections"] for each in rows}).index(row["connections"])
            add(part, "gbit_per_s", row, row["round_trip_ms"], row["gbit_per_s"])
        elif name == "latency":
            part = list(dict.fromkeys(each["size"] for each in rows)).index(row["size"])
            place = list(dict.fromkeys(each["way"] for each in rows)).index(row["way"])
            for column in ("p50", "p99"):
                add(part, "us", row, row[column], place)
        else:
            for part, what in enumerate(("gb_per_s", "cpu_s_per_gb")):
                if row[what] is not None:
                    add(part, what, row, math.log2(row["connections"]), row[what])
    return found


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_shows_the_numbers_of_the_table(name: str) -> None:
    drawn, measured = marks(name), values_of(name)
    assert drawn.keys() == measured.keys()
    for part, ways in measured.items():
        assert drawn[part].keys() == ways.keys()
        places = [point for each in ways for point in drawn[part][each]]
        values = [point for points in ways.values() for point in points]
        assert len(places) == len(values) > 4
        for axis in (0, 1):
            assert are_in_scale([p[axis] for p in places], [v[axis] for v in values]), part


def test_a_number_that_was_changed_would_be_noticed() -> None:
    assert are_in_scale([10.0, 20.0, 40.0], [1.0, 2.0, 4.0])
    assert not are_in_scale([10.0, 20.0, 40.0], [1.0, 2.1, 4.0])


def test_the_tables_of_the_plots_are_those_that_were_measured() -> None:
    """Way by way, not number by number: the lines of the table are lines of the measurements."""
    measured = (ROOT / "bench/README.md").read_text()
    found = 0
    for heading, first, _, _, _ in PLOTS.values():
        for name, *cells in draw_performance.table(page("performance"), heading, first)[1:]:
            known = {
                "SciStream, one relay": "SciStream",
                "SciStream, two with TLS": "SciStream, TLS",
            }
            rows = re.findall(rf"^\| {re.escape(known.get(name, name))} \|(.*)\|$", measured, re.M)
            wanted = [cell for cell in cells if cell != "-"]
            assert any(all(f" {cell} " in f" {row} " for cell in wanted) for row in rows), name
            found += 1
    assert found == 13


def test_every_plot_says_where_and_when_it_was_measured() -> None:
    text = page("performance")
    where = draw_performance.where(text)
    (numbers,) = re.findall(
        r"^## Numbers\n\n(.*?)\n\n", (ROOT / "bench/README.md").read_text(), re.M | re.S
    )
    stated = " ".join(numbers.split())
    assert [part for part in where.split(", ") if part not in stated] == []
    assert re.search(r"\d{4}-\d\d-\d\d$", where)
    assert len(re.findall(rf"^!\[.*\)\n\n\*{re.escape(where)}\.\*$", text, re.M)) == len(PLOTS)
    for name in PLOTS:
        title = " ".join(
            "".join(each.itertext()) for each in read(f"{name}.svg").iter(f"{SVG}text")
        )
        assert f"({where})" in title


def test_a_dash_is_no_number(tmp_path: Path) -> None:
    text = "\n## A\n\n| 1 / 4 / 16 / 64 connections | GB/s | s |\n|---|---|---|\n"
    text += (
        "| direct | 1 / 2 / 3 / 4 | - |\n| b | 1 / 2 / 3 / 4 | 0.1 / 0.2 / 0.3 / 0.4 |\n\nAnd.\n"
    )
    read_table = draw_performance.table(text, "A", draw_performance.CONNECTIONS)
    rows = draw_performance.by_connections(read_table)
    assert [row["cpu_s_per_gb"] for row in rows] == [None] * 4 + [0.1, 0.2, 0.3, 0.4]
    with pytest.raises(LookupError, match="no table 'b' below 'A'"):
        draw_performance.table(text, "A", "b")
