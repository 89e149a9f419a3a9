"""The recording of a session: docs/pictures/session.svg shows what the commands really say.

They are run on loopback addresses that nobody else has, which the picture shows as those of the
documents, and in a folder of their own.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from svg import Picture
from terminal import BOLD, GREEN, PALE, Line, coloured, picture

COLUMNS = 112
TITLE = "a session between two facilities, on one machine"
# What ends with & goes on in the background.
SCRIPT = """\
# Two facilities. Each makes itself a certificate, and starts its data server.
s2cs --listener_ip 127.0.1.1 --port 5000 --port-range 5100-5199 --state-dir facility-1 2>1.log &
s2cs --listener_ip 127.0.2.1 --port 5000 --port-range 5200-5299 --state-dir facility-2 2>2.log &
# A producer application, which knows nothing of all this.
iperf3 -s -p 7000 >iperf3.log &
# The user trusts both facilities, and asks for a session.
cat facility-1/server.crt facility-2/server.crt > facilities.pem
export SCISTREAM_SERVER_CERT=facilities.pem
s2uc request --prod 127.0.1.1:5000 --cons 127.0.2.1:5000 --prod-app 127.0.0.1:7000 --uid scan-7
# The consumer application connects to its own facility; data comes through both.
iperf3 -c 127.0.2.1 -p 5200 -R -t 3 | grep receiver
s2uc status scan-7
s2uc release scan-7
s2uc list
"""
PAUSE, LONGEST, FASTEST = 0.8, 1.5, 0.06  # seconds: before a command, and between lines


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def some_port() -> int:
    """One that nobody listens at, of as many digits as the one in the picture."""
    return next(port for port in iter(lambda: random.randint(7_100, 9_900), 0) if is_free(port))


class Shell:
    """Runs the script's commands and writes down what they say, and when."""

    def __init__(self, folder: Path, seconds: int) -> None:
        self._folder = folder / "work"
        self._folder.mkdir(parents=True)
        self._hosts = {
            # As long as the name, so that columns stay in line.
            name: f"127.{random.randint(1, 9)}.{random.randint(1, 9)}.{number}"
            for number, name in enumerate(("127.0.1.1", "127.0.2.1"), 2)
        }
        self._words = {**self._hosts, "7000": str(some_port()), "-t 3": f"-t {seconds}"}
        self._env = environment(folder)
        self._clock = 0.0
        self._last = 0.0
        self.lines: list[Line] = []
        self._stack = ExitStack()

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _here(self, text: str) -> str:
        for name, word in self._words.items():
            text = text.replace(name, word)
        return text

    def _there(self, text: str) -> str:
        for name, word in self._words.items():
            text = text.replace(word, name)
        return text.replace(str(self._folder.parent), "/home/user")

    def _appears(self, text: str, after: float) -> None:
        self._clock += after
        self.lines.append(Line(self._clock, text))

    def _says(self, line: str) -> None:
        now = time.monotonic()
        self._appears(self._there(line.rstrip()), min(max(now - self._last, FASTEST), LONGEST))
        self._last = now

    def _start(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", self._here(command)],
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _in_the_background(self, command: str) -> None:
        process = self._stack.enter_context(self._start(f"exec {command}"))
        self._stack.callback(process.terminate)
        if command.startswith("s2cs") and process.stdout:
            self._says(process.stdout.readline())
        while command.startswith("iperf3") and is_free(int(self._words["7000"])):
            if process.poll() is not None:
                raise RuntimeError(f"{command} has ended")
            time.sleep(0.01)

    def type(self, line: str) -> None:
        """A line of the script. Raises RuntimeError if the command fails."""
        if line.startswith("#"):
            self._appears(coloured(line, PALE), PAUSE if self.lines else FASTEST)
            return
        self._appears(f"{coloured('$', GREEN)} {coloured(line, BOLD)}", PAUSE)
        self._last = time.monotonic()
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            self._env[name] = str(self._folder / value)
        elif line.endswith(" &"):
            self._in_the_background(line.removesuffix(" &"))
        else:
            with self._start(line) as process:
                for said in process.stdout or ():
                    self._says(said)
            if process.returncode:
                raise RuntimeError(f"{line} ended with {process.returncode}: {self.lines}")


def environment(home: Path) -> dict[str, str]:
    """That of somebody who has set nothing, with the commands that are installed here."""
    kept: Mapping[str, str] = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SCISTREAM_", "XDG_", "GRPC_", "NOTIFY_", "DBUS_"))
    }
    return {
        **kept,
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{kept.get('PATH', '')}",
        "COLUMNS": str(COLUMNS),
    }


def record(folder: Path, seconds: int = 3) -> list[Line]:
    """What a terminal shows of the script, which is run in the folder."""
    with Shell(folder, seconds) as shell:
        for line in SCRIPT.splitlines():
            shell.type(line)
        return shell.lines


def alike(lines: list[str]) -> list[str]:
    """What stays the same from run to run: no numbers but those of names and addresses."""
    number = r"\d+(?:\.\d+)?(?:-\d+\.\d+)?"
    found = []
    for line in lines:
        text = re.sub(rf"(?<![\w.:-]){number}(?![\w.:-])", "#", line)
        text = re.sub(r"# [kMGT]?(B\b|Bytes|bits)", r"# \1", text)
        found.append(re.sub(r"\s+", " ", text).strip())
    return found


def drawn(lines: list[Line]) -> Picture:
    """The picture of a recording."""
    return picture(
        lines,
        COLUMNS,
        TITLE,
        "Two s2cs are started; s2uc request sets up a session between them, iperf3 streams "
        "through it, s2uc status shows it, s2uc release ends it.",
    )


def main(file: Path, folder: Path) -> None:
    """Records, and writes the picture."""
    try:
        file.write_text(str(drawn(record(folder))), encoding="utf-8")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
