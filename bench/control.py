"""Measurements of sessions: setting them up, releasing them, and many at one time."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import ways
from demo_facility import Facility, command, free_range
from figures import Row, quantiles
from stage import Stage
from ways import HOST, LIMIT, SESSIONS, Way
from workbench import Bench

PER_SECOND = 200  # new sessions, while others stand


class Pair:
    """Two facilities with TLS, and the user's command. Belongs to its stage."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self._stage = stage
        self._folder = folder
        first = free_range()
        self.facilities = [
            Facility(stage, "producer", "127.0.1.1", folder / "producer", first),
            Facility(stage, "consumer", "127.0.2.1", folder / "consumer", free_range([first])),
        ]
        for facility in self.facilities:
            facility.wait_ready()
        certificates = [facility.certificate.read_text("ascii") for facility in self.facilities]
        self._bundle = folder / "facilities.pem"
        self._bundle.write_text("".join(certificates), "ascii")

    def _s2uc(self, *arguments: str) -> str:
        own = ("--server_cert", self._bundle, "--state-dir", self._folder / "user")
        return self._stage.call(f"s2uc {arguments[0]}", command("s2uc"), *arguments, *own)

    def request(self, target: str) -> str:
        """Sets up a session to the target; its JSON document."""
        producer, consumer = (facility.endpoint for facility in self.facilities)
        sides = ("--prod", producer, "--cons", consumer)
        return self._s2uc("request", "--json", *sides, "--prod-app", target)

    def release(self, uid: str) -> None:
        """Releases it."""
        self._s2uc("release", uid)

    @contextlib.contextmanager
    def session(self, target: str) -> Iterator[Way]:
        """A session to the target, released at the end."""
        document = json.loads(self.request(target))
        producer, consumer = ((facility.data_server_pid,) for facility in self.facilities)
        yield Way("session", document["listeners"][0], consumer, producer)
        self.release(document["uid"])

    def close(self) -> None:
        """Ends both facilities."""
        for facility in self.facilities:
            facility.stop()


def setup(bench: Bench) -> list[Row]:
    """A whole session, each from a fresh user client: request to ready, then its release."""
    pair = Pair(bench.stage, bench.folder)
    effort = bench.effort
    ready, request, release = [], [], []
    for number in range(effort.sessions):
        bench.tell(f"session {number + 1} of {effort.sessions}")
        start = time.perf_counter()
        document = json.loads(pair.request(f"{HOST}:9"))
        requested = time.perf_counter()
        pair.release(document["uid"])
        ready.append(float(document["setup_ms"]))
        request.append((requested - start) * 1e3)
        release.append((time.perf_counter() - requested) * 1e3)
    pair.close()
    return [
        {"what": what, "unit": "ms", "sessions": effort.sessions, **quantiles(values)}
        for what, values in (
            ("request to ready (setup_ms)", ready),
            ("whole s2uc request process", request),
            ("whole s2uc release process", release),
        )
    ]


def load(bench: Bench) -> list[Row]:
    """Rpcs of new sessions at a steady rate while others stand, some of which stream."""
    effort = bench.effort
    standing, streams, seconds = effort.standing, effort.streams, effort.seconds * 6
    # Those that come stay for as long as a busy machine takes for them.
    ports = free_range(size=standing + 5 * PER_SECOND)
    facility = Facility(bench.stage, "the", "127.0.1.1", bench.folder / "facility", ports)
    facility.wait_ready()
    bench.tell(f"{standing} stand, {streams} of them stream, {PER_SECOND} a second come and go")
    words = [str(SESSIONS), facility.endpoint, str(facility.certificate), ways.sink(bench.stage)]
    words += [str(standing), str(streams), str(PER_SECOND), str(seconds)]
    got = json.loads(bench.stage.call("the session generator", *words, limit=LIMIT))
    facility.stop()
    return [
        {
            "rpc": rpc,
            "unit": "ms",
            "sessions": got["sessions"],
            "standing": standing,
            "streaming": streams,
            "p50": round(got[rpc]["p50_ms"], 2),
            "p99": round(got[rpc]["p99_ms"], 2),
            "echoed_gb_per_s": round(got["streamed_gb_per_s"], 2),
        }
        for rpc in ("req", "hello", "update", "release")
    ]
