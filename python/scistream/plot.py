"""Pictures of what a session does; needs matplotlib (`pip install 'scistream[plot]'`).

    with Recorder(session, period=0.2) as recorder:
        stream()
    plot.throughput(recorder)

A `Recorder` needs no matplotlib: it keeps what a session's counters were, and when.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scistream._client import Session
from scistream._errors import InvalidRequest, NotFound, ScistreamError
from scistream._live import Live
from scistream._values import SessionStatus
from scistream._watch import Watch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Recorder", "Sample", "connections", "throughput"]


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

    """

    def __init__(self, session: Session, *, period: float = 0.5, role: str = "CONS") -> None:
        self._role = role.upper()
        if self._role not in ("PROD", "CONS"):
            raise InvalidRequest(f"role: {role!r} is neither PROD nor CONS")
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._samples: list[Sample] = []
        self._failure: ScistreamError | None = None
        sides = [side for side in session.status() if side.role == self._role]
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

    def _run(self, watch: Watch) -> None:
        try:
            for event in watch:
                if event.status.role == self._role and event.kind != "gone":
                    self._keep(event.status)
        except ScistreamError as failure:
            self._failure = failure

    @property
    def samples(self) -> tuple[Sample, ...]:
        """So far, oldest first; there is at least one."""
        with self._lock:
            return tuple(self._samples)

    @property
    def failure(self) -> ScistreamError | None:
        """Why it ended early, if it did: the control server could not be reached any more."""
        return self._failure

    def close(self) -> None:
        """Ends it; the samples stay. May be called again."""
        self._watch.close()
        self._thread.join()

    def __enter__(self) -> Recorder:
        return self

    def __repr__(self) -> str:
        return f"<scistream.plot.Recorder {len(self.samples)} samples>"


def rates(samples: Sequence[Sample]) -> tuple[list[float], list[float], list[float]]:
    """Seconds, and from each to the next the mean Gbit/s to the consumer and to the producer.

    As steps: the last rate is 0, where the recording ends.
    """
    times = [sample.at for sample in samples]
    to_consumer, to_producer = [], []
    for before, after in zip(samples, samples[1:]):
        seconds = max(after.at - before.at, 1e-6)
        to_consumer.append((after.bytes_to_consumer - before.bytes_to_consumer) * 8e-9 / seconds)
        to_producer.append((after.bytes_to_producer - before.bytes_to_producer) * 8e-9 / seconds)
    return times, [*to_consumer, 0.0], [*to_producer, 0.0]


def _axes(axes: Axes | None) -> Any:
    if axes is not None:
        return axes
    try:
        from matplotlib import pyplot
    except ImportError as missing:
        raise ImportError("pictures need matplotlib: pip install 'scistream[plot]'") from missing
    return pyplot.subplots(figsize=(7, 3))[1]


def throughput(recorder: Recorder, axes: Axes | None = None) -> Axes:
    """Gbit/s of the applications' bytes over time, each way.

    Args:
        recorder: Of the session.
        axes: Where to draw; None is a new figure.

    Raises:
        ImportError: matplotlib is not there.

    """
    axes = _axes(axes)
    times, to_consumer, to_producer = rates(recorder.samples)
    axes.step(times, to_consumer, where="post", label="to the consumer")
    if any(to_producer):
        axes.step(times, to_producer, where="post", label="to the producer")
    axes.set(xlabel="seconds", ylabel="Gbit/s", ylim=(0, None))
    axes.legend(loc="upper left", frameon=False)
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
