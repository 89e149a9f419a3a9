"""What the demonstration shows: lines, and on a terminal a progress bar with colours."""

from __future__ import annotations

import json
import os
import shutil
from typing import TextIO

WIDTH = 30  # of the bar


class Screen:
    """Writes to one stream. One thread at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._colours = self._terminal and not os.environ.get("NO_COLOR")
        self._bar = False  # the last line on the terminal is an unfinished bar

    @property
    def draws(self) -> bool:
        """Whether bars are drawn."""
        return self._terminal

    def _style(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colours else text

    def line(self, text: str = "") -> None:
        """One line."""
        if self._bar:
            self._stream.write("\r\033[K")
            self._bar = False
        print(text, file=self._stream, flush=True)

    def title(self, text: str) -> None:
        """The beginning of a part."""
        self.line()
        self.line(self._style(text, "1"))

    def good(self, text: str) -> None:
        """Something that was checked, and is right."""
        self.line(f"  {self._style('✓', '32')} {text}")

    def bad(self, text: str) -> None:
        """Something that is wrong."""
        self.line(f"  {self._style('✗', '31;1')} {text}")

    def bar(self, done: int, total: int, gbit_per_s: float) -> None:
        """Draws over the bar before; nothing where the stream is no terminal."""
        if not self._terminal:
            return
        filled = WIDTH * done // total
        bar = self._style("━" * filled, "32") + self._style("━" * (WIDTH - filled), "2")
        text = f"  {bar} {done / total:4.0%}  {done / 1e9:.2f} of {total / 1e9:.2f} GB"
        if shutil.get_terminal_size().columns >= WIDTH + 48:
            text += f"  {gbit_per_s:6.2f} Gbit/s"
        self._stream.write(f"\r\033[K{text}")
        self._stream.flush()
        self._bar = True


class Transfer:
    """Turns a consumer's progress lines into a bar, or into a line a quarter of the way."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._before: tuple[int, float] = (0, 0.0)
        self._quarter = 0

    def take(self, source: str, text: str) -> None:
        """One line that the consumer wrote."""
        if source != "err" or not text.startswith('{"bytes"'):
            return
        line = json.loads(text)
        done, total, seconds = int(line["bytes"]), int(line["total"]), float(line["seconds"])
        moved, took = done - self._before[0], seconds - self._before[1]
        self._before = (done, seconds)
        self._screen.bar(done, total, moved * 8e-9 / took if took > 0 else 0.0)
        if not self._screen.draws and 4 * done // total > self._quarter:
            self._quarter = 4 * done // total
            average = done * 8e-9 / seconds if seconds > 0 else 0.0
            self._screen.line(
                f"  {done / total:4.0%}  {done / 1e9:.2f} of {total / 1e9:.2f} GB"
                f"  {average:6.2f} Gbit/s"
            )
