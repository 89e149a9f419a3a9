"""Real facilities and real commands for tests: nothing here is mocked.

A `Command` is a process whose lines can be waited for; a `Facility` is an `s2cs` with its data
server on a loopback address of its own; a `Client` is a user with a state folder of their own.
Everything waits for lines and events up to a deadline, and nothing uses a fixed port.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

BIN = Path(sys.executable).parent
LIMIT = 15.0  # seconds that anything which should be quick may take on a busy machine

Json = dict[str, Any]
T = TypeVar("T")
_numbers = itertools.count()


def eventually(look: Callable[[], T], what: str, limit: float = LIMIT) -> T:
    """The first true value `look` returns; for states that announce themselves in no other way."""
    deadline = time.monotonic() + limit
    while True:
        if value := look():
            return value
        assert time.monotonic() < deadline, f"not within {limit} s: {what}"
        time.sleep(0.01)


def clean_environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without SciStream's settings, and with a home of its own."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SCISTREAM_", "XDG_", "GRPC_", "NOTIFY_", "DBUS_"))
    }
    return {**kept, "HOME": str(home), "PATH": f"{BIN}:{kept['PATH']}", **(extra or {})}


class Command:
    """A process and the lines it has printed so far. Killed, if need be, at the end of `with`."""

    def __init__(
        self,
        *words: object,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        self.words = [str(word) for word in words]
        self._changed = threading.Condition()
        self._lines: dict[str, list[str]] = {"out": [], "err": []}
        self._open = 2
        self.process = subprocess.Popen(
            self.words,
            cwd=cwd,
            env=env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert self.process.stdout
        assert self.process.stderr
        self._readers = [
            threading.Thread(target=self._read, args=(name, stream), daemon=True)
            for name, stream in (("out", self.process.stdout), ("err", self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    self._lines[name].append(line)
                    self._changed.notify_all()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> str:
        with self._changed:
            return "".join(self._lines["out"])

    @property
    def err(self) -> str:
        with self._changed:
            return "".join(self._lines["err"])

    def line(self, pattern: str, stream: str = "out", limit: float = LIMIT) -> re.Match[str]:
        """The first line, past or to come, in which `pattern` is found."""
        wanted = re.compile(pattern)
        found: list[re.Match[str]] = []

        def look() -> bool:
            found.extend(m for text in self._lines[stream] if (m := wanted.search(text.rstrip())))
            return bool(found) or self._open == 0

        with self._changed:
            self._changed.wait_for(look, limit)
        assert found, f"no line {pattern!r} on {stream} of {self.words}:\n{self.out}{self.err}"
        return found[0]

    def settled(self, limit: float) -> None:
        """Returns when it has ended, or after `limit` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(limit)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, limit: float = LIMIT) -> int:
        """The exit code, once every line has been read."""
        try:
            code = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"still running after {limit} s: {self.words}\n{self.out}{self.err}"
            ) from None
        for reader in self._readers:
            reader.join(LIMIT)
        return code

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()


@dataclass
class Done:
    """What a command that has ended left behind."""

    rc: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Json:
        """The one JSON document on standard output."""
        document: Json = json.loads(self.out)  # fails on anything after it
        return document


def run(
    *words: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    limit: float = 30,
) -> Done:
    started = time.monotonic()
    with Command(*words, cwd=cwd, env=env) as command:
        rc = command.wait(limit)
        return Done(rc, command.out, command.err, time.monotonic() - started)


# ---- addresses ---------------------------------------------------------------------------------


def own_address() -> str:
    """A loopback address that nobody else is likely to use."""
    return f"127.{random.randint(10, 250)}.{random.randint(1, 250)}.{random.randint(2, 250)}"


def split(endpoint: str) -> tuple[str, int]:
    host, port = endpoint.rsplit(":", 1)
    return host, int(port)


def can_bind(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError:
            return False
        return True


def free_range(host: str, size: int) -> range:
    """`size` ports in a row that are free now, below the ports that connections take."""
    for _ in range(100):
        first = random.randint(15_000, 32_000 - size)
        ports = range(first, first + size)
        if all(can_bind(host, port) for port in ports):
            return ports
    raise AssertionError(f"no {size} free ports in a row on {host}")


def free_port(host: str = "127.0.0.1") -> int:
    return free_range(host, 1)[0]


def listening_ports(host: str) -> set[int]:
    """Ports on which somebody listens at exactly this IPv4 address."""
    plain = socket.inet_aton(host)[::-1].hex().upper()
    mapped = f"0000000000000000FFFF0000{plain}"  # as gRPC binds it
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            address, port = fields[1].split(":")
            if address in (plain, mapped) and fields[3] == "0A":
                ports.add(int(port, 16))
    return ports


def sockets_of(ports: Sequence[int]) -> list[str]:
    """The kernel's lines about sockets on these local ports, for a failure's text."""
    wanted = tuple(f":{port:04X}" for port in ports)
    return [
        line
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[1].endswith(wanted)
    ]


# ---- processes ---------------------------------------------------------------------------------


def command_line(pid: int) -> list[str]:
    """Empty if there is no such process, or only its remains."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def data_servers(state: Path) -> list[int]:
    """The data servers that serve from this state folder."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    wanted = ["serve", "--state-dir", str(state)]
    return [pid for pid in pids if command_line(pid)[1:4] == wanted]


# ---- a facility --------------------------------------------------------------------------------


class Facility:
    """An `s2cs` with its data server. `with` ends both and checks that nothing is left."""

    def __init__(
        self,
        folder: Path,
        *flags: object,
        host: str | None = None,
        ports: int | range = 8,
        tls: bool = True,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder / f"facility-{next(_numbers)}"
        self.folder.mkdir()
        self.state = self.folder / "state"
        self.host = host or own_address()
        self.ports = ports if isinstance(ports, range) else free_range(self.host, ports)
        self.tls = tls
        self.env = clean_environment(self.folder, env)
        self.flags: Sequence[object] = (
            "--listener_ip",
            self.host,
            "--state-dir",
            self.state,
            "--port-range",
            f"{self.ports[0]}-{self.ports[-1]}",
            *([] if tls else ["--ssl=False"]),
            *flags,
        )
        self.port = 0
        self.command = self._start()

    def try_start(self) -> Command:
        """A control server that may fail to start."""
        return Command(
            BIN / "s2cs", *self.flags, "--port", self.port, cwd=self.folder, env=self.env
        )

    def _start(self) -> Command:
        command = self.try_start()
        try:
            ready = command.line(r"^s2cs ready on (\S+):(\d+)$")
        except BaseException:
            command.kill()
            raise
        self.endpoint = f"{ready[1]}:{ready[2]}"
        self.port = int(ready[2])
        return command

    def restart(self) -> None:
        """Another control server with the same settings, port and folder."""
        assert self.command.process.poll() is not None
        self.command = self._start()

    @property
    def certificate(self) -> Path:
        return self.state / "server.crt"

    @property
    def data_server(self) -> int:
        """The pid of the one data server that serves here."""
        (pid,) = data_servers(self.state)
        return pid

    @property
    def taken(self) -> list[int]:
        """The ports of the range on which somebody listens."""
        return sorted(listening_ports(self.host) & set(self.ports))

    def logs(self) -> str:
        log = self.state / "s2ds.log"
        return self.command.out + self.command.err + (log.read_text() if log.exists() else "")

    def check_gone(self) -> None:
        """No process, socket or port is left."""
        eventually(lambda: not data_servers(self.state), f"the data server of {self.state} ended")
        held = [port for port in (self.port, *self.ports) if not can_bind(self.host, port)]
        assert held == [], f"{self.host}, control port {self.port}: {sockets_of(held)}"
        assert list(self.state.glob("*.sock")) == []

    def stop(self, number: int = signal.SIGTERM, limit: float = LIMIT) -> None:
        """Ends it as a service manager would."""
        if self.command.process.poll() is None:
            self.command.signal(number)
            code = self.command.wait(limit)
            assert code == 0, f"s2cs ended with {code}\n{self.command.err}"
        self.check_gone()

    def kill(self) -> None:
        """Ends both processes at once, whatever state they are in."""
        self.command.kill()
        for pid in data_servers(self.state):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        eventually(lambda: not data_servers(self.state), "the killed data server is gone")

    def __enter__(self) -> Facility:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.stop()
        finally:
            self.kill()


# ---- a user ------------------------------------------------------------------------------------


class Server(Protocol):
    """A facility as its users know it, wherever it runs."""

    tls: bool
    endpoint: str

    @property
    def certificate(self) -> Path: ...


class Client:
    """A user or an application's host: `s2uc` and `appctrl` with a state folder of their own."""

    def __init__(self, folder: Path, *facilities: Server) -> None:
        self.folder = folder / f"client-{next(_numbers)}"
        self.folder.mkdir()
        self.state = self.folder / "state"
        self.env = clean_environment(self.folder, {"SCISTREAM_STATE_DIR": str(self.state)})
        secure = [facility for facility in facilities if facility.tls]
        if len(secure) < len(facilities):
            self.env["SCISTREAM_SSL"] = "False"
        if secure:
            self.trust(*(facility.certificate for facility in secure))
        self.places: list[str] = []
        if len(facilities) == 2:
            prod, cons = facilities
            self.places = ["--prod", prod.endpoint, "--cons", cons.endpoint]

    def trust(self, *certificates: Path) -> None:
        """Trusts these and no others: several certificates in one file."""
        bundle = self.folder / "trusted.pem"
        bundle.write_text("".join(path.read_text() for path in certificates))
        self.env["SCISTREAM_SERVER_CERT"] = str(bundle)

    def start(self, command: str, *words: object, env: Mapping[str, str] | None = None) -> Command:
        return Command(BIN / command, *words, cwd=self.folder, env={**self.env, **(env or {})})

    def run(
        self,
        command: str,
        *words: object,
        env: Mapping[str, str] | None = None,
        limit: float = 30,
    ) -> Done:
        return run(
            BIN / command, *words, cwd=self.folder, env={**self.env, **(env or {})}, limit=limit
        )

    def s2uc(self, *words: object, **more: Any) -> Done:
        return self.run("s2uc", *words, **more)

    def appctrl(self, *words: object, **more: Any) -> Done:
        return self.run("appctrl", *words, **more)

    def request(self, *flags: object) -> Json:
        """The document of a session that is set up between the two facilities."""
        done = self.s2uc("request", "--json", *self.places, *flags)
        assert done.rc == 0, done.err
        return done.json

    def waiting(self, *flags: object) -> Waiting:
        """A request that waits for the application controllers' Hello."""
        return Waiting(self, *flags)

    def leased(self, facility: Server) -> int:
        """Ports that sessions of a facility hold, listening yet or not."""
        done = self.s2uc("info", "--s2cs", facility.endpoint, "--json")
        assert done.rc == 0, done.err
        ports: int = done.json["ports_total"] - done.json["ports_free"]
        return ports

    def sessions(self, uid: str) -> list[Json]:
        """What `s2uc status` shows, one entry a role, producer first."""
        done = self.s2uc("status", uid, "--json", *self.places)
        assert done.rc == 0, done.err
        sessions: list[Json] = done.json["sessions"]
        return sorted(sessions, key=lambda session: str(session["role"]), reverse=True)

    def release(self, uid: str) -> None:
        done = self.s2uc("release", uid, *self.places)
        assert done.rc == 0, done.err
        assert done.out == "Release completed\n"

    @contextlib.contextmanager
    def session(self, *flags: object) -> Iterator[Json]:
        """A session that is released at the end."""
        document = self.request(*flags)
        try:
            yield document
        finally:
            self.release(document["uid"])


class Waiting(Command):
    """An `s2uc request` that waits for Hello; its id and key files are known at once."""

    def __init__(self, client: Client, *flags: object) -> None:
        super().__init__(
            BIN / "s2uc",
            "request",
            "--json",
            *client.places,
            *flags,
            cwd=client.folder,
            env=client.env,
        )
        first = self.line(
            r"^session (\S+); application keys: (\S+\.prod\.key), (\S+\.cons\.key)$", "err"
        )
        self.uid, self.prod_key, self.cons_key = first[1], Path(first[2]), Path(first[3])
        self._client = client

    def listening(self) -> None:
        """Returns when both facilities have the session and wait for its hello."""
        words = ("status", self.uid, *self._client.places)
        eventually(lambda: self._client.s2uc(*words).out.count("listening") == 2, "both listen")

    def __enter__(self) -> Waiting:
        return self
