"""Where a line that changes is drawn: a terminal, a notebook, or neither."""

from __future__ import annotations

import html
import importlib
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TextIO

from scistream._plain import BOOL

CODES = {"done": "32", "now": "1", "failed": "31", "later": "2"}
STYLES = {
    "done": "color:green",
    "now": "font-weight:bold",
    "failed": "color:firebrick",
    "later": "opacity:0.5",
}
# Two that draw over the same line of a terminal would leave a mess; the second one draws nothing.
_taken = threading.Lock()


class Part(NamedTuple):
    """A piece of the line."""

    text: str
    style: str = ""
    """A key of `CODES`, or nothing."""


class Surface:
    """What a line is drawn on, again and again; `surface` finds it. One thread at a time."""

    period = 0.1
    """Seconds between two drawings."""
    signs = True
    """Whether it has more than ASCII."""

    def draw(self, parts: Sequence[Part], step: object) -> None:
        """Replaces the line; `step` is equal as long as nothing of importance has changed."""
        raise NotImplementedError

    def finish(self, parts: Sequence[Part]) -> None:
        """Draws the line for the last time: it stays, and whatever follows begins below it."""
        raise NotImplementedError


class Stream(Surface):
    """A stream that cannot go back: a line whenever something of importance has changed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._step: object = None
        self.signs = speaks(stream)

    def draw(self, parts: Sequence[Part], step: object) -> None:
        if step != self._step:
            self._step = step
            self._put("".join(part.text for part in parts) + "\n")

    def finish(self, parts: Sequence[Part]) -> None:
        self.draw(parts, object())

    def _put(self, text: str) -> None:
        # In one piece. What waits must go on where nobody looks any more.
        with suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()


class Terminal(Stream):
    """A terminal's last line."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._colours = not os.environ.get("NO_COLOR")
        self._mine = False

    def draw(self, parts: Sequence[Part], _: object) -> None:
        self._mine = self._mine or _taken.acquire(blocking=False)
        if self._mine:
            self._put(f"\r{self._line(parts)}\x1b[K")

    def finish(self, parts: Sequence[Part]) -> None:
        self.draw(parts, None)
        if self._mine:
            self._put("\n")
            self._mine = False
            _taken.release()

    def _line(self, parts: Sequence[Part]) -> str:
        left = columns(self._stream) - 1  # in the last column some would wrap
        line = ""
        for text, style in parts:
            shown = text[:left]
            left -= len(shown)
            code = CODES.get(style) if self._colours and shown else None
            line += f"\x1b[{code}m{shown}\x1b[0m" if code else shown
        return line


class Notebook(Surface):
    """An output of a notebook's cell, text where it shows no HTML."""

    period = 0.5

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, parts: Sequence[Part], _: object) -> None:
        spans = [
            f'<span style="{STYLES[style]}">{html.escape(text)}</span>'
            if style
            else html.escape(text)
            for text, style in parts
        ]
        shown = {
            "text/plain": "".join(part.text for part in parts),
            "text/html": f'<pre style="margin:0">{"".join(spans)}</pre>',
        }
        if self._handle:
            self._handle.update(shown, raw=True)
            return
        display = importlib.import_module("IPython.display").display
        self._handle = display(shown, raw=True, display_id=True)

    def finish(self, parts: Sequence[Part]) -> None:
        self.draw(parts, None)


def speaks(stream: TextIO) -> bool:
    """Whether it can be written what is not ASCII."""
    try:
        "→✓●✗━…".encode(stream.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def columns(stream: TextIO) -> int:
    """Of a terminal; one that does not know is as wide as most."""
    with suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 80


def is_in_notebook() -> bool:
    """Whether a kernel runs this; IPython is not loaded to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def surface(progress: bool | None) -> Surface | None:
    """What to draw on; None is not to draw.

    Args:
        progress: Whether to draw; None is in a notebook and where stderr is a terminal.

    """
    if progress is not None:
        BOOL.check("progress", progress)
        if not progress:
            return None
    if is_in_notebook():
        return Notebook()
    stream: TextIO | None = sys.stderr  # None where there is no such thing as a terminal
    terminal = False
    with suppress(AttributeError, OSError, ValueError):
        terminal = stream is not None and stream.isatty()
    if stream is None or not (terminal or progress):
        return None
    if not terminal or os.environ.get("TERM", "dumb") == "dumb":
        return Stream(stream)
    return Terminal(stream)
