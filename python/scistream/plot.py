"""Pictures of what a session does; needs matplotlib (`pip install 'scistream[plot]'`).

    with Recorder(session, period=0.2) as recorder:
        stream()
    plot.throughput(recorder)

A `Recorder` needs no matplotlib: it keeps what a session's counters were, and when.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scistream._client import Session
from scistream._errors import InvalidRequest, NotFound, ScistreamError
from scistream._live import Live
from scistream._plain import TEXT
from scistream._units import STEPS, amount, unit_for
from scistream._values import Connection, SessionStatus
from scistream._watch import Watch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Recorder", "Sample", "connections", "latency", "shares", "throughput"]

SMALL_SHARE = 0.001  # of the other direction's bytes: a line of it would be at zero
TINY = 100_000  # bytes, of which any part may be of interest
MOST_BARS = 16
TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


@dataclass(frozen=True)
class Sample:
    """The counters of a session at one moment, as its consumer's facility has them."""

    at: float
    """Seconds since the recorder was made."""
    bytes_to_consumer: int
    bytes_to_producer: int
    connections_active: int


class Recorder(Live):
    """Watches a session in the background and keeps samples, until it ends or `close`.

    Any thread. Counters that do not change bring no sample: between two samples nothing moved, or
    it moved evenly.

    Args:
        session: What to watch; it is set up.
        period: Seconds between two samples, 0.1 or more.
        role: Whose facility's counters, `PROD` or `CONS`.
        connections: Keep what went through each connection as well; one more call a sample.

    """

    def __init__(
        self,
        session: Session,
        *,
        period: float = 0.5,
        role: str = "CONS",
        connections: bool = False,
    ) -> None:
        TEXT.check("role", role)
        self._role = role.upper()
        if self._role not in ("PROD", "CONS"):
            raise InvalidRequest(f"role: {role!r} is neither PROD nor CONS")
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._samples: list[Sample] = []
        self._failure: ScistreamError | None = None
        self._session = session if connections else None
        self._connections: dict[tuple[int, str], Connection] = {}
        sides = [s for s in session.status(connections=connections) if s.role == self._role]
        if not sides:
            raise NotFound(f"the {self._role} side of the session is not there", uid=session.uid)
        self._keep(sides[0])
        self._watch = session.watch(period=period)
        super().__init__()
        self._thread = threading.Thread(
            target=self._run, args=(self._watch,), name="sci-recorder", daemon=True
        )
        self._thread.start()

    def _keep(self, status: SessionStatus) -> None:
        sample = Sample(
            time.monotonic() - self._began,
            status.bytes_to_consumer,
            status.bytes_to_producer,
            status.connections_active,
        )
        with self._lock:
            self._samples.append(sample)
            # A data server that replaces another one counts anew.
            self._connections.update({(each.id, each.peer): each for each in status.connections})

    def _with_connections(self, status: SessionStatus) -> SessionStatus:
        if self._session is None:
            return status
        try:
            sides = self._session.status(connections=True)
        except ScistreamError:  # it is for the watch to say that a server is gone
            sides = ()
        return next((side for side in sides if side.role == self._role), status)

    def _run(self, watch: Watch) -> None:
        try:
            for event in watch:
                if event.status.role == self._role and event.kind != "gone":
                    self._keep(self._with_connections(event.status))
        except ScistreamError as failure:
            self._failure = failure

    @property
    def samples(self) -> tuple[Sample, ...]:
        """So far, oldest first; there is at least one."""
        with self._lock:
            return tuple(self._samples)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Each one that was seen, as it was seen last, in the order of their beginning.

        Those that lived between two samples only are missing, and so is what went through after the
        last one. Empty unless made with `connections=True`.
        """
        with self._lock:
            return tuple(self._connections.values())

    @property
    def failure(self) -> ScistreamError | None:
        """Why it ended early, if it did: the control server could not be reached any more."""
        return self._failure

    def close(self) -> None:
        """Ends it; the samples stay. May be called again."""
        self._watch.close()
        self._thread.join()

    def __repr__(self) -> str:
        # Without the lock, which its thread may have had when this process was forked.
        return f"<scistream.plot.Recorder {len(self._samples)} samples>"


def rates(samples: Sequence[Sample]) -> tuple[list[float], list[float], list[float]]:
    """Seconds, and from each to the next the mean bit/s to the consumer and to the producer.

    As steps: the last rate is 0, where the recording ends.
    """
    times = [sample.at for sample in samples]
    to_consumer, to_producer = [], []
    for before, after in zip(samples, samples[1:]):
        seconds = max(after.at - before.at, 1e-6)
        to_consumer.append((after.bytes_to_consumer - before.bytes_to_consumer) * 8 / seconds)
        to_producer.append((after.bytes_to_producer - before.bytes_to_producer) * 8 / seconds)
    return times, [*to_consumer, 0.0], [*to_producer, 0.0]


def _axes(axes: Axes | None) -> Any:
    if axes is not None:
        return axes
    try:
        from matplotlib import pyplot
    except ImportError as missing:
        raise ImportError("pictures need matplotlib: pip install 'scistream[plot]'") from missing
    return pyplot.subplots(figsize=(7, 3), layout="constrained")[1]


def _legend_above(axes: Any) -> None:
    """In one line, where no curve is."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=9, frameon=False, borderaxespad=0.2)


def _directions(samples: Sequence[Sample]) -> tuple[bool, bool]:
    """Whether what went to the consumer, and to the producer, is worth a line."""
    first, last = samples[0], samples[-1]
    to_consumer = last.bytes_to_consumer - first.bytes_to_consumer
    to_producer = last.bytes_to_producer - first.bytes_to_producer
    least = SMALL_SHARE * max(to_consumer, to_producer)
    if max(to_consumer, to_producer) < TINY:
        least = 1
    return to_consumer >= least or not to_producer, to_producer >= max(least, 1)


def throughput(recorder: Recorder, axes: Axes | None = None) -> Axes:
    """The applications' bytes over time, each way, in Gbit/s, Mbit/s, kbit/s or bit/s.

    The unit suits the highest rate; in axes that have such a picture already it is that one's. A
    direction with less than 0.1 % of the other's bytes is left out, unless less than 100 kB went
    either way: what only answers would draw a second line at zero.

    Args:
        recorder: Of the session.
        axes: Where to draw; None is a new figure.

    Raises:
        ImportError: matplotlib is not there.

    """
    axes = _axes(axes)
    samples = recorder.samples
    times, *both = rates(samples)
    size, unit = unit_for(max(map(max, both)), "bit/s")
    for other, prefix in STEPS:
        if axes.get_ylabel() == f"{prefix}bit/s":
            size, unit = other, f"{prefix}bit/s"
    for drawn, rate, name in zip(_directions(samples), both, ("consumer", "producer")):
        if drawn:
            scaled = [each / size for each in rate]
            axes.step(times, scaled, where="post", label=f"to the {name}")
    axes.set(xlabel="seconds", ylabel=unit, ylim=(0, None))
    _legend_above(axes)
    return axes


def connections(recorder: Recorder, axes: Axes | None = None) -> Axes:
    """How many connections were open, over time; arguments and errors as `throughput`."""
    axes = _axes(axes)
    samples = recorder.samples
    axes.step(
        [sample.at for sample in samples],
        [sample.connections_active for sample in samples],
        where="post",
    )
    axes.set(xlabel="seconds", ylabel="open connections", ylim=(0, None))
    return axes


def shares(of: Recorder | Iterable[Connection], axes: Axes | None = None) -> Axes:
    """What each connection carried, both ways together, and its share of all: a bar for each.

    In the order of their beginning, named by the listener's port and who connected. Of more than 16
    the ones with the most bytes; the last bar is the sum of the others.

    Args:
        of: A recorder made with `connections=True`, or connections, such as
            `session.status(connections=True)[-1].connections`.
        axes: Where to draw; None is a new figure.

    Raises:
        InvalidRequest: There is no connection.
        ImportError: matplotlib is not there.

    """
    seen = of.connections if isinstance(of, Recorder) else tuple(of)
    if not seen:
        raise InvalidRequest(
            "there is no connection; a Recorder keeps them if made with connections=True"
        )
    carried = [each.bytes_to_consumer + each.bytes_to_producer for each in seen]
    total = max(sum(carried), 1)
    shown = range(len(seen))
    if len(seen) > MOST_BARS:
        busiest = sorted(shown, key=lambda i: carried[i], reverse=True)[: MOST_BARS - 1]
        shown = sorted(busiest)  # type: ignore[assignment]
    names = [f"{seen[i].port} from {seen[i].peer}" for i in shown]
    bars = [carried[i] for i in shown]
    if len(shown) < len(seen):
        names.append(f"{len(seen) - len(shown)} others")
        bars.append(sum(carried) - sum(bars))
    size, unit = unit_for(max(bars), "B")
    axes = _axes(axes)
    drawn = axes.barh(range(len(bars)), [each / size for each in bars])
    axes.set_yticks(range(len(bars)), names)
    axes.invert_yaxis()  # the first one above
    texts = [f"{100 * each / total:.3g} %, {amount(each, 'B')}" for each in bars]
    axes.bar_label(drawn, texts, padding=3)
    axes.set(xlabel=unit, xlim=(0, 1.4 * max(bars) / size or 1))  # with room for these texts
    return axes


def latency(seconds: Iterable[float], axes: Axes | None = None) -> Axes:
    """How long round trips took: for each time, the share of them that took longer.

    Both axes are logarithmic, since what matters most is rare. Lines mark the times within which
    half of the round trips came back, 99 % and 99.9 % of them (p50, p99, p99.9); the latter two
    where there are 100 or 1000 round trips: fewer do not tell.

    Args:
        seconds: Of each round trip, in any order, as the application has measured them.
        axes: Where to draw; None is a new figure.

    Raises:
        InvalidRequest: There is none, or one is no time.
        ImportError: matplotlib is not there.

    """
    times = sorted(map(float, seconds))
    if not times:
        raise InvalidRequest("seconds: there is no round trip")
    for each in times:
        if not 0 < each < math.inf:
            raise InvalidRequest(f"seconds: {each} is not the time of a round trip")
    axes = _axes(axes)
    size, unit = next((each for each in TIMES if percentile(times, 50) >= each[0]), TIMES[-1])
    number = len(times)
    longer = [(number - place) / number for place in range(number)]
    axes.step([each / size for each in times], longer, where="pre")
    if times[-1] < 1.01 * times[0]:  # matplotlib knows no limits around a point that suit a log
        axes.update_datalim([(times[0] / size / 2, 1), (times[0] / size * 2, 1)])
    for percent, least, style in ((50.0, 1, ":"), (99.0, 100, "--"), (99.9, 1000, "-.")):
        if number >= least:
            at = percentile(times, percent) / size
            name = f"p{percent:g}: {at:.3g} {unit}"
            axes.axvline(at, color="0.5", linewidth=1, linestyle=style, label=name)
    axes.set(xscale="log", yscale="log", xlabel=unit, ylabel="share that took longer")
    axes.set_ylim(0.5 / number, 1.3)
    span = times[-1] / times[0]
    marked = "1" if span > 100 else "125" if span > 5 else "123456789"
    axes.xaxis.set_major_formatter(lambda at, _: f"{at:g}")
    axes.xaxis.set_minor_formatter(lambda at, _: f"{at:g}" if f"{at:e}"[0] in marked else "")
    _legend_above(axes)
    return axes


def percentile(times: Sequence[float], percent: float) -> float:
    """The least of these, in order, within which so many percent of them are."""
    # In whole thousandths of a percent: 99.9 / 100 * 1000 is not 999 to a computer.
    return times[max(0, -(-round(percent * 1000) * len(times) // 100_000) - 1)]
