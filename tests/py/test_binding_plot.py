"""What a session did, recorded and drawn."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

import scistream
from binding import python
from facility import LIMIT, eventually
from scistream import plot
from scistream.plot import Sample

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
pyplot = pytest.importorskip("matplotlib.pyplot")

SIZE = 1_000_000


@pytest.fixture(scope="module")
def recorder() -> Iterator[plot.Recorder]:
    """Of a session through which `SIZE` bytes have gone to the consumer."""
    with socket.create_server(("127.0.0.1", 0)) as producer, scistream.LocalFacilities() as both:
        application = f"127.0.0.1:{producer.getsockname()[1]}"
        with (
            both.request(prod_app=[application]) as session,
            plot.Recorder(session, period=0.1, connections=True) as recorder,
        ):
            with socket.create_connection(session.listeners[0].address, LIMIT) as consumer:
                connection, _ = producer.accept()
                with connection:
                    connection.sendall(bytes(SIZE))
                    left = SIZE
                    while left:
                        left -= len(consumer.recv(min(left, 65536)))
                    eventually(
                        lambda: recorder.samples[-1].bytes_to_consumer == SIZE, "all is counted"
                    )
            eventually(lambda: recorder.samples[-1].connections_active == 0, "it has ended")
        yield recorder


def test_a_recorder_keeps_what_the_counters_were(recorder: plot.Recorder) -> None:
    first, *_, last = recorder.samples
    assert (first.bytes_to_consumer, first.connections_active) == (0, 0)
    assert (last.bytes_to_consumer, last.bytes_to_producer) == (SIZE, 0)
    times = [sample.at for sample in recorder.samples]
    assert times == sorted(times)
    assert recorder.failure is None
    assert repr(recorder) == f"<scistream.plot.Recorder {len(times)} samples>"


def test_rates_are_those_between_the_samples() -> None:
    samples = [Sample(0.0, 0, 0, 0), Sample(2.0, 10**9, 0, 1), Sample(2.5, 10**9, 125_000_000, 1)]
    assert plot.rates(samples) == ([0.0, 2.0, 2.5], [4e9, 0.0, 0.0], [0.0, 2e9, 0.0])
    assert plot.rates(samples[:1]) == ([0.0], [0.0], [0.0])


def test_a_picture_shows_all_that_was_sent(recorder: plot.Recorder) -> None:
    axes: Any = plot.throughput(recorder)
    times, rates = axes.get_lines()[0].get_data()
    sent = sum(rate * (after - at) for rate, at, after in zip(rates, times, times[1:]))
    bits = {"Gbit/s": 1e9, "Mbit/s": 1e6, "kbit/s": 1e3}[axes.get_ylabel()]
    assert sent * bits / 8 == pytest.approx(SIZE)
    assert axes.get_xlabel() == "seconds"
    assert legend(axes) == ["to the consumer"]


class Recorded:
    """So many bytes each way within ten seconds."""

    def __init__(self, to_consumer: int, to_producer: int) -> None:
        self.samples = (Sample(0.0, 7, 5, 1), Sample(10.0, 7 + to_consumer, 5 + to_producer, 1))


def throughput(to_consumer: int, to_producer: int = 0, axes: Any = None) -> Any:
    return plot.throughput(Recorded(to_consumer, to_producer), axes)  # type: ignore[arg-type]


def legend(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize(
    ("size", "unit", "shown"),
    [
        (5 * 10**9, "Gbit/s", 4.0),
        (12 * 10**8, "Mbit/s", 960.0),
        (2 * 10**6, "Mbit/s", 1.6),
        (12 * 10**5, "kbit/s", 960.0),
        (500, "bit/s", 400.0),
        (0, "bit/s", 0.0),
    ],
)
def test_the_unit_suits_the_highest_rate(size: int, unit: str, shown: float) -> None:
    axes = throughput(size)
    assert axes.get_ylabel() == unit
    assert list(axes.get_lines()[0].get_ydata()) == pytest.approx([shown, 0.0])
    pyplot.close("all")


def test_two_recordings_in_one_picture_have_one_unit() -> None:
    axes = throughput(10**6, axes=throughput(5 * 10**9))
    assert axes.get_ylabel() == "Gbit/s"
    assert [line.get_ydata()[0] for line in axes.get_lines()] == pytest.approx([4.0, 0.0008])
    pyplot.close("all")


BOTH = ["to the consumer", "to the producer"]


@pytest.mark.parametrize(
    ("to_consumer", "to_producer", "drawn"),
    [
        (10**9, 10**6, BOTH),
        (10**9, 10**6 - 1, BOTH[:1]),
        (10**6 - 1, 10**9, BOTH[1:]),
        (99_999, 1, BOTH),
        (1, 99_999, BOTH),
        (100_000, 1, BOTH[:1]),
        (10**9, 0, BOTH[:1]),
        (0, 10, BOTH[1:]),
        (0, 0, BOTH[:1]),
    ],
)
def test_a_direction_that_hardly_moved_is_left_out(
    to_consumer: int, to_producer: int, drawn: list[str]
) -> None:
    axes = throughput(to_consumer, to_producer)
    assert legend(axes) == drawn
    assert len(axes.get_lines()) == len(drawn)
    pyplot.close("all")


def test_the_legend_covers_no_curve() -> None:
    pictures: list[Any] = [throughput(10**9, 10**9), plot.latency([0.001] * 1000)]
    for axes in pictures:
        figure = axes.figure
        figure.canvas.draw()
        beside = axes.get_legend().get_window_extent()
        assert beside.y0 >= axes.get_window_extent().y1
        assert beside.y1 <= figure.bbox.y1
        assert beside.x0 >= 0
    pyplot.close("all")


def test_round_trips_are_drawn_as_the_share_that_took_longer() -> None:
    axes: Any = plot.latency([0.004, 0.001, 0.002, 0.003])
    curve, middle = axes.get_lines()
    assert list(curve.get_xdata()) == pytest.approx([1, 2, 3, 4])
    assert list(curve.get_ydata()) == [1, 0.75, 0.5, 0.25]
    assert curve.get_drawstyle() == "steps-pre"
    assert middle.get_xdata() == pytest.approx([2, 2])
    assert (axes.get_xlabel(), axes.get_xscale(), axes.get_yscale()) == ("ms", "log", "log")
    assert legend(axes) == ["p50: 2 ms"]
    pyplot.close("all")


@pytest.mark.parametrize(
    ("number", "marks"),
    [
        (99, ["p50: 50 µs"]),
        (100, ["p50: 50 µs", "p99: 99 µs"]),
        (1000, ["p50: 500 µs", "p99: 990 µs", "p99.9: 999 µs"]),
    ],
)
def test_percentiles_are_those_that_so_many_can_tell(number: int, marks: list[str]) -> None:
    axes = plot.latency((each + 1) * 1e-6 for each in range(number))
    assert legend(axes) == marks
    pyplot.close("all")


@pytest.mark.parametrize("percent", [1, 50, 90, 99, 99.9, 99.99, 100])
@pytest.mark.parametrize("number", [1, 2, 3, 100, 101, 999, 1000, 10_000])
def test_a_percentile_is_the_least_time_within_which_so_many_are(
    percent: float, number: int
) -> None:
    times = list(range(number))
    found = int(plot.percentile(times, percent))
    wanted = Fraction(str(percent)) / 100
    assert Fraction(found + 1, number) >= wanted
    assert Fraction(found, number) < wanted


@pytest.mark.parametrize("seconds", [[], [0.0], [-1.0], [1.0, float("nan")], [float("inf")]])
def test_what_is_no_round_trip_is_refused(seconds: list[float]) -> None:
    with pytest.raises(scistream.InvalidRequest, match="round trip"):
        plot.latency(seconds)


@pytest.mark.parametrize("seconds", [[0.1], [0.1, 0.1], [0.1, 0.1 + 2e-17], [1.0], [3e-7] * 1000])
def test_times_that_are_all_the_same_are_drawn_without_a_warning(seconds: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes: Any = plot.latency(seconds)
        axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    at = axes.get_lines()[0].get_xdata()[0]
    assert low < at < high
    pyplot.close("all")


def test_it_is_drawn_where_it_is_wanted(recorder: plot.Recorder) -> None:
    axes: Any = pyplot.subplots()[1]
    assert plot.connections(recorder, axes) is axes
    lines: Any = axes.get_lines()
    assert max(lines[0].get_ydata()) == 1
    pyplot.close("all")


def test_without_matplotlib_it_is_said() -> None:
    assert "pip install 'scistream[plot]'" in python(
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from scistream import plot\n"
        "try:\n"
        "    plot._axes(None)\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )


def test_shares_are_those_of_every_connection(recorder: plot.Recorder) -> None:
    (connection,) = recorder.connections
    assert connection.bytes_to_consumer == SIZE, "though it has ended"
    axes: Any = plot.shares(recorder)
    (bar,) = axes.patches
    assert bar.get_width() == 1.0
    assert axes.get_xlabel() == "MB"
    assert [text.get_text() for text in axes.texts] == ["100 %, 1.00 MB"]
    (name,) = axes.get_yticklabels()
    assert name.get_text() == f"{connection.port} from {connection.peer}"


def carried(number: int, size: int) -> scistream.Connection:
    return scistream.Connection(number, 5000, f"127.0.0.1:{number}", "127.0.0.1:1", size, size)


def test_what_many_connections_carried_is_one_sum() -> None:
    many = [carried(number, 50 if number % 2 else 150) for number in range(1, 31)]
    axes: Any = plot.shares(iter(many))
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == [*(f"5000 from 127.0.0.1:{n}" for n in range(2, 31, 2)), "15 others"]
    assert [bar.get_width() for bar in axes.patches] == [*[0.3] * 15, 1.5]
    assert axes.texts[-1].get_text() == "25 %, 1.50 kB"
    at_the_limit: Any = plot.shares(many[:16])
    assert len(at_the_limit.patches) == 16


def test_shares_of_nothing_are_refused() -> None:
    with pytest.raises(scistream.InvalidRequest, match="connections=True"):
        plot.shares([])
    axes: Any = plot.shares([carried(1, 0)])
    assert axes.texts[0].get_text() == "0 %, 0 B"
