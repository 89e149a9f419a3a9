"""Measurements of small things: messages, connections, datagrams, and what idle ones keep."""

from __future__ import annotations

import signal
import statistics
from typing import Any

import peers
import ways
from figures import Row, median, middle, ratio, short
from ways import LOAD, Way
from workbench import Bench, yardstick_of


def latency(bench: Bench) -> list[Row]:
    """Round trips of a message and its answer, through one relay and through encrypted chains."""
    of = bench.both(ways.sink(bench.stage))
    seen: dict[str, dict[str, list[Any]]] = {way.name: {} for way in of}
    for way in bench.turns("round trips", of):
        for size, messages in ((64, bench.effort.messages), (65536, bench.effort.messages // 3)):
            got = bench.drive("ping-pong", way.endpoint, str(size), str(messages))
            for key, value in got.items():
                seen[way.name].setdefault(f"{size}_B_{key}", []).append(value)
    return [
        {
            "way": name,
            **{key: middle(values) for key, values in found.items()},
            **{f"{key}_rounds": found[key] for key in found if key.endswith(("p50_us", "p99_us"))},
        }
        for name, found in seen.items()
    ]


def connections(bench: Bench) -> list[Row]:
    """New connections a second, each used for one byte; encrypted ones with a full handshake."""
    target = ways.sink(bench.stage)
    # One SSH connection carries all: it makes none of its own for each.
    of = [way for way in bench.both(target) if not way.name.startswith("OpenSSH")]
    more = [lambda: peers.stunnel_psk_chain(bench.stage, target, bench.folder)]
    of += bench.those_here(more)
    yardsticks = {1: yardstick_of(of, "HAProxy"), 2: yardstick_of(of, "HAProxy TLS 1.3")}
    rows: dict[str, Row] = {way.name: {"way": way.name} for way in of}
    for at_once in (1, 64):
        seen: dict[str, list[float]] = {way.name: [] for way in of}
        for way in bench.turns(f"{at_once} at once", of):
            got = bench.drive("connections", way.endpoint, str(at_once), str(bench.effort.seconds))
            seen[way.name].append(got["per_second"])
        for way in of:
            yardstick = yardsticks[max(1, way.relays)]
            column = f"to_{short(yardstick)}_{at_once}"
            rows[way.name][f"per_s_{at_once}"] = median(seen[way.name], 0)
            rows[way.name][column] = ratio(seen[way.name], seen[yardstick])
            rows[way.name][f"per_s_{at_once}_rounds"] = seen[way.name]
    return list(rows.values())


def memory(bench: Bench) -> list[Row]:
    """What idle connections cost, each used once; KiB resident for each in each relay."""
    rows = []
    count = bench.effort.idle
    stage, folder = bench.stage, bench.folder
    sinks = [f"{ways.HOST}:{ways.free_port()}" for _ in range(2)]
    of = bench.those_here(
        [
            lambda: peers.haproxy(stage, folder, sinks[0]),
            lambda: ways.relay(stage, sinks[0]),
            lambda: peers.haproxy_chain(stage, sinks[1], folder),
            lambda: ways.our_chain(stage, sinks[1], folder),
        ]
    )
    for way in of:
        bench.tell(f"{count} idle connections: {way.name}")
        sink = sinks[way.relays - 1]
        settle(bench, way, sink)
        before = way.resident()
        load = stage.start("the load", LOAD, "idle", sink, way.endpoint, str(count))
        stage.line(load, "idle ready", 60)
        each = (way.resident() - before) / count / way.relays / 1024
        stage.stop(load, signal.SIGTERM)
        rows.append({"way": way.name, "connections": count, "kib_each": round(each, 1)})
    return rows


def settle(bench: Bench, way: Way, sink: str) -> None:
    """Some connections, so that a program has what it needs for any."""
    served = bench.stage.start("the sink", LOAD, "sink", sink, vital=True)
    bench.stage.line(served, "sink ready on ", 10)
    bench.drive("connections", way.endpoint, "4", "0.2")
    bench.stage.stop(served, signal.SIGTERM)


def datagrams(bench: Bench) -> list[Row]:
    """Datagrams a second; each flow keeps 64 under way, which the sink answers."""
    target = ways.sink(bench.stage)
    stage, folder = bench.stage, bench.folder
    flags = ("--protocol", "udp")
    of = [
        Way("direct", target),
        *bench.those_here([lambda: peers.nginx_for_datagrams(stage, folder, target)]),
        ways.relay(stage, target, *flags),
        ways.our_chain(stage, target, folder, *flags),
    ]
    rows = []
    for flows in (n for n in bench.effort.connections if n <= 16):
        for size in (64, 1400, 8900):
            speed: dict[str, list[float]] = {way.name: [] for way in of}
            lost: dict[str, list[float]] = {way.name: [] for way in of}
            for way in bench.turns(f"{flows} flows of {size} B", of):
                seconds = str(bench.effort.seconds / 2)
                got = bench.drive("datagrams", way.endpoint, str(flows), str(size), seconds)
                speed[way.name].append(got["datagrams"] / got["seconds"])
                lost[way.name].append(got["lost"] / max(1, got["datagrams"] + got["lost"]))
            for way in of:
                rows.append(
                    {
                        "flows": flows,
                        "bytes": size,
                        "way": way.name,
                        "per_s": median(speed[way.name], 0),
                        "to_direct": ratio(speed[way.name], speed["direct"]),
                        "lost": round(statistics.median(lost[way.name]), 5),
                    }
                )
    return rows
