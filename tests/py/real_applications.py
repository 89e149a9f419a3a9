"""What the tests of real applications share: programs of others, and the sessions they use."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from conftest import Pair
from facility import Client, Command, Json, clean_environment, eventually, split
from needs import skip_or_fail

PYTHON = (sys.executable, "-u", "-c")


def needs_module(name: str) -> None:
    """Some packages have no wheel for every machine."""
    if importlib.util.find_spec(name) is None:
        skip_or_fail(f"Python has no {name} here")


def program(
    source: str, *words: object, folder: Path, settings: Mapping[str, str] | None = None
) -> Command:
    """A Python program in a process of its own, which nothing tells of SciStream."""
    return Command(*PYTHON, source, *words, cwd=folder, env=clean_environment(folder, settings))


@dataclass
class Way:
    """A session, as its applications see it and as its facilities count it."""

    user: Client
    uid: str
    address: str  # what the consumer application is told

    @property
    def port(self) -> int:
        return split(self.address)[1]

    def carried(self, to_consumer: int = 0, to_producer: int = 0) -> list[Json]:
        """What both facilities say of the session, once each has carried this much or more."""

        def enough() -> list[Json]:
            sessions = self.user.sessions(self.uid)
            carried = [
                session["bytes_to_consumer"] >= to_consumer
                and session["bytes_to_producer"] >= to_producer
                for session in sessions
            ]
            return sessions if all(carried) else []

        sessions = eventually(enough, "both facilities have carried everything")
        assert [session["protection"] for session in sessions] == ["encrypted"] * 2
        return sessions

    def connections(self) -> list[int]:
        """How many there have been, at the producer's facility and at the consumer's."""
        return [session["connections_total"] for session in self.user.sessions(self.uid)]


@contextlib.contextmanager
def through(pair: Pair, app: str) -> Iterator[Way]:
    """A session for an application that listens at this address."""
    with pair.user.session("--prod-app", app) as document:
        yield Way(pair.user, document["uid"], document["listeners"][0])


@contextlib.contextmanager
def reserved(pair: Pair) -> Iterator[tuple[Way, Callable[[str], None]]]:
    """A session whose listener is known before its producer application has started, and what
    announces that application: for protocols in which servers tell clients the server's port.
    """
    with pair.user.waiting() as request:
        known = pair.user.appctrl(
            *("hello", request.uid, pair.cons.endpoint),
            *("--role", "CONS", "--key-file", request.cons_key),
        )
        assert known.rc == 0, known.err
        address = known.out.split()[0]

        def announce(app: str) -> None:
            said = pair.user.appctrl(
                *("hello", request.uid, pair.prod.endpoint, "--listen", app),
                *("--role", "PROD", "--key-file", request.prod_key),
            )
            assert said.rc == 0, said.err
            assert request.wait() == 0, request.err

        try:
            yield Way(pair.user, request.uid, address), announce
        finally:
            pair.user.release(request.uid)
