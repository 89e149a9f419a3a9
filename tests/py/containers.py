"""Containers of the image that is tested, in the tests' own engine: see tests/engine.py."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import engine

from facility import Command, Done, Json, eventually, free_range, own_address, run

HEALTH = "/usr/lib/scistream/health"
STATE = "/var/lib/scistream"


class Engine:
    """Where containers run, and the image they are of."""

    def __init__(self, address: str, image: str) -> None:
        self.address = address
        self.image = image
        self.env = engine.environment(address)

    def start(self, *words: object) -> Command:
        return Command("docker", *words, env=self.env)

    def try_docker(self, *words: object) -> Done:
        return run("docker", *words, env=self.env, limit=60)

    def docker(self, *words: object) -> str:
        """What the command says."""
        done = self.try_docker(*words)
        assert done.rc == 0, done.err
        return done.out

    def run(self, *words: object) -> str:
        """What a command says that runs in the image alone."""
        return self.docker("run", "--rm", "--network", "none", self.image, *words)


def documented_flags(root: Path) -> list[str]:
    """Those of the `docker run` that the documents recommend, without what names one facility."""
    text = (root / "docs/containers.md").read_text()
    (command,) = re.findall(r"```sh\ndocker run --detach (.*?)```", text, re.DOTALL)
    *words, image = shlex.split(command.replace("\\\n", " "))
    assert image.startswith("scistream:")
    flags = []
    rest = iter(words)
    for word in rest:
        if word in ("--name", "--volume", "--env"):
            next(rest)
        else:
            flags.append(word)
    return flags


class ContainedFacility:
    """An `s2cs` in a container as the documents start one, on a loopback address of its own."""

    tls = True

    def __init__(self, engine: Engine, folder: Path, flags: list[str], kind: str) -> None:
        self.engine = engine
        self.host = own_address()
        self.port, *self.ports = free_range(self.host, 9)
        self.endpoint = f"{self.host}:{self.port}"
        self.name = f"scistream-{self.host}-{self.port}"
        self.certificate = folder / f"{self.name}.crt"
        settings = {
            "SCISTREAM_LISTENER_IP": self.host,
            "SCISTREAM_PORT": self.port,
            "SCISTREAM_PORT_RANGE": f"{self.ports[0]}-{self.ports[-1]}",
            "SCISTREAM_TYPE": kind,
        }
        self.id = engine.docker(
            *("create", "--name", self.name, "--volume", f"{self.name}:{STATE}"),
            *(word for name, value in settings.items() for word in ("--env", f"{name}={value}")),
            *("--health-interval", "1s", *flags, engine.image),
        ).strip()

    def start(self) -> None:
        """Returns when it serves; what it was before it was started does not count."""
        self.engine.docker("start", self.name)
        since = self.state["StartedAt"]
        with self.engine.start("logs", "--follow", "--since", since, self.name) as log:
            log.line(f"^s2cs ready on {re.escape(self.endpoint)}$")
        self.engine.docker("cp", f"{self.name}:{STATE}/server.crt", self.certificate)

    def inspect(self) -> Json:
        (document,) = json.loads(self.engine.docker("inspect", self.name))
        found: Json = document
        return found

    @property
    def state(self) -> Json:
        state: Json = self.inspect()["State"]
        return state

    def exec(self, *words: object) -> Done:
        return self.engine.try_docker("exec", self.name, *words)

    def files(self) -> set[str]:
        """Of the state folder, whether the container runs or not."""
        return set(
            self.engine.docker(
                *("run", "--rm", "--network", "none", "--volume", f"{self.name}:{STATE}:ro"),
                *(self.engine.image, "ls", STATE),
            ).split()
        )

    def becomes(self, health: str) -> None:
        eventually(lambda: self.state["Health"]["Status"] == health, f"{self.name} is {health}")

    def remove(self) -> None:
        self.engine.docker("rm", "--force", self.name)
        self.engine.docker("volume", "rm", "--force", self.name)


@contextlib.contextmanager
def contained_facility(
    engine: Engine, folder: Path, flags: list[str], kind: str = "Native"
) -> Iterator[ContainedFacility]:
    facility = ContainedFacility(engine, folder, flags, kind)
    try:
        facility.start()
        yield facility
    finally:
        facility.remove()
