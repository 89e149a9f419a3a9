"""How far a session's set-up is, and how much has gone through it, as a line that changes."""

from __future__ import annotations

import select
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from scistream import _core
from scistream._drawing import Part, Surface, surface
from scistream._errors import InvalidRequest, InvalidState, ScistreamError
from scistream._live import Live, seconds
from scistream._plain import mistyped
from scistream._units import amount
from scistream._values import SessionStats, SessionStatus, stats_of

if TYPE_CHECKING:
    from scistream._client import Session

PATIENCE = 0.5  # seconds within which most things are done, and nothing need be drawn
STEPS = ("requested", "hello", "mapped", "ready")
# How many steps are behind whoever is in this state of the user client.
BEHIND = {"reserving": 1, "provisioning": 2, "updating": 3}
SIDES = {"PROD": "producer", "CONS": "consumer"}
PERIOD = 1.0  # seconds between two looks at a stream
WINDOW = 5  # looks that a rate is the mean of
BAR = 8  # characters


class SetUp:
    """Draws the steps of a set-up while somebody waits for it; nothing if that is soon.

    Used as `with`, whose end draws the last line. `draw` is to be called every `period` seconds.
    """

    def __init__(self, session: _core.Session, where: Surface, *, at_once: bool) -> None:
        self.patience = 0.0 if at_once else PATIENCE
        self.period = where.period
        self._session = session
        self._where = where
        self._began = time.monotonic()
        self._drawn = False
        self._watch: _core.Watch | None = None
        self._watched = float("-inf")  # when it was begun
        self._sides: dict[str, SessionStatus] = {}

    def draw(self) -> None:
        """The line as it is now."""
        self._look()
        self._drawn = True
        behind = self._behind()
        awaited = self._awaited(behind)
        self._where.draw(self._line(behind, awaited), (behind, awaited))

    def __enter__(self) -> SetUp:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._watch:
            self._watch.close()
        if self._drawn or not self.patience:
            ready = error is None and self._session.ready
            behind = len(STEPS) if ready else self._behind()
            failed = f", {kind.__name__}" if kind else "" if ready else ", not ready yet"
            self._where.finish(self._line(behind, failed, bool(kind)))

    def _behind(self) -> int:
        states = self._session.states
        return BEHIND.get(states[-1].state, 1) if states else 1

    def _look(self) -> None:
        """Takes what the facilities have told meanwhile; some never tell anything."""
        try:
            if self._watch is None and time.monotonic() - self._watched > PERIOD:
                self._watched = time.monotonic()
                self._watch = self._session.watch(60.0)
            if self._watch is not None:
                events, _ = self._watch.take()
                self._sides.update({event.status.role: event.status for event in events})
        except ScistreamError:
            self._watch = None  # the request may not have arrived yet: another time

    def _awaited(self, behind: int) -> str:
        """What has to come next: of both sides, or of the one that is late."""
        if behind == BEHIND["provisioning"]:
            return ""  # it is for us to make the map
        if not self._sides:
            return ""  # nobody has told anything yet
        servers, hellos = [], []
        for role, name in SIDES.items():
            side = self._sides.get(role)
            state = (side.state, side.phase) if side else ()
            if behind == 1 and state == ("listening", "hello"):
                hellos.append(name)
            elif state != ("idle", "ready") and not (behind == 1 and state == ("idle", "update")):
                servers.append(name)
        late, what = (servers, "s2cs") if servers else (hellos, "hello")
        if len(late) == len(SIDES):
            return f", awaits both {'hellos' if late is hellos else what}"
        return f", awaits {late[0]}'s {what}" if late else ""

    def _line(self, behind: int, more: str, failed: bool = False) -> list[Part]:
        signs = ("✓ ", "● ", "✗ ", " → ") if self._where.signs else ("+ ", "* ", "x ", " -> ")
        done, now, cross, arrow = signs
        parts = [Part(f"{short(self._session.uid)} ")]
        for place, step in enumerate(STEPS):
            if place:
                parts.append(Part(arrow, "later"))
            if place < behind:
                parts.append(Part(done + step, "done"))
            elif place == behind:
                parts.append(Part(cross + step, "failed") if failed else Part(now + step, "now"))
            else:
                parts.append(Part(step, "later"))
        took = time.monotonic() - self._began
        return [*parts, Part(f" {took:.1f} s{more}")]


def wait_drawing(
    session: _core.Session, timeout: float | None, where: Surface, *, at_once: bool
) -> bool:
    """As the session's `wait_ready`: whether it is set up."""
    end = None if timeout is None else time.monotonic() + seconds("timeout", timeout)
    with SetUp(session, where, at_once=at_once) as drawing:
        pause = drawing.patience if timeout is None else min(timeout, drawing.patience)
        while not session.wait_ready(pause):
            left = drawing.period if end is None else end - time.monotonic()
            if left <= 0:
                return False
            drawing.draw()
            pause = min(drawing.period, left)
    return True


class Progress(Live):
    """Draws how much has gone through a session, once a second: bytes, rate, connections.

        with Progress(session, total=10**10):
            stream()

    Where there is nothing else to do, a loop draws until the session has ended:

        for stats in Progress(session):
            pass

    It draws on a terminal's stderr or in a notebook. Bytes are those of the direction that has more
    of them, the rate is the mean of the last 5 s. One object is good for one block or loop.

    Args:
        session: What to watch; the one of `scistream.aio` has it as `sync`.
        total: Bytes that are expected, in that direction.
        show: Whether to draw, on whatever stderr is; None is on a terminal or in a notebook only.

    Raises:
        InvalidRequest: `total` is no number of bytes.

    """

    def __init__(
        self, session: Session, *, total: int | None = None, show: bool | None = None
    ) -> None:
        self._total = None if total is None else bytes_of(total)
        if not hasattr(session, "_core"):
            raise mistyped("session", "a Session", session)
        self._session = session
        self._show = show
        self._watch: _core.Watch | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._began = time.monotonic()
        self._looks: deque[tuple[float, int]] = deque(maxlen=WINDOW + 1)
        self._sides: dict[str, SessionStatus] = {}
        super().__init__()

    def __iter__(self) -> Iterator[SessionStats]:
        """What has gone through it, once a second, until it has ended; errors as `Watch`."""
        for _ in self._rounds():
            if self._sides:
                yield self._stats

    def close(self) -> None:
        """Ends it; the last line stays. May be called again."""
        self._closed = True
        if self._watch:
            self._watch.close()
        if self._thread:
            self._thread.join()

    def __enter__(self) -> Progress:
        where = surface(self._show)
        if where:
            rounds = self._rounds(where)
            next(rounds)  # in this thread, whose cell of a notebook it belongs to
            self._thread = threading.Thread(
                target=self._run, args=(rounds,), name="sci-progress", daemon=True
            )
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread and not error:
            with suppress(ScistreamError):  # it has ended, and the watch has told how
                self._keep(self._session.status())
        self.close()

    def __repr__(self) -> str:
        return f"<scistream.Progress of {self._session.uid}>"

    def _run(self, rounds: Iterator[None]) -> None:
        with suppress(ScistreamError):  # which the last line names
            for _ in rounds:
                pass

    def _rounds(self, where: Surface | None = None) -> Iterator[None]:
        """Looks and draws, once a second, until there is nothing more to come."""
        if self._watch:
            raise InvalidState("a Progress is good for one block or loop: make another one")
        watch = self._watch = self._session._core.watch(PERIOD)
        where = where or surface(self._show)
        why = ""
        try:
            ready = select.poll()
            ready.register(watch.fileno(), select.POLLIN)
            due = time.monotonic()
            more = True
            while more:
                ready.poll(1000 * max(0.0, due - time.monotonic()))
                events, more = watch.take()
                self._keep([event.status for event in events])
                now = time.monotonic()
                # Rates count from the moment on from which it is known what has gone through.
                if self._sides and (now >= due or not self._looks or not more):
                    self._looks.append((now, self._bytes))
                if more and now < due:
                    continue
                due = now + PERIOD
                if where:
                    where.draw(self._line(where), self._seconds // 10)
                yield
            why = "" if self._closed else ", ended"
        except GeneratorExit:
            raise
        except BaseException as error:
            why = f", {type(error).__name__}"
            raise
        finally:
            watch.close()
            if where:
                where.finish([*self._line(where), Part(why)])

    def _keep(self, sides: Sequence[SessionStatus]) -> None:
        self._sides.update({side.role: side for side in sides})

    @property
    def _stats(self) -> SessionStats:
        return stats_of(list(self._sides.values()))

    @property
    def _bytes(self) -> int:
        if not self._sides:
            return 0
        return max(self._stats.bytes_to_consumer, self._stats.bytes_to_producer)

    @property
    def _seconds(self) -> int:
        return int(time.monotonic() - self._began)

    def _line(self, where: Surface) -> list[Part]:
        done, total = self._bytes, self._total
        rate = 0.0
        if len(self._looks) > 1:
            (began, before), (ended, after) = self._looks[0], self._looks[-1]
            rate = (after - before) / max(ended - began, 1e-6)
        times = clock(self._seconds)
        parts = [Part(f"{short(self._session.uid)} "), Part(amount(done, "B"), "now")]
        if total:
            share = min(done / total, 1.0)
            full, empty = ("━", "─") if where.signs else ("#", "-")
            behind = int(BAR * share)
            parts.append(Part(f" of {amount(total, 'B')} {int(100 * share)} % "))
            parts += [Part(full * behind, "done"), Part(empty * (BAR - behind), "later")]
            if rate > 0 and done < total:
                times += f", {clock(int((total - done) / rate))} left"
        active = self._stats.connections_active if self._sides else 0
        return [*parts, Part(f" {amount(8 * rate, 'bit/s')} {times} {active} conn")]


def bytes_of(total: float) -> int:
    """A whole number of them, such as 10**10 or 1e10. InvalidRequest."""
    with suppress(TypeError, ValueError, OverflowError):
        if int(total) == total >= 1:
            return int(total)
    raise InvalidRequest(f"total: {total!r} is no number of bytes")


def short(uid: str) -> str:
    """As much of a session's id as tells it from others."""
    return uid if len(uid) <= 12 else uid[:8]


def clock(seconds: int) -> str:
    """As `1:02:03`, or `0:05`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
