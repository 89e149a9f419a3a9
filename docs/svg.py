"""Small SVG files that look the same on a light page and on a dark one: they bring a background."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

SANS = "'DejaVu Sans', Verdana, Helvetica, Arial, sans-serif"
MONO = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"


def element(name: str, inside: str = "", **attributes: object) -> str:
    """A tag; names of attributes have underscores for dashes, and one behind what Python reserves.

    What is inside is markup already.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(shown(value))}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{given}>{inside}</{name}>" if inside else f"<{name}{given}/>"


def shown(value: object) -> str:
    """Numbers without what nobody would see."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


@dataclass
class Picture:
    """What is drawn, in order, and how it is called for those who cannot see it."""

    width: int
    height: int
    title: str
    description: str
    style: str = ""
    parts: list[str] = field(default_factory=list)

    def add(self, name: str, inside: str = "", **attributes: object) -> None:
        """One element; as `element`."""
        self.parts.append(element(name, inside, **attributes))

    def text(self, x: float, y: float, words: str, **attributes: object) -> None:
        """A line of text, as it stands."""
        self.add("text", escape(words), x=x, y=y, **attributes)

    def __str__(self) -> str:
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img" aria-labelledby="t d">',
            f'<title id="t">{escape(self.title)}</title>',
            f'<desc id="d">{escape(self.description)}</desc>',
        ]
        if self.style:
            lines.append(f"<style>{self.style}</style>")
        return "\n".join([*lines, *self.parts, "</svg>"]) + "\n"
