"""Measurements of streams: how fast, at what cost, and how evenly."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import netpath
import ways
from control import Pair
from figures import Row, median, ratio, short
from targets import ARRAYS, SOCKETS
from ways import LIMIT, LOAD, Way
from workbench import Bench, yardstick_of

PATH_MBPS = 2000  # of the long path: what two cores emulate with ease
Rounds = dict[str, list[float]]  # by way


def throughput(bench: Bench, of: list[Way], yardstick: str) -> list[Row]:
    """GB/s and CPU seconds a GB by way and number of connections, and the ratio to one of them."""
    rows = []
    chains = any(way.relays > 1 for way in of)
    for connections in bench.effort.connections:
        speed: Rounds = {way.name: [] for way in of}
        cost: dict[str, Rounds] = {side: {way.name: [] for way in of} for side in ("near", "far")}
        for way in bench.turns(f"{connections} connections", of):
            got, cpu = bench.push(way, connections, bench.effort.seconds)
            speed[way.name].append(got)
            for side, values in cost.items():
                values[way.name].append(cpu[side])
        all_cost = {
            way.name: [a + b for a, b in zip(cost["near"][way.name], cost["far"][way.name])]
            for way in of
        }
        for way in of:
            row: Row = {
                "connections": connections,
                "way": way.name,
                "gb_per_s": median(speed[way.name], 3),
                "cpu_s_per_gb": median(all_cost[way.name], 3),
                f"speed_to_{short(yardstick)}": ratio(speed[way.name], speed[yardstick]),
                f"cpu_to_{short(yardstick)}": ratio(all_cost[way.name], all_cost[yardstick]),
            }
            for side, values in cost.items():
                if chains:
                    row[f"cpu_{side}"] = median(values[way.name], 3)
                row[f"cpu_{side}_rounds"] = [round(value, 4) for value in values[way.name]]
            row["gb_per_s_rounds"] = [round(value, 4) for value in speed[way.name]]
            row["cpu_s_per_gb_rounds"] = [round(value, 4) for value in all_cost[way.name]]
            rows.append(row)
    return rows


def plain(bench: Bench) -> list[Row]:
    """Throughput of one relay."""
    of = bench.single_relays(ways.sink(bench.stage), deployed=True)
    return throughput(bench, of, yardstick_of(of, "HAProxy"))


def encrypted(bench: Bench) -> list[Row]:
    """Throughput of two relays with encryption between them."""
    target = ways.sink(bench.stage)
    of = [Way("direct", target), *bench.chains(target, deployed=True)]
    return throughput(bench, of, yardstick_of(of, "HAProxy TLS 1.3"))


def unprivileged(bench: Bench) -> list[Row]:
    """Throughput of one relay whose user's pipes are limited, and of one of root's."""
    if os.geteuid() != 0 or not ways.may_become_nobody():
        bench.left_out.append("unprivileged: only root can measure both")
        return []
    target = ways.sink(bench.stage)
    root = ways.relay(bench.stage, target, name="root")
    nobody = ways.relay(bench.stage, target, prefix=ways.as_nobody(), name="nobody")
    return throughput(bench, [Way("direct", target), root, nobody], "root")


def session(bench: Bench) -> list[Row]:
    """Throughput through a whole session, that is two relays with TLS between them."""
    target = ways.sink(bench.stage)
    pair = Pair(bench.stage, bench.folder)
    with pair.session(target) as way:
        rows = throughput(bench, [Way("direct", target), way], "direct")
    pair.close()
    return rows


def frames(bench: Bench) -> list[Row]:
    """Images through a whole session: `scistream.arrays`, and sockets in C++ with bare bytes."""
    rows = []
    pair = Pair(bench.stage, bench.folder)
    python = (sys.executable, str(Path(__file__).with_name("frame_ends.py")))
    ends: dict[str, tuple[tuple[str | Path, ...], tuple[str | Path, ...]]] = {
        SOCKETS: ((LOAD, "frames-out"), (LOAD, "frames-in")),
        ARRAYS: ((*python, "out"), (*python, "in")),
    }
    of = [Way(name, "") for name in ends]
    target = f"{ways.HOST}:{ways.free_port()}"
    with pair.session(target) as way:
        for size in (1 << 20, 8 << 20):
            speed: Rounds = {name: [] for name in ends}
            for turn in bench.turns(f"images of {size >> 20} MiB", of):
                producer, consumer = ends[turn.name]
                words = (*producer, target, str(size), str(bench.effort.seconds))
                source = bench.stage.start("the producer", *words)
                bench.stage.line(source, "frames ready", LIMIT)
                words = (*consumer, way.endpoint, str(size))
                got = json.loads(bench.stage.call("the consumer", *words, limit=LIMIT))
                bench.stage.success(source, LIMIT)
                speed[turn.name].append(got["bytes"] / got["seconds"] * 1e-9)
            rows += [
                {
                    "image_mib": size >> 20,
                    "way": name,
                    "gb_per_s": median(got, 3),
                    "speed_to_sockets": ratio(got, speed[SOCKETS]),
                    "gb_per_s_rounds": [round(value, 4) for value in got],
                }
                for name, got in speed.items()
            ]
    pair.close()
    return rows


def rate(bench: Bench) -> list[Row]:
    """How well a rate is kept, as ratios to it, measured where the bytes arrive."""
    rows = []
    for mbps in bench.effort.rates:
        for connections in (n for n in bench.effort.connections if n <= 16):
            sink = f"{ways.HOST}:{ways.free_port()}"
            flags = ("--rate", str(mbps))
            for name, way in (
                ("one relay", ways.relay(bench.stage, sink, *flags)),
                ("two, TLS", ways.our_chain(bench.stage, sink, bench.folder, *flags)),
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


def path(bench: Bench) -> list[Row]:
    """Throughput over an emulated long path between two hosts, by its round-trip time."""
    if why := netpath.possible():
        bench.left_out.append(f"path: {why}")
        return []
    rows: list[Row] = []
    seconds = max(1.0, bench.effort.seconds * 3)
    for milliseconds in bench.effort.round_trips:
        with netpath.long_path(bench.stage, milliseconds, PATH_MBPS) as where:
            here = where.within(where.consumer)
            of = ways_over(bench, where)
            for connections in (1, 4):
                what = f"{milliseconds:g} ms, {connections} connections"
                speed: Rounds = {way.name: [] for way in of}
                for way in bench.turns(what, of, bench.effort.path_rounds):
                    got, _ = bench.push(way, connections, seconds, prefix=here)
                    speed[way.name].append(got * 8)
                rows += [
                    {
                        "round_trip_ms": milliseconds,
                        "connections": connections,
                        "way": way.name,
                        "gbit_per_s": median(speed[way.name], 3),
                        "to_direct": ratio(speed[way.name], speed["direct"]),
                    }
                    for way in of
                ]
            bench.stage.stop_all()
    return rows


def ways_over(bench: Bench, where: netpath.Path) -> list[Way]:
    """Direct, and through an encrypted chain with a relay at either end of the path."""
    there, here = where.within(where.producer), where.within(where.consumer)
    any_port = f"{netpath.FIRST}:0"
    target = ways.sink(bench.stage, prefix=there, listen=any_port)
    server, client = (ways.half(bench.folder, side) for side in ("server", "client"))
    far = ways.relay(bench.stage, target, *server, prefix=there, listen=any_port)
    near = ways.relay(bench.stage, far.endpoint, *client, prefix=here)
    return [Way("direct", target), near]
