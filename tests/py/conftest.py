"""What several tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import engine
import pytest

import scistream  # noqa: F401  # before grpc_tools, whose Protobuf it would meet
from applications import Application, application, echoes
from containers import Engine
from facility import Client, Facility
from logins import Gates, gates_of
from needs import skip_or_fail
from openid import NATIVE, OpenIdProvider
from secured import Place

# A shell has what it starts in the background ignore SIGINT, and so would whatever a test starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return Path(__file__).resolve().parents[2]


@dataclass
class Pair:
    """Two facilities with TLS on, and a user who trusts both."""

    prod: Facility
    cons: Facility
    user: Client


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Shared by a module's tests; each leaves no session and no taken port behind."""
    folder = tmp_path_factory.mktemp("pair")
    with Facility(folder, ports=48) as prod, Facility(folder, ports=48) as cons:
        yield Pair(prod, cons, Client(folder, prod, cons))


@pytest.fixture(autouse=True)
def _nothing_stays_taken(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that shares facilities gives back every port before the next one starts."""
    yield
    if "pair" in request.fixturenames:
        shared: Pair = request.getfixturevalue("pair")
        for facility in (shared.prod, shared.cons):
            assert facility.taken == []
            assert shared.user.leased(facility) == 0


@pytest.fixture(scope="module")
def echo_app() -> Iterator[Application]:
    """An application that gives back what comes."""
    with application(echoes) as app:
        yield app


@pytest.fixture(scope="module")
def openid_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdProvider]:
    """Shared by a module's tests; a test that makes it hang or fail ends that itself."""
    with OpenIdProvider(tmp_path_factory.mktemp("openid")) as provider:
        yield provider


@pytest.fixture(scope="module")
def gates(
    tmp_path_factory: pytest.TempPathFactory, openid_provider: OpenIdProvider
) -> Iterator[Gates]:
    """Two facilities that let in whom the provider knows."""
    with gates_of(tmp_path_factory.mktemp("gates"), openid_provider) as both:
        yield both


@pytest.fixture
def place(tmp_path: Path, openid_provider: OpenIdProvider, gates: Gates) -> Place:
    """Where what is said of logging in is tried."""
    user = Client(tmp_path, *gates)
    user.env["SCISTREAM_IDENTITY_CA"] = str(openid_provider.ca_file)
    user.env["SCISTREAM_NATIVE_CLIENT_ID"] = NATIVE
    return Place(tmp_path, openid_provider, gates, user)


@pytest.fixture(scope="session")
def containers() -> Iterator[Engine]:
    """The engine that `./dev test` has started, or one for these tests alone."""
    if address := os.environ.get("SCISTREAM_TEST_ENGINE"):
        yield Engine(address, os.environ["SCISTREAM_TEST_IMAGE"])
        return
    try:
        running = engine.start(os.getpid())
    except engine.NoEngineError as error:
        skip_or_fail(str(error))
    try:
        yield Engine(running.address, engine.IMAGE)
    finally:
        engine.stop(os.getpid())
