"""What a session may take of the network: no more than its rate, from whenever it is set."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from applications import (
    Application,
    application,
    connect,
    digest,
    fetch,
    payload,
    receive,
    receive_all,
    sends,
)
from binding import facilities, listening
from deployed_peer import deployed_server
from facility import BIN, Client, Command, Facility, clean_environment, eventually, run

SIZE = 5_000_000
RATE = 80  # Mbit/s
LEAST = SIZE * 8 / (RATE * 1e6)
DATA = payload(SIZE)

# What may go at once, and what two clocks may differ.
SLACK = 0.03


@pytest.fixture(scope="module")
def app() -> Iterator[Application]:
    with application(sends(DATA)) as app:
        yield app


@pytest.fixture
def leasing(tmp_path: Path) -> Iterator[tuple[Facility, Facility, Client]]:
    """Two facilities of 1000 and of 100 Mbit/s."""
    with (
        Facility(tmp_path, "--capacity", 1000) as prod,
        Facility(tmp_path, "--capacity", 100) as cons,
    ):
        yield prod, cons, Client(tmp_path, prod, cons)


def seconds_to_fetch(listener: str) -> float:
    start = time.monotonic()
    data = fetch(listener)
    took = time.monotonic() - start
    assert digest(data) == digest(DATA)
    return took


def can_be_called(listener: str) -> bool:
    try:
        with connect(listener) as connection:
            return receive(connection, 1) == DATA[:1]
    except OSError:
        return False


def rates(user: Client, uid: str) -> set[tuple[int, bool]]:
    return {(view["rate_mbps"], view["rate_is_leased"]) for view in user.sessions(uid)}


def free(user: Client, facility: Facility) -> int:
    done = user.s2uc("info", "--json", "--s2cs", facility.endpoint)
    mbps: int = done.json["capacity_free_mbps"]
    return mbps


# Protocol: rate-binds, rate-each-way
@pytest.mark.parametrize("transport", ["tls", "tcp"])
def test_a_rate_that_was_given_is_not_exceeded(
    tmp_path: Path, app: Application, transport: str
) -> None:
    with Facility(tmp_path) as prod, Facility(tmp_path) as cons:
        user = Client(tmp_path, prod, cons)
        flags = ("--prod-app", app.endpoint, "--rate", RATE, "--transport", transport)
        with user.session(*flags) as document:
            assert seconds_to_fetch(document["listeners"][0]) >= LEAST - SLACK
            assert rates(user, document["uid"]) == {(RATE, False)}


# Protocol: rate-best-effort
def test_whoever_leased_nothing_shares_the_capacity(tmp_path: Path, app: Application) -> None:
    with Facility(tmp_path, "--capacity", RATE) as prod, Facility(tmp_path) as cons:
        user = Client(tmp_path, prod, cons)
        with (
            user.session("--prod-app", app.endpoint) as one,
            user.session("--prod-app", app.endpoint) as other,
        ):
            both = [threading.Thread(target=fetch, args=(s["listeners"][0],)) for s in (one, other)]
            start = time.monotonic()
            for thread in both:
                thread.start()
            for thread in both:
                thread.join()
            assert time.monotonic() - start >= 2 * LEAST - SLACK


# Protocol: rate-change
def test_a_change_reaches_live_connections(tmp_path: Path, app: Application) -> None:
    with Facility(tmp_path) as prod, Facility(tmp_path) as cons:
        user = Client(tmp_path, prod, cons)
        with user.session("--prod-app", app.endpoint, "--rate", 1) as document:
            uid = document["uid"]
            with connect(document["listeners"][0]) as connection:
                first = receive(connection, 10_000)
                done = user.s2uc("rate", uid, RATE)
                assert done.rc == 0, done.err
                assert done.out == f"session {uid}: {RATE} Mbit/s each way\n"
                assert digest(first + receive_all(connection)) == digest(DATA)
            assert rates(user, uid) == {(RATE, False)}
            assert seconds_to_fetch(document["listeners"][0]) >= LEAST - SLACK
            done = user.s2uc("rate", uid, 0, "--json")
            assert done.json == {"uid": uid, "rate_mbps": 0, "rate_is_leased": False}
            assert done.rc == 0, done.err


# Protocol: rate-change, rate-change-refused, rate-explicit
def test_a_change_moves_both_leases_or_none(leasing: tuple[Facility, Facility, Client]) -> None:
    prod, cons, user = leasing
    with user.session("--prod-app", "127.0.0.1:9", "--rate", 60) as document:
        uid = document["uid"]
        refused = user.s2uc("rate", uid, 101)
        assert refused.rc == 8
        assert f"{cons.endpoint}: 101 Mbit/s wanted, 100 of 100 Mbit/s are free" in refused.err
        assert rates(user, uid) == {(60, True)}
        assert (free(user, prod), free(user, cons)) == (940, 40)

        done = user.s2uc("rate", uid, 100)
        assert done.out == f"session {uid}: 100 Mbit/s each way, leased\n"
        assert (free(user, prod), free(user, cons)) == (900, 0)
        assert user.s2uc("rate", uid, 0).out == f"session {uid}: best effort\n"
        assert rates(user, uid) == {(0, False)}
        assert (free(user, prod), free(user, cons)) == (1000, 100)


# Protocol: rate-kept
@pytest.mark.parametrize("victim", ["control server", "data server", "both"])
def test_a_changed_rate_survives(tmp_path: Path, app: Application, victim: str) -> None:
    with Facility(tmp_path, "--capacity", 1000) as facility:
        user = Client(tmp_path, facility, facility)
        with user.session("--prod-app", app.endpoint, "--rate", 500) as document:
            assert user.s2uc("rate", document["uid"], RATE).rc == 0
            listener = document["listeners"][0]
            if victim == "data server":
                os.kill(facility.data_server, signal.SIGKILL)
            else:
                (facility.kill if victim == "both" else facility.command.kill)()
                facility.restart()
            eventually(lambda: can_be_called(listener), "it streams again")
            assert seconds_to_fetch(listener) >= LEAST - SLACK
            assert rates(user, document["uid"]) == {(RATE, True)}
            assert free(user, facility) == 1000 - 2 * RATE


# Protocol: rate-change-bad
def test_what_makes_no_sense_is_refused_by_name(tmp_path: Path) -> None:
    with Facility(tmp_path) as facility:
        user = Client(tmp_path, facility, facility)
        with user.session("--prod-app", "127.0.0.1:9") as document:
            for rate in ("-1", "10000001", "fast", "1.5"):
                done = user.s2uc("rate", document["uid"], rate)
                assert done.rc == 2, (rate, done.err)
                assert rate in done.err
            assert rates(user, document["uid"]) == {(0, False)}
        unknown = user.s2uc("rate", "nobody", 5, "--s2cs", facility.endpoint)
        assert unknown.rc == 7
        assert "nobody" in unknown.err


def test_a_deployed_server_does_not_know_of_it_and_the_other_goes_back(tmp_path: Path) -> None:
    with Facility(tmp_path, tls=False) as ours, deployed_server(lambda _: "") as theirs:
        user = Client(tmp_path, ours, ours)
        with user.session("--prod-app", "127.0.0.1:9", "--rate", 5, "--transport=tcp") as document:
            uid = document["uid"]
            done = user.s2uc("rate", uid, 7, "--prod", ours.endpoint, "--cons", theirs.endpoint)
            assert done.rc != 0
            assert "does not know this command" in done.err
            assert rates(user, uid) == {(5, False)}


def test_python_programs_change_it_too(tmp_path: Path) -> None:
    with (
        facilities(tmp_path) as both,
        listening() as (_, app),
        both.client.request(both.prod.endpoint, both.cons.endpoint, prod_app=[app]) as session,
    ):
        assert session.set_rate(70) is False
        assert {view.rate for view in session.status()} == {70}
        assert both.client.set_rate(session.uid, 0) is False
        assert {view.rate for view in session.status()} == {0}


def test_a_relay_alone_keeps_a_rate(tmp_path: Path, app: Application) -> None:
    words = ("--listen", "127.0.0.1:0", "--target", app.endpoint, "--rate", RATE)
    with Command(BIN / "s2ds", "relay", *words, env=clean_environment(tmp_path)) as relay:
        listener = relay.line(r"^s2ds ready on (\S+)$")[1]
        assert seconds_to_fetch(listener) >= LEAST - SLACK
        relay.signal(signal.SIGTERM)
        assert relay.wait() == 0
    refused = run(BIN / "s2ds", "relay", *words[:-1], "-5", env=clean_environment(tmp_path))
    assert refused.rc == 2
    assert "--rate" in refused.err
