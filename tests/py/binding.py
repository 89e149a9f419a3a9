"""Facilities, applications and processes for the tests of the Python package."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import scistream

PORTS = "21100-21149"


@dataclass
class Facilities:
    """A producer's and a consumer's facility and a client of both, in this process."""

    prod: scistream.ControlServer
    cons: scistream.ControlServer
    client: scistream.UserClient
    roots: str

    def nothing_reserved(self) -> bool:
        """Whether all ports of both facilities are free."""
        return all(
            info.ports_free == info.ports_total and info.sessions == 0
            for info in map(self.client.info, (self.prod.endpoint, self.cons.endpoint))
        )


@contextmanager
def facilities(state: Path, ports: str = PORTS, **options: Any) -> Iterator[Facilities]:
    """Two facilities on 127.0.1.1 and 127.0.2.1, TLS on, any control port."""
    server = partial(scistream.ControlServer, port=0, port_range=ports, **options)
    with server(listener_ip="127.0.1.1") as prod, server(listener_ip="127.0.2.1") as cons:
        roots = prod.certificate + cons.certificate
        with scistream.UserClient(roots=roots, state_dir=state) as client:
            yield Facilities(prod, cons, client, roots)


def address(endpoint: str) -> tuple[str, int]:
    """`host:port`, as sockets take it."""
    host, _, port = endpoint.rpartition(":")
    return host, int(port)


@contextmanager
def listening() -> Iterator[tuple[socket.socket, str]]:
    """A producer application's socket and its `host:port`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server, "{}:{}".format(*server.getsockname())


def closed_port() -> str:
    """`host:port` where nothing listens."""
    with listening() as (_, endpoint):
        return endpoint


def stream(server: socket.socket, listener: str, size: int) -> tuple[str, str]:
    """Sends random bytes from the producer to who connects to `listener`: SHA-256 of both ends."""
    data = os.urandom(size)

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(data)

    sender = threading.Thread(target=serve)
    sender.start()
    received = hashlib.sha256()
    with socket.create_connection(address(listener), timeout=20) as connection:
        while block := connection.recv(1 << 20):
            received.update(block)
    sender.join()
    return hashlib.sha256(data).hexdigest(), received.hexdigest()


def is_free(endpoint: str) -> bool:
    """Whether the port can be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address(endpoint))
        except OSError:
            return False
        return True


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it becomes true within that time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class CtrlC:
    """Comes 0.3 s into this block of a program, and ends it: `outcome` says how."""

    def __init__(self) -> None:
        self._timer = threading.Timer(0.3, self._send)
        self._sent = 0.0
        self.outcome = "not interrupted"

    def _send(self) -> None:
        self._sent = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)

    def __enter__(self) -> CtrlC:
        # A process that was started in the background ignores SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        took = time.monotonic() - self._sent
        self._timer.cancel()
        if kind is not KeyboardInterrupt:
            return False
        # It has 0.2 s from then on, and a busy machine as much again.
        self.outcome = "interrupted" if took < 0.4 else f"took {took:.3f} s"
        return True


def python(script: str, *arguments: str | Path, timeout: float = 30.0) -> str:
    """What the script prints in a process of its own, which must end well and say nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout
