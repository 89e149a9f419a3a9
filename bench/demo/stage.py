"""Runs programs side by side, and lets one thread act on what they say and how they end."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

END_LIMIT = 10.0  # seconds that a program may take to end after SIGTERM


class Failed(Exception):  # noqa: N818  # reads as what happened
    """Something did not work; the message says what."""


class Interrupted(Failed):
    """The user, or the system, wants this to end."""


@dataclass
class Program:
    """One running program. Belongs to its stage; lines and status are current whenever it waits."""

    name: str
    process: subprocess.Popen[str]
    on_line: Callable[[str, str], None] | None
    out: list[str]
    err: list[str]
    open_ends: int = 3  # stdout, stderr and the exit status
    vital: bool = False  # its end, before it is stopped, is a failure of the whole

    @property
    def pid(self) -> int:
        """Of the process."""
        return self.process.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended and all that it said is here."""
        return self.open_ends == 0

    def end_stdin(self) -> None:
        """Where it was held open."""
        if self.process.stdin:
            self.process.stdin.close()

    def complaint(self) -> str:
        """How it ended, and the last that it said on stderr."""
        status = self.process.returncode
        how = f"ended with {status}" if status >= 0 else f"was ended by signal {-status}"
        return f"{self.name} {how}" + "".join(f"\n  {line}" for line in self.err[-5:])


@dataclass(frozen=True)
class Event:
    """What a reading thread hands over: a line, or None at the end."""

    program: Program
    source: str  # out, err, status
    line: str | None


class Stage:
    """Owns programs: whatever still runs when the stage is left is ended, and waited for.

    All of it runs on the thread that made it; the programs' output comes to it through one queue,
    and so do SIGINT, SIGTERM and SIGHUP, which become `Interrupted` at the next wait.
    """

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Event | int | Callable[[], None]] = queue.SimpleQueue()
        self._programs: list[Program] = []
        self._leaving = False

    @contextlib.contextmanager
    def running(self) -> Iterator[Stage]:
        """Within this, signals are taken; at its end nothing runs any more."""
        # Reentrant: SimpleQueue.put may interrupt itself.
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._take_signal) for number in signals}
        try:
            yield self
        finally:
            self._leaving = True
            try:
                self.stop_all()
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    def _take_signal(self, number: int, _frame: FrameType | None) -> None:
        self._events.put(number)

    def post(self, action: Callable[[], None]) -> None:
        """From any thread: runs the action on the stage's thread, at its next wait."""
        self._events.put(action)

    def start(
        self,
        name: str,
        *command: str | Path,
        on_line: Callable[[str, str], None] | None = None,
        vital: bool = False,
        hold_stdin: bool = False,
    ) -> Program:
        """Starts a program; `on_line` gets `out` or `err` and the line, on the stage's thread.

        If a vital program ends by itself, whatever waits at that time fails. Its stdin is at its
        end, or, if held, open until `Program.end_stdin`.
        """
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE if hold_stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # A Ctrl-C on the terminal reaches this program alone, which ends the others in order.
            start_new_session=True,
        )
        program = Program(name, process, on_line, [], [], vital=vital)
        self._programs.append(program)
        assert process.stdout
        assert process.stderr
        for target, arguments in (
            (self._read, (program, "out", process.stdout)),
            (self._read, (program, "err", process.stderr)),
            (self._wait, (program,)),
        ):
            threading.Thread(target=target, args=arguments, daemon=True).start()
        return program

    def _read(self, program: Program, source: str, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                self._events.put(Event(program, source, line.rstrip("\n")))
        self._events.put(Event(program, source, None))

    def _wait(self, program: Program) -> None:
        program.process.wait()
        self._events.put(Event(program, "status", None))

    def until(
        self, true: Callable[[], bool], limit: float, what: str, every: float | None = None
    ) -> None:
        """Handles what comes in until something is true; Failed after so many seconds.

        What no event announces is looked at again `every` so many seconds.
        """
        deadline = time.monotonic() + limit
        while not true():
            left = max(0.0, deadline - time.monotonic())
            try:
                event = self._events.get(timeout=left if every is None else min(left, every))
            except queue.Empty:
                if time.monotonic() < deadline:
                    continue
                raise Failed(f"{what}: not within {limit:g} s") from None
            self._handle(event)

    def _handle(self, event: Event | int | Callable[[], None]) -> None:
        if isinstance(event, int):
            if not self._leaving:  # what follows is bounded, and what they want anyway
                raise Interrupted(f"interrupted by {signal.Signals(event).name}")
        elif not isinstance(event, Event):
            event()
        elif event.line is None:
            event.program.open_ends -= 1
            if event.program.vital and event.program.ended:
                raise Failed(event.program.complaint())
        else:
            lines = event.program.out if event.source == "out" else event.program.err
            lines.append(event.line)
            if event.program.on_line:
                event.program.on_line(event.source, event.line)

    def line(self, program: Program, prefix: str, limit: float) -> str:
        """Waits for a line on stdout; what follows the prefix."""

        def found() -> list[str]:
            return [line for line in program.out if line.startswith(prefix)]

        self.until(lambda: bool(found()) or program.ended, limit, f"{program.name}: '{prefix}…'")
        if not found():
            raise Failed(program.complaint())
        return found()[0][len(prefix) :]

    def success(self, program: Program, limit: float) -> list[str]:
        """Waits until the program has ended with 0; its stdout."""
        self.until(lambda: program.ended, limit, f"{program.name} does not end")
        if program.process.returncode != 0:
            raise Failed(program.complaint())
        return program.out

    def call(self, name: str, *command: str | Path, limit: float = 30.0) -> str:
        """Runs a program to its successful end; its stdout."""
        return "\n".join(self.success(self.start(name, *command), limit))

    def stop_all(self) -> None:
        """Ends whatever runs, the latest first."""
        for program in reversed(self._programs):
            self.stop(program, signal.SIGTERM)

    def stop(self, program: Program, number: int, limit: float = END_LIMIT) -> bool:
        """Ends a program, by SIGKILL after so many seconds; whether it needed none."""
        program.vital = False
        asked = True
        if program.process.poll() is None:
            program.process.send_signal(number)
            try:
                program.process.wait(limit)
            except subprocess.TimeoutExpired:
                asked = False
                # With what it started: nobody else would end those.
                os.killpg(program.pid, signal.SIGKILL)
                program.process.wait(limit)
        program.end_stdin()
        return asked
