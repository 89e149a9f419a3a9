"""The picture of two facilities and a session between them: docs/pictures/architecture.svg."""

from __future__ import annotations

from svg import SANS, Picture

INK, PALE, PAPER = "#1f2933", "#52606d", "#ffffff"
CONTROL, DATA = "#1d5fa8", "#c2570c"
WIDTH, HEIGHT = 1000, 506
BOX = {"appctrl": (140, 62), "s2cs": (150, 62), "application": (140, 78), "s2ds": (150, 78)}
# Where they are in a facility, from its left edge where the gateway is on the right.
PLACES = {
    "appctrl": (24, 178),
    "s2cs": (216, 178),
    "application": (24, 318),
    "s2ds": (216, 318),
}
FACILITY = 390  # wide

STYLE = f"""
text{{font-family:{SANS};fill:{INK};font-size:14px}}
.name{{font-weight:bold;font-size:15px}}
.small{{font-size:12px;fill:{PALE}}}
.frame{{fill:#f4f6f8;stroke:#9aa5b1;stroke-width:1.2}}
.gateway{{fill:#e6edf5;stroke:#9aa5b1;stroke-dasharray:5 4}}
.box{{fill:{PAPER};stroke:{INK};stroke-width:1.2}}
.control{{fill:none;stroke:{CONTROL};stroke-width:1.8;marker-end:url(#control)}}
.data{{fill:none;stroke:{DATA};stroke-width:4.5;marker-start:url(#back);marker-end:url(#data)}}
.said{{fill:{CONTROL}}}
.flows{{fill:{DATA};font-weight:bold}}
"""


def heads(picture: Picture) -> None:
    """The ends of the arrows."""
    for name, colour, size, turn in (
        ("control", CONTROL, 5, "auto"),
        ("data", DATA, 2.6, "auto"),
        ("back", DATA, 2.6, "auto-start-reverse"),
    ):
        shape = f'<path d="M0 0L10 5L0 10z" fill="{colour}"/>'
        marker = (
            f'<marker id="{name}" viewBox="0 0 10 10" refX="8.5" refY="5" markerWidth="{size}" '
            f'markerHeight="{size}" orient="{turn}">{shape}</marker>'
        )
        picture.add("defs", marker)


def box(picture: Picture, corner: tuple[float, float], name: str, *lines: str) -> None:
    """A program or application, its name and what it is."""
    x, y = corner
    wide, high = BOX[name]
    picture.add("rect", x=x, y=y, width=wide, height=high, rx=6, class_="box")
    middle, first = x + wide / 2, y + high / 2 - 9 * (len(lines) - 1) + 5
    for number, line in enumerate(lines):
        kind = "name" if number == 0 else "small"
        picture.text(middle, first + 18 * number, line, class_=kind, text_anchor="middle")


def facility(picture: Picture, left: float, side: str, mirrored: bool) -> None:
    """One of the two, its gateway towards the other."""

    def at(name: str) -> tuple[float, float]:
        x, y = PLACES[name]
        return (left + (FACILITY - x - BOX[name][0] if mirrored else x), y)

    def across(*points: tuple[float, float]) -> str:
        """A line through points that are given as in a facility that is not mirrored."""
        there = [(left + (FACILITY - x if mirrored else x), y) for x, y in points]
        return "M" + "L".join(f"{x:g} {y:g}" for x, y in there)

    picture.add("rect", x=left, y=104, width=FACILITY, height=330, rx=10, class_="frame")
    gateway = left + (12 if mirrored else FACILITY - 186)
    picture.add("rect", x=gateway, y=160, width=174, height=262, rx=8, class_="gateway")
    title = left + (FACILITY - 24 if mirrored else 24)
    end, beside = ("end", "start") if mirrored else ("start", "end")
    picture.text(title, 132, f"{side}'s facility", class_="name", text_anchor=end)
    picture.text(gateway + 87, 413, "gateway", class_="small", text_anchor="middle")
    box(picture, at("appctrl"), "appctrl", "appctrl", "says hello")
    box(picture, at("s2cs"), "s2cs", "s2cs", "control server")
    box(picture, at("application"), "application", side, "application,", "unchanged")
    box(picture, at("s2ds"), "s2ds", "s2ds", "data server")
    picture.add("path", d=across((164, 209), (214, 209)), class_="control")
    picture.add("path", d=across((291, 240), (291, 316)), class_="control")
    picture.add("path", d=across((172, 357), (208, 357)), class_="data")
    hello = left + (FACILITY - 184 if mirrored else 184)
    picture.text(hello, 200, "2", class_="said", text_anchor="middle")
    ports = left + (FACILITY - 283 if mirrored else 283)
    for number, word in enumerate(("ports,", "keys")):
        picture.text(ports, 275 + 17 * number, word, class_="said", text_anchor=beside)


def picture() -> Picture:
    """Drawn from left to right: the producer's facility, the user, the consumer's facility."""
    drawn = Picture(
        WIDTH,
        HEIGHT,
        "Two facilities and a session between them",
        "The user's s2uc calls the control server, s2cs, of both facilities: request, update, "
        "release. Beside each application appctrl says hello to the s2cs of its own facility. Each "
        "s2cs tells its data server, s2ds, which ports to open and which keys to use. Bytes go "
        "between the producer application and its s2ds, between the two s2ds by TLS 1.3, and "
        "between the consumer's s2ds and the consumer application, both ways.",
        STYLE.replace("\n", ""),
    )
    heads(drawn)
    drawn.add(
        "rect", x=1, y=1, width=WIDTH - 2, height=HEIGHT - 2, rx=12, fill=PAPER, stroke="#cbd2d9"
    )
    facility(drawn, 24, "Producer", mirrored=False)
    facility(drawn, WIDTH - 24 - FACILITY, "Consumer", mirrored=True)
    drawn.add("rect", x=425, y=26, width=150, height=62, rx=6, class_="box")
    drawn.text(500, 53, "s2uc", class_="name", text_anchor="middle")
    drawn.text(500, 71, "the user", class_="small", text_anchor="middle")
    for start, end, anchor, x in ((425, 315, "end", 415), (575, 685, "start", 585)):
        drawn.add("path", d=f"M{start} 57L{end} 57L{end} 176", class_="control")
        drawn.text(x, 46, "1 request · 3 update · 5 release", class_="said", text_anchor=anchor)
    drawn.add("path", d="M398 357L602 357", class_="data")
    drawn.text(500, 322, "4 stream", class_="flows", text_anchor="middle")
    drawn.text(500, 341, "TLS 1.3, a key", class_="small", text_anchor="middle")
    drawn.text(500, 384, "of this session", class_="small", text_anchor="middle")
    drawn.text(500, 210, "wide area", class_="small", text_anchor="middle")
    drawn.text(500, 226, "network", class_="small", text_anchor="middle")
    legend(drawn)
    return drawn


def legend(drawn: Picture) -> None:
    """What the two kinds of lines are."""
    drawn.add("path", d="M60 464L104 464", class_="control")
    drawn.text(116, 469, "control calls, in this order; 2 is hello", font_size=13)
    drawn.add("path", d="M548 464L592 464", class_="data")
    drawn.text(606, 469, "the applications' bytes, both ways", font_size=13)
