"""The measurements. Those with peers take turns, so that all of them see the same machine."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netpath
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
    idle: int  # connections that say nothing
    round_trips: tuple[float, ...]  # ms, of the long path
    standing: int  # sessions that are there while others come and go
    streams: int  # of them that carry data


FULL = Effort(
    sessions=100,
    rounds=5,
    seconds=1.5,
    connections=(1, 4, 16, 64),
    rates=(10, 100, 1000, 5000),
    messages=3000,
    idle=8000,
    round_trips=(0, 1, 10, 50, 100),
    standing=1000,
    streams=50,
)
QUICK = Effort(
    sessions=5,
    rounds=1,
    seconds=0.4,
    connections=(1, 4),
    rates=(100,),
    messages=300,
    idle=200,
    round_trips=(0, 20),
    standing=20,
    streams=2,
)
PATH_MBPS = 2000  # of the long path: what two cores emulate with ease


@dataclass
class Bench:
    """What a measurement works with."""

    stage: Stage
    folder: Path
    effort: Effort
    tell: Callable[[str], None]  # what is measured right now
    left_out: list[str] = field(default_factory=list)  # and why

    def turns(self, ways: list[Place], what: str) -> Iterator[Place]:
        """Each way in each round; every other round in the opposite order."""
        for number in range(self.effort.rounds):
            for way in ways if number % 2 == 0 else reversed(ways):
                self.tell(f"{what}, round {number + 1} of {self.effort.rounds}: {way.name}")
                yield way

    def drive(self, *arguments: str) -> dict[str, Any]:
        """Runs the load generator; its result."""
        return places.drive(self.stage, *arguments)


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


def setup(bench: Bench) -> list[Row]:
    """A whole session, each from a fresh user client: request to ready, then its release."""
    pair = Pair(bench.stage, bench.folder)
    effort = bench.effort
    ready, request, release = [], [], []
    for number in range(effort.sessions):
        bench.tell(f"session {number + 1} of {effort.sessions}")
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


def throughput(bench: Bench, ways: list[Place], yardstick: str) -> list[Row]:
    """GB/s and CPU seconds a GB by way and number of connections, and the ratio to one of them."""
    rows = []
    for connections in bench.effort.connections:
        speed: dict[str, list[float]] = {way.name: [] for way in ways}
        cpu: dict[str, list[float]] = {way.name: [] for way in ways}
        for way in bench.turns(ways, f"{connections} connections"):
            before = way.cpu_seconds()
            got = bench.drive(
                "throughput", way.endpoint, str(connections), str(bench.effort.seconds)
            )
            speed[way.name].append(got["bytes"] / got["seconds"] * 1e-9)
            cpu[way.name].append((way.cpu_seconds() - before) / got["bytes"] * 1e9)
        for way in ways:
            rows.append(
                {
                    "connections": connections,
                    "way": way.name,
                    "gb_per_s": round(statistics.median(speed[way.name]), 3),
                    "cpu_s_per_gb": round(statistics.median(cpu[way.name]), 3),
                    f"speed_to_{short(yardstick)}": ratio(speed[way.name], speed[yardstick]),
                    f"cpu_to_{short(yardstick)}": ratio(cpu[way.name], cpu[yardstick]),
                }
            )
    return rows


def ratio(mine: list[float], theirs: list[float]) -> float:
    """Round by round, then the median, so that the machine's own ups and downs cancel; 0 of 0."""
    ratios = [a / b for a, b in zip(mine, theirs) if b > 0]
    return round(statistics.median(ratios or [0.0]), 2)


def short(name: str) -> str:
    """For the name of a column."""
    return name.split()[0].lower()


def yardstick_of(ways: list[Place], wanted: str) -> str:
    """The peer to compare with, or the direct connection where it is not installed."""
    return wanted if any(way.name == wanted for way in ways) else "direct"


def single_relays(bench: Bench, target: str, *, deployed: bool = False) -> list[Place]:
    """Direct, through each peer, through one relay of ours, all to one sink."""
    others = peers.plain_relays(bench.stage, target, bench.folder, deployed=deployed)
    return [Place("direct", target), *others, places.relay(bench.stage, target)]


def chains(bench: Bench, target: str, *, deployed: bool = False) -> list[Place]:
    """Two relays with an encrypted leg between them: those of peers, and ours."""
    others = peers.encrypted_chains(bench.stage, target, bench.folder, deployed=deployed)
    return [*others, places.our_chain(bench.stage, target, bench.folder)]


def plain(bench: Bench) -> list[Row]:
    """Throughput of one relay."""
    ways = single_relays(bench, places.sink(bench.stage), deployed=True)
    return throughput(bench, ways, yardstick_of(ways, "HAProxy"))


def encrypted(bench: Bench) -> list[Row]:
    """Throughput of two relays with encryption between them."""
    target = places.sink(bench.stage)
    ways = [Place("direct", target), *chains(bench, target, deployed=True)]
    return throughput(bench, ways, yardstick_of(ways, "HAProxy TLS 1.3"))


def rate(bench: Bench) -> list[Row]:
    """How well a rate is kept, as ratios to it, measured where the bytes arrive."""
    rows = []
    for mbps in bench.effort.rates:
        for connections in (n for n in bench.effort.connections if n <= 16):
            sink = f"{places.HOST}:{places.free_port()}"
            flags = ("--rate", str(mbps))
            for name, way in (
                ("one relay", places.relay(bench.stage, sink, *flags)),
                ("two, TLS", places.our_chain(bench.stage, sink, bench.folder, *flags)),
            ):
                bench.tell(f"{mbps} Mbit/s, {connections} connections: {name}")
                seconds = max(1.5, bench.effort.seconds * 3)
                got = bench.drive("arrivals", sink, way.endpoint, str(connections), str(seconds))
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


def latency(bench: Bench) -> list[Row]:
    """Round trips of a message and its answer, through one relay and through encrypted chains."""
    target = places.sink(bench.stage)
    ways = [*single_relays(bench, target), *named(chains(bench, target), ", TLS")]
    seen: dict[str, dict[str, list[Any]]] = {way.name: {} for way in ways}
    for way in bench.turns(ways, "round trips"):
        for size, messages in ((64, bench.effort.messages), (65536, bench.effort.messages // 3)):
            got = bench.drive("ping-pong", way.endpoint, str(size), str(messages))
            for key, value in got.items():
                seen[way.name].setdefault(f"{size}_B_{key}", []).append(value)
    return [
        {"way": name, **{key: middle(values) for key, values in found.items()}}
        for name, found in seen.items()
    ]


def middle(values: list[Any]) -> Any:
    """The median; of lists, place by place."""
    if isinstance(values[0], list):
        return [middle(list(place)) for place in zip(*values)]
    return round(statistics.median(values), 1)


def named(ways: list[Place], suffix: str) -> list[Place]:
    """Ours, told from the one without encryption."""
    return [
        Place(way.name + suffix if way.name == "SciStream" else way.name, way.endpoint, way.pids)
        for way in ways
    ]


def connections(bench: Bench) -> list[Row]:
    """New connections a second, each used for one byte; encrypted ones with a full handshake."""
    target = places.sink(bench.stage)
    ways = [*single_relays(bench, target), *named(chains(bench, target), ", TLS")]
    ways = [way for way in ways if not way.name.startswith("OpenSSH")]  # makes none of its own
    rows: dict[str, Row] = {way.name: {"way": way.name} for way in ways}
    for at_once in (1, 64):
        seen: dict[str, list[float]] = {way.name: [] for way in ways}
        for way in bench.turns(ways, f"{at_once} at once"):
            got = bench.drive("connections", way.endpoint, str(at_once), str(bench.effort.seconds))
            seen[way.name].append(got["per_second"])
        for way in ways:
            tls = "TLS" in way.name
            yardstick = yardstick_of(ways, "HAProxy TLS 1.3" if tls else "HAProxy")
            rows[way.name][f"per_s_{at_once}"] = round(statistics.median(seen[way.name]))
            rows[way.name][f"to_haproxy_{at_once}"] = ratio(seen[way.name], seen[yardstick])
    return list(rows.values())


def memory(bench: Bench) -> list[Row]:
    """What idle connections cost, each used once; KiB resident for each in each relay."""
    rows = []
    count = bench.effort.idle
    for tls in (False, True):
        sink = f"{places.HOST}:{places.free_port()}"
        ways: list[Place] = []
        if tls:
            if peers.program("haproxy"):
                ways.append(peers.haproxy_chain(bench.stage, sink, bench.folder))
            ways += named([places.our_chain(bench.stage, sink, bench.folder)], ", TLS")
        else:
            if peers.program("haproxy"):
                ways.append(peers.haproxy(bench.stage, bench.folder, sink))
            ways.append(places.relay(bench.stage, sink))
        for way in ways:
            bench.tell(f"{count} idle connections: {way.name}")
            before = way.resident()
            words = ["idle", sink, way.endpoint, str(count)]
            load = bench.stage.start("the load", places.LOAD, *words)
            bench.stage.line(load, "idle ready", 60)
            each = (way.resident() - before) / count / len(way.pids) / 1024
            bench.stage.stop(load, signal.SIGTERM)
            rows.append({"way": way.name, "connections": count, "kib_each": round(each, 1)})
    return rows


def datagrams(bench: Bench) -> list[Row]:
    """Datagrams a second; each flow keeps 64 under way, which the sink answers."""
    target = places.sink(bench.stage)
    stage, folder = bench.stage, bench.folder
    flags = ("--protocol", "udp")
    peer = peers.nginx(stage, folder, target, "nginx", listen="udp reuseport")
    ours = [places.relay(stage, target, *flags)]
    ours += named([places.our_chain(stage, target, folder, *flags)], ", TLS")
    ways = [Place("direct", target), *([peer] if peer else []), *ours]
    rows = []
    for flows in (n for n in bench.effort.connections if n <= 16):
        for size in (64, 1400, 8900):
            speed: dict[str, list[float]] = {way.name: [] for way in ways}
            lost: dict[str, list[float]] = {way.name: [] for way in ways}
            for way in bench.turns(ways, f"{flows} flows of {size} B"):
                seconds = str(bench.effort.seconds / 2)
                got = bench.drive("datagrams", way.endpoint, str(flows), str(size), seconds)
                speed[way.name].append(got["datagrams"] / got["seconds"])
                lost[way.name].append(got["lost"] / max(1, got["datagrams"] + got["lost"]))
            for way in ways:
                rows.append(
                    {
                        "flows": flows,
                        "bytes": size,
                        "way": way.name,
                        "per_s": round(statistics.median(speed[way.name])),
                        "to_direct": ratio(speed[way.name], speed["direct"]),
                        "lost": round(statistics.median(lost[way.name]), 5),
                    }
                )
    return rows


def path(bench: Bench) -> list[Row]:
    """Throughput over an emulated long path between two hosts, by its round-trip time."""
    if why := netpath.possible():
        bench.left_out.append(f"path: {why}")
        return []
    rows = []
    for milliseconds in bench.effort.round_trips:
        with netpath.long_path(bench.stage, milliseconds, PATH_MBPS) as where:
            ways = path_ways(bench, where)
            for connections in (1, 4):
                for way in ways:
                    bench.tell(f"{milliseconds:g} ms, {connections} connections: {way.name}")
                    words = ["throughput", way.endpoint, str(connections)]
                    words.append(str(max(1.0, bench.effort.seconds * 3)))
                    prefix = where.within(where.consumer)
                    text = bench.stage.call("the load", *prefix, places.LOAD, *words, limit=120)
                    got = json.loads(text)
                    rows.append(
                        {
                            "round_trip_ms": milliseconds,
                            "connections": connections,
                            "way": way.name,
                            "gbit_per_s": round(got["bytes"] * 8e-9 / got["seconds"], 3),
                        }
                    )
            bench.stage.stop_all()
    return rows


def path_ways(bench: Bench, where: netpath.Path) -> list[Place]:
    """Direct, and through an encrypted chain with a relay at either end of the path."""
    stage = bench.stage
    there, here = where.within(where.producer), where.within(where.consumer)
    any_port = f"{netpath.FIRST}:0"
    sink = stage.start("the sink", *there, places.LOAD, "sink", any_port, vital=True)
    target = stage.line(sink, "sink ready on ", 10)
    server, client = (places.half(bench.folder, side) for side in ("server", "client"))
    far = places.relay(stage, target, *server, prefix=there, listen=any_port)
    near = places.relay(stage, far.endpoint, *client, prefix=here)
    return [Place("direct", target), near]


def unprivileged(bench: Bench) -> list[Row]:
    """Throughput of one relay whose user's pipes are limited, and of one of root's."""
    if os.geteuid() != 0:
        bench.left_out.append("unprivileged: whoever measures is it already")
        return []
    target = places.sink(bench.stage)
    root = places.relay(bench.stage, target)
    nobody = places.relay(bench.stage, target, prefix=places.as_nobody())
    ways = [Place("root", root.endpoint, root.pids), Place("nobody", nobody.endpoint, nobody.pids)]
    return throughput(bench, ways, "root")


def session(bench: Bench) -> list[Row]:
    """Throughput through a whole session, that is two relays with TLS between them."""
    target = places.sink(bench.stage)
    pair = Pair(bench.stage, bench.folder)
    with pair.session(target) as way:
        rows = throughput(bench, [Place("direct", target), way], "direct")
    pair.close()
    return rows


def load(bench: Bench) -> list[Row]:
    """Rpcs of 200 new sessions a second while a thousand stand and fifty of them stream."""
    effort = bench.effort
    got = places.many_sessions(
        bench.stage, bench.folder, effort.standing, effort.streams, 200, effort.seconds * 6
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
    "latency": latency,
    "connections": connections,
    "memory": memory,
    "path": path,
    "datagrams": datagrams,
    "rate": rate,
    "unprivileged": unprivileged,
    "session": session,
    "load": load,
}


def run(name: str, effort: Effort, tell: Callable[[str], None]) -> tuple[list[Row], list[str]]:
    """One measurement, with all that it starts ended afterwards; and what it left out."""
    with (
        tempfile.TemporaryDirectory(prefix="scistream-bench-") as folder,
        Stage().running() as stage,
    ):
        bench = Bench(stage, Path(folder), effort, tell)
        return MEASUREMENTS[name](bench), bench.left_out
