"""What is measured: ways from a load generator to its sink. All of it runs on 127.0.0.0/8."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wire
from demo_facility import Facility, command, free_range
from stage import Stage

ROOT = Path(__file__).resolve().parents[1]
LOAD = ROOT / "build/release/bench/bench_load"
SESSIONS = ROOT / "build/release/bench/bench_sessions"
HOST = "127.0.0.1"
LIMIT = 60.0  # seconds for one measurement

# The best peer on this path (bench/README.md): zero-copy, with pipes as large as ours.
HAPROXY = """
global
  nbthread 2
  maxconn 4000
  tune.pipesize 1048576
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  option splice-request
  option splice-response
listen relay
  bind fd@{descriptor}
  server sink {target}
"""


@dataclass
class Place:
    """A way to the sink: where to connect, and the processes in between."""

    name: str
    endpoint: str
    pids: tuple[int, ...] = ()

    def cpu_seconds(self) -> float:
        """User and system time of the processes in between, so far."""
        ticks = 0
        for pid in self.pids:
            fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port for a program that cannot take any free one itself."""
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def drive(stage: Stage, *arguments: str) -> dict[str, Any]:
    """Runs the load generator; its result."""
    words = [str(LOAD), *arguments]
    result: dict[str, Any] = json.loads(stage.call("the load generator", *words, limit=LIMIT))
    return result


def sink(stage: Stage) -> str:
    """Starts a sink; its address."""
    program = stage.start("the sink", LOAD, "sink", f"{HOST}:0", vital=True)
    return stage.line(program, "sink ready on ", 10)


def relay(stage: Stage, target: str, *flags: str) -> Place:
    """One data server of ours, as a relay."""
    words = ["relay", "--listen", f"{HOST}:0", "--target", target, *flags]
    program = stage.start("s2ds relay", command("s2ds"), *words, vital=True)
    return Place("SciStream", stage.line(program, "s2ds ready on ", 10), (program.pid,))


def haproxy(stage: Stage, target: str, folder: Path) -> Place | None:
    """HAProxy with splice; None where it is not installed."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if not program:
        return None
    # It takes over a socket that listens already, so there is nothing to wait for.
    with socket.create_server((HOST, 0), backlog=1024) as listener:
        descriptor = listener.fileno()
        configuration = folder / "haproxy.cfg"
        configuration.write_text(HAPROXY.format(descriptor=descriptor, target=target), "ascii")
        running = stage.start(
            "haproxy", program, "-db", "-f", configuration, vital=True, pass_fds=(descriptor,)
        )
        endpoint = wire.join_endpoint(HOST, listener.getsockname()[1])
    place = Place("HAProxy", endpoint, (running.pid,))
    drive(stage, "ping-pong", endpoint, "1", "1")  # it serves, or says why not
    return place


def many_sessions(
    stage: Stage, folder: Path, standing: int, streams: int, per_second: int, seconds: float
) -> dict[str, Any]:
    """What sessions that come and go see while others stand and stream, all at one facility."""
    ports = free_range(size=standing + per_second)
    facility = Facility(stage, "the", "127.0.1.1", folder / "facility", ports)
    facility.wait_ready()
    words = [facility.endpoint, str(facility.certificate), str(standing), str(streams)]
    words += [str(per_second), str(seconds)]
    result: dict[str, Any] = json.loads(
        stage.call("the session generator", str(SESSIONS), *words, limit=LIMIT)
    )
    facility.stop()
    return result


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

    def _s2uc(self, *arguments: str) -> list[str]:
        own = ("--server_cert", str(self._bundle), "--state-dir", str(self._folder / "user"))
        return [str(command("s2uc")), *arguments, *own]

    def request(self, target: str) -> list[str]:
        """The command that sets up a session to the target."""
        producer, consumer = (facility.endpoint for facility in self.facilities)
        places = ("--prod", producer, "--cons", consumer)
        return self._s2uc("request", "--json", *places, "--prod-app", target)

    def release(self, uid: str) -> list[str]:
        """The command that releases it."""
        return self._s2uc("release", uid)

    @contextlib.contextmanager
    def session(self, target: str) -> Iterator[Place]:
        """A session to the target, released at the end."""
        document = json.loads(self._stage.call("s2uc request", *self.request(target)))
        pids = tuple(facility.data_server_pid for facility in self.facilities)
        yield Place("session", document["listeners"][0], pids)
        self._stage.call("s2uc release", *self.release(document["uid"]))

    def close(self) -> None:
        """Ends both facilities."""
        for facility in self.facilities:
            facility.stop()
