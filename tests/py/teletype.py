"""Programs whose stderr is a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from facility import LIMIT

# A process that was started in the background ignores SIGINT.
BEGIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
"""


class Teletype:
    """A Python program at a terminal of its own, as a context manager, which ends it."""

    def __init__(self, script: str, *words: str | Path, columns: int = 80, **env: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        inherited = {name: word for name, word in os.environ.items() if name != "NO_COLOR"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", BEGIN + script, *map(str, words)],
            cwd=Path(__file__).parent,
            env={**inherited, "TERM": "xterm", **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=slave,
        )
        os.close(slave)
        self.written = ""
        self.out = ""

    def until(self, pattern: str) -> None:
        """Waits until this is shown."""
        end = time.monotonic() + LIMIT
        while not re.search(pattern, self.plain):
            left = end - time.monotonic()
            assert left > 0, f"{pattern}\n{self.written}"
            assert self._read(left), f"{pattern}\n{self.written}"

    def type(self) -> None:
        """Enter, on its stdin."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Waits for its end: the exit code. All that it wrote is there then."""
        end = time.monotonic() + LIMIT
        while self._read(end - time.monotonic()):
            pass
        out, _ = self._process.communicate(timeout=LIMIT)
        self.out = out.decode()
        return self._process.returncode

    @property
    def plain(self) -> str:
        """What was written, without colours."""
        return re.sub(r"\x1b\[\d+m", "", self.written)

    @property
    def drawn(self) -> list[str]:
        """The lines as they were drawn, one over the other or one below it."""
        lines = re.sub(r"\x1b\[\d*[mK]", "", self.written).replace("\r", "\n").split("\n")
        return [line for line in lines if line]

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], max(0.0, seconds))[0]:
            return False
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # nobody has the other end any more
            return False
        self.written += piece.decode()
        return bool(piece)

    def __enter__(self) -> Teletype:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
        os.close(self._master)
