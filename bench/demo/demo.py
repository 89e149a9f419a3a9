"""Two facilities on this machine, and real data streamed from one to the other.

Starts a control server for each, a producer application behind the first and a consumer application
behind the second, sets up a session between them, streams, compares what was sent with what was
received, releases the session, and shows that nothing is left.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import re
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import data_server_states
import dataset
import wire
from demo_facility import Facility, alive, command, free_range, listening
from screen import Screen, Transfer
from stage import Failed, Interrupted, Program, Stage

APPS = Path(__file__).resolve().parent
HOSTS = {"producer": "127.0.1.1", "consumer": "127.0.2.1"}  # the gateways
LAN = "127.0.1.10"  # where the producer application runs, behind its gateway
START_LIMIT = 60.0  # seconds, for the producer to read and hash its data
STEP_LIMIT = 30.0  # for one step of the protocol
LEAST_GBIT = 0.2  # a transfer slower than that is taken for stuck
MAX_BYTES = 8 << 30  # the consumer holds all of it in memory


class Demo:
    """The demonstration, step by step. Belongs to one thread; its stage owns every program."""

    def __init__(self, stage: Stage, screen: Screen, folder: Path, size: int) -> None:
        self._stage = stage
        self._screen = screen
        self._folder = folder
        self._size = size
        self._start = time.monotonic()
        self._producer: Program | None = None
        self._apps: list[str] = []  # addresses of the applications behind the producer's gateway
        self._uid = ""
        self.facilities: dict[str, Facility] = {}
        self.states: dict[str, Any] = {"s2uc": [], "s2cs": {}, "s2ds": {}}
        self.document: dict[str, Any] = {}

    # ---- the protocol as it happens ------------------------------------------------------------

    def _show_state(self, machine: str, state: str) -> None:
        elapsed = (time.monotonic() - self._start) * 1e3
        self._screen.line(f"  {elapsed:7.1f} ms  {machine:<15} {state}")

    def _user_line(self, source: str, line: str) -> None:
        if source == "err" and (found := re.match(r"Current state: (\w+)", line)):
            self.states["s2uc"].append(found[1])
            self._show_state("S2UC", found[1])

    def _server_state(self, machine: str, name: str, state: str) -> None:
        if state == "lost":
            raise Failed(f"{name}'s data server has ended")
        self.states[machine].setdefault(name, []).append(state)
        self._show_state(f"{machine.upper()} {name}", state)

    def _idle(self) -> bool:
        """Whether every machine has released and is idle."""
        servers = [*self.states["s2cs"].values(), *self.states["s2ds"].values()]
        return len(servers) == 2 * len(HOSTS) and all(
            states[-2:] == ["releasing", "idle"] for states in servers
        )

    def _s2uc(self, *arguments: str) -> str:
        program = self._stage.start(
            f"s2uc {arguments[0]}",
            command("s2uc"),
            *arguments,
            *("--server_cert", str(self._folder / "facilities.pem")),
            *("--state-dir", str(self._folder / "user")),
            on_line=self._user_line,
        )
        return "\n".join(self._stage.success(program, STEP_LIMIT))

    # ---- the steps -----------------------------------------------------------------------------

    def open(self, watches: contextlib.ExitStack) -> None:
        """Both facilities, and the producer application."""
        self._screen.title("Two facilities on this machine")
        for name, host in HOSTS.items():
            self.facilities[name] = Facility(
                self._stage,
                name,
                host,
                self._folder / name,
                free_range(facility.ports for facility in self.facilities.values()),
                functools.partial(self._server_state, "s2cs", name),
            )
        self._producer = self._stage.start(
            "the producer application",
            sys.executable,
            APPS / "producer.py",
            *("--listen", f"{LAN}:0", "--bytes", str(self._size)),
            vital=True,
        )
        for facility in self.facilities.values():
            facility.wait_ready()
            self._screen.line(
                f"  {facility.name}'s   control server {facility.endpoint}, TLS;"
                f" data server with ports {facility.ports.start}-{facility.ports.stop - 1}"
            )
            observe = functools.partial(self._post_state, facility.name)
            path = facility.folder / "s2ds.sock"
            watches.enter_context(data_server_states.watched(path, observe))
        certificates = [facility.certificate for facility in self.facilities.values()]
        bundle = "".join(path.read_text("ascii") for path in certificates)
        (self._folder / "facilities.pem").write_text(bundle, "ascii")
        self._apps = [self._stage.line(self._producer, "producer ready on ", START_LIMIT)]
        self._screen.line(f"  producer application on {self._apps[0]}, seismograms from obspy")

    def _post_state(self, name: str, state: str) -> None:
        self._stage.post(functools.partial(self._server_state, "s2ds", name, state))

    def request(self) -> list[str]:
        """The session; the listeners that the consumer connects to, one an application."""
        if shutil.which("iperf3"):
            with socket.create_server((LAN, 0)) as listener:  # iperf3 takes no port 0
                self._apps.append(f"{LAN}:{listener.getsockname()[1]}")
        self._screen.title("Request: the user asks both facilities for a session")
        self._start = time.monotonic()
        producer, consumer = self.facilities.values()
        text = self._s2uc(
            *("request", "--json", "--prod", producer.endpoint, "--cons", consumer.endpoint),
            *("--prod-app", ",".join(self._apps), "--num-conn", str(len(self._apps))),
        )
        session = json.loads(text)
        self._uid = session["uid"]
        self.document |= {"uid": self._uid, "setup_ms": session["setup_ms"]}
        self._screen.good(f"session {self._uid} set up in {session['setup_ms']:.1f} ms")
        listeners: list[str] = session["listeners"]
        self._screen.line(
            f"  consumer → {listeners[0]} → {session['prod_listeners'][0]} → {self._apps[0]}"
        )
        return listeners

    def _consume(self, endpoint: str) -> dict[str, Any]:
        """One transfer to a consumer application; what it received and how fast."""
        limit = STEP_LIMIT + self._size * 8e-9 / LEAST_GBIT
        program = self._stage.start(
            "the consumer application",
            sys.executable,
            APPS / "consumer.py",
            *(endpoint, "--progress"),
            "--compute-after",  # both ways alike: the CPU belongs to the transfer
            on_line=Transfer(self._screen).take,
        )
        received: dict[str, Any] = json.loads(self._stage.success(program, limit)[-1])
        return received

    def stream(self, listener: str) -> None:
        """The transfer through both data servers, and the same without them."""
        self._screen.title("Stream: through both data servers")
        received = self._consume(listener)
        assert self._producer
        producer = self._producer
        self._stage.until(lambda: len(producer.out) > 1 or producer.ended, 10, "the sender's hash")
        if producer.ended:
            raise Failed(producer.complaint())
        sent = json.loads(producer.out[1])
        self.document |= {
            "bytes": received["bytes"],
            "sha256_sent": sent["sha256"],
            "sha256_received": received["sha256"],
            "seconds": received["seconds"],
            "gbit_per_s": received["gbit_per_s"],
        }
        self._screen.line(
            f"  {received['bytes'] / 1e9:.2f} GB in {received['seconds']:.2f} s:"
            f" {received['gbit_per_s']:.2f} Gbit/s"
        )
        self._screen.line(f"  sent      SHA-256 {sent['sha256']}")
        self._screen.line(f"  received  SHA-256 {received['sha256']}")
        if (sent["bytes"], sent["sha256"]) != (received["bytes"], received["sha256"]):
            raise Failed("what was received is not what was sent")
        self._screen.good("the same, byte for byte")
        result = received["result"]
        events = sum(channel["triggers"] for channel in result["channels"].values())
        self._screen.line(
            f"  the consumer's analysis: {result['records']} records of"
            f" {len(result['channels'])} channels, {events} onsets of events"
        )
        self.document |= {"records": result["records"], "channels": len(result["channels"])}
        self._screen.title("For comparison: the same applications, connected directly")
        direct = self._consume(self._apps[0])
        if direct["sha256"] != received["sha256"]:
            raise Failed("what was received directly is not what was sent")
        ratio = received["gbit_per_s"] / direct["gbit_per_s"]
        self.document |= {"direct_gbit_per_s": direct["gbit_per_s"], "ratio": round(ratio, 3)}
        self._screen.line(
            f"  {direct['gbit_per_s']:.2f} Gbit/s; through both data servers {ratio:.0%} of it."
            " All of them share this machine's CPU:"
        )
        self._screen.line(
            "  each data server adds one more TCP receive and send. Hash and analysis run after"
            " the transfer."
        )

    def iperf3(self, listener: str) -> None:
        """Another application, as it is, through the same session."""
        self._screen.title("iperf3, unmodified, through the same session")
        host, port = wire.split_endpoint(self._apps[1])
        server = self._stage.start(
            "iperf3's server", "iperf3", "-s", "-1", "-B", host, "-p", str(port), "--forceflush"
        )
        self._stage.until(
            lambda: any("listening" in line for line in server.out) or server.ended,
            10,
            "iperf3's server",
        )
        entry_host, entry_port = wire.split_endpoint(listener)
        report = self._stage.call(
            "iperf3", "iperf3", "-c", entry_host, "-p", str(entry_port), "-R", "-t", "1", "-J"
        )
        self._stage.success(server, 10)
        rate = json.loads(report)["end"]["sum_received"]["bits_per_second"] * 1e-9
        self.document["iperf3_gbit_per_s"] = round(rate, 3)
        self._screen.good(f"{rate:.2f} Gbit/s from the producer's side to the consumer's")

    def release(self) -> None:
        """Ends the session; Failed if a machine is not idle or a port or lease is left."""
        self._screen.title("Release")
        self._start = time.monotonic()
        self._s2uc("release", self._uid)
        self._stage.until(self._idle, STEP_LIMIT, "not every state machine is idle")
        self._screen.good(f"S2UC {self.states['s2uc'][-1]}")
        for machine in ("s2cs", "s2ds"):
            for name, states in self.states[machine].items():
                self._screen.good(f"{machine.upper()} {name} {states[-1]}")
        if self.states["s2uc"][-1] != "idle":
            raise Failed(f"the user client ended {self.states['s2uc'][-1]}")
        for facility in self.facilities.values():
            if left := facility.open_session_ports():
                raise Failed(f"after the release, {facility.name} still listens on {left}")
            info = json.loads(self._s2uc("info", "--json", "--s2cs", facility.endpoint))
            if info["sessions"] != 0 or info["ports_free"] != info["ports_total"]:
                raise Failed(f"after the release, {facility.name} still holds {info}")
        self._screen.good("every listener closed, every port free again")

    def close(self) -> None:
        """Ends both facilities by SIGTERM; Failed if anything is left."""
        self._screen.title("The facilities close")
        for facility in self.facilities.values():
            facility.stop()
            self._screen.good(f"{facility.name}'s control server and data server have ended")
        assert self._producer
        self._stage.stop(self._producer, 15)
        self.document["states"] = self.states
        self.document["ports_open_after"] = self._open_ports()
        if left := self.document["ports_open_after"]:
            raise Failed(f"still listening: {', '.join(left)}")
        self._screen.good("no port is left open")

    def _open_ports(self) -> list[str]:
        left = [port for facility in self.facilities.values() for port in facility.open_ports()]
        apps = {wire.split_endpoint(app) for app in self._apps}
        return left + [wire.join_endpoint(*address) for address in sorted(apps & listening())]

    def play(self) -> None:
        """All of it."""
        with contextlib.ExitStack() as watches:
            self.open(watches)
            listeners = self.request()
            self.stream(listeners[0])
            if len(listeners) > 1:
                self.iperf3(listeners[1])
            self.release()
        self.close()


def run(screen: Screen, size: int) -> dict[str, Any]:
    """Plays the demonstration and clears up after it, whatever happens; its document."""
    begin = time.monotonic()
    facilities: list[Facility] = []
    with tempfile.TemporaryDirectory(prefix="scistream-demo-") as folder:
        try:
            with Stage().running() as stage:
                demo = Demo(stage, screen, Path(folder), size)
                try:
                    demo.play()
                finally:
                    facilities = list(demo.facilities.values())
        finally:
            for facility in facilities:
                facility.sweep()
    if survivors := [f.data_server_pid for f in facilities if alive(f.data_server_pid)]:
        raise Failed(f"processes {survivors} are still there")
    demo.document["total_seconds"] = round(time.monotonic() - begin, 2)
    return demo.document


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="dev demo", description=__doc__)
    parser.add_argument(
        "--json", action="store_true", help="one JSON document as the last line of stdout"
    )
    parser.add_argument(
        "--bytes",
        type=int,
        default=dataset.DEFAULT_BYTES,
        metavar="N",
        help="stream at least so many, in whole repetitions of the data [2 GiB]",
    )
    options = parser.parse_args(arguments)
    if not 0 < options.bytes <= MAX_BYTES:
        parser.error(f"--bytes is not from 1 to {MAX_BYTES}")
    screen = Screen(sys.stderr if options.json else sys.stdout)
    try:
        document = run(screen, options.bytes)
    except (Failed, OSError, ValueError) as error:
        screen.bad(f"the demonstration failed: {error}")
        if options.json:
            print(json.dumps({"error": str(error)}))
        return 130 if isinstance(error, Interrupted) else 1
    screen.line()
    screen.line(f"All done in {document['total_seconds']:.1f} s.")
    if options.json:
        print(json.dumps(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
