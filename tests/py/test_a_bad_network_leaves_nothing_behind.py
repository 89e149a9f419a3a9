"""Between a user client and a control server connections are cut, swallowed, stalled and delayed.

Every wait ends; a session either is set up and streams, or both facilities are idle again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from applications import Application, echo
from chaos import ChaosProxy, Fault
from facility import Client, Done, Facility, eventually

# A cut request is given up after 10 s, and the facilities of this module wait 3 s for a message.
GIVEN_UP = 30


@dataclass
class Both:
    prod: Facility
    cons: Facility
    user: Client


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("chaos")
    flags = ["--timeout", "3s"]
    with Facility(folder, *flags) as prod, Facility(folder, *flags) as cons:
        yield Both(prod, cons, Client(folder, prod, cons))


def expect_idle(both: Both) -> None:
    for facility in (both.prod, both.cons):
        eventually(lambda f=facility: both.user.leased(f) == 0, "all is given back", GIVEN_UP)  # type: ignore[misc]
        assert facility.taken == []


def one_session(both: Both, app: Application, fault: Fault, times: int = 1) -> Done:
    """A request through a bad network to the consumer's facility, and its release through a good
    one if there is a session.
    """
    with ChaosProxy(both.cons.endpoint, fault, times) as proxy:
        places = ["--prod", both.prod.endpoint, "--cons", proxy.endpoint]
        done = both.user.s2uc("request", "--json", *places, "--prod-app", app.endpoint)
    if done.rc == 0:
        assert echo(done.json["listeners"][0]) == b"ping"
        released = both.user.s2uc("release", done.json["uid"], *both.user.places)
        assert released.rc == 0, released.err
    else:
        assert done.json["error"]["message"]
        assert done.rc in (5, 6), done.err
    expect_idle(both)
    return done


@pytest.fixture(scope="module")
def volume(both: Both, echo_app: Application) -> dict[bool, int]:
    """Bytes that a session's messages take there and back."""
    with ChaosProxy(both.cons.endpoint, Fault("delay"), 1000) as proxy:
        places = ["--prod", both.prod.endpoint, "--cons", proxy.endpoint]
        done = both.user.s2uc("request", "--json", *places, "--prod-app", echo_app.endpoint)
        assert done.rc == 0, done.err
    both.user.s2uc("release", done.json["uid"], *both.user.places)
    return proxy.moved


# Protocol: lost-answer-repeated
@pytest.mark.parametrize("upstream", [True, False], ids=["there", "back"])
@pytest.mark.parametrize("kind", ["cut", "swallow"])
def test_a_connection_that_breaks_once(
    both: Both, echo_app: Application, volume: dict[bool, int], kind: str, upstream: bool
) -> None:
    completed = 0
    for part in range(0, 10, 2):
        after = volume[upstream] * part // 10
        done = one_session(both, echo_app, Fault(kind, upstream, after))
        completed += done.rc == 0
    assert completed >= 2, "what broke under way is repeated"


# Protocol: retries-end
@pytest.mark.parametrize("part", [0, 0.4, 0.8])
def test_a_network_that_stays_broken(
    both: Both, echo_app: Application, volume: dict[bool, int], part: float
) -> None:
    """Before any connection has carried a whole session's messages it is cut, each time."""
    fault = Fault("cut", True, int(volume[True] * part))
    done = one_session(both, echo_app, fault, times=1000)
    assert done.seconds < 20
    if part == 0:
        assert done.rc == 5, done.err


# Protocol: silent-server-given-up
@pytest.mark.parametrize("part", [0, 0.4, 0.8])
def test_a_network_that_falls_silent(
    both: Both, echo_app: Application, volume: dict[bool, int], part: float
) -> None:
    fault = Fault("stall", True, int(volume[True] * part))
    done = one_session(both, echo_app, fault, times=1000)
    assert done.rc in (5, 6), done.err
    assert done.seconds < 25


def test_a_slow_network_is_only_slow(both: Both, echo_app: Application) -> None:
    done = one_session(both, echo_app, Fault("delay", seconds=0.02), times=1000)
    assert done.rc == 0, done.err


# ---- the client itself dies --------------------------------------------------------------------


# Protocol: client-dies
def test_a_client_killed_at_any_step_leaves_nothing(
    root: Path, both: Both, tmp_path: Path, echo_app: Application
) -> None:
    """What it had set up is in its book and can be released; all else ends by itself."""
    library = shutil.copy(root / "build/release/tests/cpp/libcrash_point.so", tmp_path)
    steps = tmp_path / "steps"
    request = ["request", "--json", *both.user.places, "--prod-app", echo_app.endpoint]
    preload = {"LD_PRELOAD": str(library)}
    done = both.user.s2uc(*request, env={**preload, "SCISTREAM_CRASH_COUNT": str(steps)})
    assert done.rc == 0, done.err
    both.user.release(done.json["uid"])
    total = steps.stat().st_size
    assert total >= 6, "two connections, two requests, two hellos, two updates"
    for number, step in enumerate(range(1, total + 1, 3)):
        crash = {
            **preload,
            "SCISTREAM_CRASH_AT": str(step),
            "SCISTREAM_CRASH_WHEN": ("before", "after")[number % 2],
        }
        done = both.user.s2uc(*request, env=crash)
        if done.rc == 0:  # it had fewer steps this time
            both.user.release(done.json["uid"])
            continue
        assert done.rc == -9
        known = both.user.s2uc("list", "--json").json["sessions"]
        for uid in {session["uid"] for session in known if session["phase"] == "ready"}:
            assert both.user.s2uc("release", uid).rc == 0
        expect_idle(both)
