"""The measurements. Those with peers take turns, so that all of them see the same machine."""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peers
import places
from places import Pair, Place
from stage import Failed, Stage

Row = dict[str, Any]


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    sessions: int  # set up and released, one after another
    rounds: int  # in which everything that is compared takes its turn
    seconds: float  # of load in each turn
    connections: tuple[int, ...]
    rates: tuple[int, ...]  # Mbit/s
    messages: int  # of 64 B in a turn; a third as many of 64 KiB
    standing: int  # sessions that are there while others come and go
    streams: int  # of them that carry data


FULL = Effort(
    sessions=100,
    rounds=6,
    seconds=1.5,
    connections=(1, 4, 16),
    rates=(10, 100, 1000, 5000),
    messages=3000,
    standing=1000,
    streams=50,
)
QUICK = Effort(
    sessions=3,
    rounds=1,
    seconds=0.2,
    connections=(1,),
    rates=(100,),
    messages=100,
    standing=20,
    streams=2,
)


def quantiles(values: list[float]) -> Row:
    """Median and 99th percentile (of fewer than 100 values: the largest)."""
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 2),
        "p99": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 2),
    }


def timed(words: list[str]) -> tuple[str, float]:
    """Runs a command to its end; its stdout, and how many milliseconds that took."""
    start = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    took = (time.perf_counter() - start) * 1e3
    if done.returncode != 0:
        raise Failed(f"{Path(words[0]).name} {words[1]}: {done.stderr}")
    return done.stdout, took


def setup(stage: Stage, folder: Path, effort: Effort) -> list[Row]:
    """A whole session, each from a fresh user client: request to ready, then its release."""
    pair = Pair(stage, folder)
    ready, request, release = [], [], []
    for _ in range(effort.sessions):
        text, took = timed(pair.request(f"{places.HOST}:9"))
        document = json.loads(text)
        ready.append(float(document["setup_ms"]))
        request.append(took)
        release.append(timed(pair.release(document["uid"]))[1])
    pair.close()
    return [
        {"what": what, "unit": "ms", "sessions": effort.sessions, **quantiles(values)}
        for what, values in (
            ("request to ready (setup_ms)", ready),
            ("whole s2uc request process", request),
            ("whole s2uc release process", release),
        )
    ]


def turns(effort: Effort, ways: list[Place]) -> Iterator[Place]:
    """Each way in each round; every other round in the opposite order."""
    for number in range(effort.rounds):
        yield from ways if number % 2 == 0 else reversed(ways)


def throughput(stage: Stage, effort: Effort, ways: list[Place], yardstick: str) -> list[Row]:
    """GB/s and CPU seconds a GB by way and number of connections, and the ratio to one of them."""
    rows = []
    for connections in effort.connections:
        speed: dict[str, list[float]] = {way.name: [] for way in ways}
        cpu: dict[str, list[float]] = {way.name: [] for way in ways}
        for way in turns(effort, ways):
            before = way.cpu_seconds()
            got = places.drive(
                stage, "throughput", way.endpoint, str(connections), str(effort.seconds)
            )
            speed[way.name].append(got["bytes"] / got["seconds"] * 1e-9)
            cpu[way.name].append((way.cpu_seconds() - before) / got["bytes"] * 1e9)
        for way in ways:
            # Round by round, then the median: the machine's own ups and downs cancel.
            ratios = [a / b for a, b in zip(speed[way.name], speed[yardstick])]
            rows.append(
                {
                    "connections": connections,
                    "way": way.name,
                    "gb_per_s": round(statistics.median(speed[way.name]), 3),
                    "cpu_s_per_gb": round(statistics.median(cpu[way.name]), 3),
                    f"ratio_to_{yardstick.split()[0].lower()}": round(statistics.median(ratios), 3),
                }
            )
    return rows


def single_relays(stage: Stage, folder: Path) -> list[Place]:
    """Direct, through HAProxy, through one relay of ours, all to one sink."""
    target = places.sink(stage)
    peer = places.haproxy(stage, target, folder)
    ways = [Place("direct", target), peer, places.relay(stage, target)]
    return [way for way in ways if way]


def plain(stage: Stage, folder: Path, effort: Effort) -> list[Row]:
    """Throughput of one relay."""
    ways = single_relays(stage, folder)
    return throughput(stage, effort, ways, yardstick_of(ways, "HAProxy"))


def encrypted_ways(stage: Stage, folder: Path) -> list[Place]:
    """Two relays with an encrypted leg between them: ours, and those of peers."""
    target = places.sink(stage)
    ways = [*peers.encrypted_chains(stage, target, folder), peers.our_chain(stage, target, folder)]
    return [Place("direct", target), *ways]


def yardstick_of(ways: list[Place], wanted: str) -> str:
    """The peer to compare with, or the direct connection where it is not installed."""
    return wanted if any(way.name == wanted for way in ways) else "direct"


def encrypted(stage: Stage, folder: Path, effort: Effort) -> list[Row]:
    """Throughput of two relays with TLS between them."""
    ways = encrypted_ways(stage, folder)
    return throughput(stage, effort, ways, yardstick_of(ways, "HAProxy TLS 1.3"))


def rate(stage: Stage, folder: Path, effort: Effort) -> list[Row]:
    """How well a rate is kept, as ratios to it, measured where the bytes arrive."""
    rows = []
    for mbps in effort.rates:
        for connections in effort.connections:
            sink = f"{places.HOST}:{places.free_port()}"
            flags = ("--rate", str(mbps))
            for name, way in (
                ("one relay", places.relay(stage, sink, *flags)),
                ("two, TLS", peers.our_chain(stage, sink, folder, *flags)),
            ):
                seconds = max(1.5, effort.seconds * 3)
                got = places.drive(
                    stage, "arrivals", sink, way.endpoint, str(connections), str(seconds)
                )
                second = mbps * 1e6 / 8
                rows.append(
                    {
                        "mbps": mbps,
                        "connections": connections,
                        "way": name,
                        "whole": round(got["bytes"] / got["seconds"] / second, 4),
                        "slowest_second": round(got["least_in_1_s"] / second, 4),
                        "fastest_second": round(got["most_in_1_s"] / second, 4),
                        "fullest_10_ms": round(got["most_in_10_ms"] / second * 100, 2),
                        "least_share": round(got["least_share"] * connections, 3),
                        "most_share": round(got["most_share"] * connections, 3),
                    }
                )
    return rows


def latency(stage: Stage, folder: Path, effort: Effort) -> list[Row]:
    """Round trips through one relay, and connections one after another."""
    ways = single_relays(stage, folder)
    seen: dict[str, dict[str, list[float]]] = {way.name: {} for way in ways}
    for way in turns(effort, ways):
        found = seen[way.name]
        for size, messages in ((64, effort.messages), (65536, effort.messages // 3)):
            got = places.drive(stage, "ping-pong", way.endpoint, str(size), str(messages))
            for key in ("p50_us", "p99_us"):
                found.setdefault(f"{size}_B_{key}", []).append(got[key])
        got = places.drive(stage, "connections", way.endpoint, str(effort.seconds))
        found.setdefault("connections_per_s", []).append(got["per_second"])
    return [
        {"way": name, **{key: round(statistics.median(values), 1) for key, values in found.items()}}
        for name, found in seen.items()
    ]


def session(stage: Stage, folder: Path, effort: Effort) -> list[Row]:
    """Throughput through a whole session, that is two relays."""
    target = places.sink(stage)
    pair = Pair(stage, folder)
    with pair.session(target) as way:
        rows = throughput(stage, effort, [Place("direct", target), way], "direct")
    pair.close()
    return rows


def load(stage: Stage, folder: Path, effort: Effort) -> list[Row]:
    """Rpcs of 200 new sessions a second while a thousand stand and fifty of them stream."""
    got = places.many_sessions(
        stage, folder, effort.standing, effort.streams, 200, effort.seconds * 6
    )
    return [
        {
            "rpc": rpc,
            "unit": "ms",
            "sessions": got["sessions"],
            "p50": round(got[rpc]["p50_ms"], 2),
            "p99": round(got[rpc]["p99_ms"], 2),
            "streamed_gb_per_s": round(got["streamed_gb_per_s"], 2),
        }
        for rpc in ("req", "hello", "update", "release")
    ]


MEASUREMENTS = {
    "setup": setup,
    "plain": plain,
    "encrypted": encrypted,
    "rate": rate,
    "latency": latency,
    "session": session,
    "load": load,
}


def run(name: str, effort: Effort) -> list[Row]:
    """One measurement, with all that it starts ended afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="scistream-bench-") as folder,
        Stage().running() as stage,
    ):
        return MEASUREMENTS[name](stage, Path(folder), effort)
