"""`s2uc list`, `status`, `watch` and `info`: what users see of their sessions."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from applications import Application, application, connect, echo, fetch, payload, receive, sends
from conftest import Pair
from facility import Client, Facility, eventually, split

SESSION_KEYS = {
    "uid",
    "role",
    "state",
    "phase",
    "listeners",
    "targets",
    "num_conn",
    "rate_mbps",
    "transport",
    "protection",
    "labels",
    "age_ms",
    "bytes_to_consumer",
    "bytes_to_producer",
    "connections_active",
    "connections_total",
    "errors",
    "refused",
}


# Protocol: status, protection
def test_status_shows_both_sides(pair: Pair, echo_app: Application) -> None:
    with pair.user.session("--prod-app", echo_app.endpoint) as document:
        assert echo(document["listeners"][0], b"12345") == b"12345"
        prod, cons = pair.user.sessions(document["uid"])
        for session, role in ((prod, "PROD"), (cons, "CONS")):
            assert session.keys() >= SESSION_KEYS
            assert (session["uid"], session["role"]) == (document["uid"], role)
            assert (session["state"], session["phase"]) == ("idle", "ready")
            assert (session["transport"], session["protection"]) == ("tls", "encrypted")
            assert session["bytes_to_producer"] == session["bytes_to_consumer"] == 5
            assert (session["connections_active"], session["connections_total"]) == (0, 1)
            assert session["errors"] == 0
        assert prod["listeners"] == cons["targets"] == document["prod_listeners"]
        assert prod["targets"] == [echo_app.endpoint]
        text = pair.user.s2uc("status", document["uid"])
        assert text.rc == 0, "it is remembered where the session lives"
        header, *rows = text.out.splitlines()
        assert header.split()[:3] == ["UID", "ROLE", "STATE"]
        assert len(rows) == 2
        assert all(document["uid"] in row and "idle, ready" in row for row in rows)
        assert text.err == ""
        one = pair.user.s2uc("status", document["uid"], "--json", "--s2cs", pair.cons.endpoint)
        assert [session["role"] for session in one.json["sessions"]] == ["CONS"]


# Protocol: status-connections
def test_status_shows_each_connection_where_asked(pair: Pair, echo_app: Application) -> None:
    with pair.user.session("--prod-app", echo_app.endpoint, "--num-conn", 2) as document:
        listeners = document["listeners"]

        def shown() -> list[Any]:
            done = pair.user.s2uc("status", document["uid"], "--connections", "--json")
            return [session["connections"] for session in done.json["sessions"]]

        words = ("status", document["uid"])
        assert "no connection is live" in pair.user.s2uc(*words, "--connections").out
        assert shown() == [[], []]
        with connect(listeners[0]) as one, connect(listeners[1]) as other:
            for connection, data in ((one, b"123"), (other, b"12345")):
                connection.sendall(data)
                assert receive(connection, len(data)) == data
            prod, cons = (sorted(each, key=lambda c: c["bytes_to_consumer"]) for each in shown())
            for side in (prod, cons):
                assert [c["bytes_to_consumer"] for c in side] == [3, 5]
                assert [c["bytes_to_producer"] for c in side] == [3, 5]
            assert [c["port"] for c in cons] == [split(each)[1] for each in listeners]
            assert [c["target"] for c in cons] == document["prod_listeners"]
            assert [c["target"] for c in prod] == [echo_app.endpoint] * 2
            peers = [f"{host}:{port}" for host, port in (one.getsockname(), other.getsockname())]
            assert [c["peer"] for c in cons] == peers
            text = pair.user.s2uc(*words, "--connections")
            assert text.rc == 0
            assert all(peer in text.out for peer in peers)
            assert peers[0] not in pair.user.s2uc(*words).out
            (plain, _) = pair.user.sessions(document["uid"])
            assert "connections" not in plain


# Protocol: list
def test_list_shows_the_sessions_requested_from_here(
    pair: Pair, echo_app: Application, tmp_path: Path
) -> None:
    user, other = (Client(tmp_path, pair.prod, pair.cons) for _ in range(2))
    empty = user.s2uc("list")
    assert (empty.rc, empty.out) == (0, "no sessions\n")
    app = ["--prod-app", echo_app.endpoint]
    with user.session(*app) as first, user.session(*app) as second, other.session(*app):
        done = user.s2uc("list", "--json")
        assert sorted(session["uid"] for session in done.json["sessions"]) == sorted(
            [first["uid"], second["uid"]] * 2
        )
        text = user.s2uc("list").out
        assert text.count(first["uid"]) == text.count(second["uid"]) == 2
        assert len(text.splitlines()) == 5
    assert user.s2uc("list", "--json").json == {"sessions": [], "errors": []}


# Protocol: list, release-forget
def test_list_says_who_does_not_answer(pair: Pair, tmp_path: Path, echo_app: Application) -> None:
    with Facility(tmp_path) as short_lived:
        user = Client(tmp_path, pair.prod, short_lived)
        document = user.request("--prod-app", echo_app.endpoint)
        short_lived.stop()
        done = user.s2uc("list", "--json")
        assert [session["role"] for session in done.json["sessions"]] == ["PROD"]
        (error,) = done.json["errors"]
        assert (error["s2cs"], error["uids"]) == (short_lived.endpoint, [document["uid"]])
        assert short_lived.endpoint in done.err
        assert document["uid"] in done.err
        shown = user.s2uc("status", document["uid"], "--json")
        assert [error["s2cs"] for error in shown.json["errors"]] == [short_lived.endpoint]
        done = user.s2uc("release", document["uid"])
        assert done.rc == 5, "it may come back"
        assert user.s2uc("list").rc == 5
        done = user.s2uc("release", document["uid"], "--forget", "--json")
        assert done.rc == 0, done.err
        assert done.json == {"uid": document["uid"], "released": False, "forgotten": True}
        assert short_lived.endpoint in done.err
        assert user.s2uc("list", "--json").json == {"sessions": [], "errors": []}
        assert not list((user.state / "keys").iterdir())
    assert pair.prod.taken == []


def test_list_forgets_what_has_ended_and_its_keys(
    pair: Pair, tmp_path: Path, echo_app: Application
) -> None:
    user, other = (Client(tmp_path, pair.prod, pair.cons) for _ in range(2))
    app = ["--prod-app", echo_app.endpoint]
    with user.session(*app) as lives:
        ended = user.request(*app)["uid"]
        assert other.s2uc("release", ended, *user.places).rc == 0
        keys = user.state / "keys"
        assert user.s2uc("list").rc == 0
        assert list(keys.glob(f"{ended}.*")), "it may be on its way"
        entry = user.state / "sessions" / f"{ended}.json"
        entry.write_text(json.dumps(json.loads(entry.read_text()) | {"asked": 1}))
        assert user.s2uc("list", "--json").json["sessions"][0]["uid"] == lives["uid"]
        assert not entry.exists()
        assert {path.name.split(".")[0] for path in keys.iterdir()} == {lives["uid"]}


def test_a_release_elsewhere_forgets_nothing(pair: Pair, tmp_path: Path) -> None:
    """The session is not known where nobody requested it."""
    user = Client(tmp_path, pair.prod, pair.cons)
    with user.session("--prod-app", "127.0.0.1:9") as document, Facility(tmp_path) as third:
        user.trust(pair.prod.certificate, pair.cons.certificate, third.certificate)
        assert user.s2uc("release", document["uid"], "--s2cs", third.endpoint).rc == 7
        assert list((user.state / "keys").glob(f"{document['uid']}.*"))
        assert user.s2uc("status", document["uid"]).rc == 0


def test_one_control_server_under_two_names_is_shown_once(tmp_path: Path) -> None:
    with (
        Facility(tmp_path, host="127.0.0.1", ports=16) as both,
        application(sends(b"x")) as app,
    ):
        user = Client(tmp_path, both)
        names = ["--prod", both.endpoint, "--cons", f"localhost:{both.port}"]
        uid = user.s2uc("request", "--json", *names, "--prod-app", app.endpoint).json["uid"]
        for command in (["list"], ["status", uid]):
            sessions = user.s2uc(*command, "--json").json["sessions"]
            assert [session["role"] for session in sessions] == ["PROD", "CONS"]
        user.release(uid)


def test_a_release_by_another_name_forgets_it_as_well(tmp_path: Path) -> None:
    with Facility(tmp_path, host="127.0.0.1", ports=16) as both:
        user = Client(tmp_path, both)
        places = ["--prod", both.endpoint, "--cons", both.endpoint]
        done = user.s2uc("request", "--json", *places, "--prod-app", "127.0.0.1:9")
        done = user.s2uc("release", done.json["uid"], "--s2cs", f"localhost:{both.port}")
        assert done.rc == 0, done.err
        for folder in ("sessions", "keys"):
            assert not list((user.state / folder).iterdir())


def test_halves_that_are_released_at_once_are_both_forgotten(pair: Pair, tmp_path: Path) -> None:
    user = Client(tmp_path, pair.prod, pair.cons)
    for _ in range(5):
        uid = user.request("--prod-app", "127.0.0.1:9")["uid"]
        with (
            user.start("s2uc", "release", uid, "--s2cs", pair.prod.endpoint) as one,
            user.start("s2uc", "release", uid, "--s2cs", pair.cons.endpoint) as other,
        ):
            assert (one.wait(), other.wait()) == (0, 0), one.err + other.err
        for folder in ("sessions", "keys"):
            assert not list((user.state / folder).iterdir())


def test_watch_says_which_facility_fell_silent(tmp_path: Path, echo_app: Application) -> None:
    brief = ["--orphan-grace", "1s"]
    with Facility(tmp_path, *brief) as prod, Facility(tmp_path) as cons:
        user = Client(tmp_path, prod, cons)
        uid = user.request("--prod-app", echo_app.endpoint)["uid"]
        with user.start("s2uc", "watch", uid, "--json") as watch:
            watch.line('"role":"PROD"')
            watch.line('"role":"CONS"')
            prod.command.kill()
            watch.line(f"^s2uc: no more news from {prod.endpoint}: .*{prod.endpoint}", "err")
            assert watch.process.poll() is None, "the other one is still there"
            assert user.s2uc("release", uid, "--s2cs", cons.endpoint).rc == 0
            assert watch.wait() == 5
            assert [json.loads(line) for line in watch.out.splitlines()], "one document a line"


def test_watch_goes_on_when_a_facility_comes_back(tmp_path: Path, echo_app: Application) -> None:
    brief = ["--orphan-grace", "1s"]
    with Facility(tmp_path, *brief) as prod, Facility(tmp_path) as cons:
        user = Client(tmp_path, prod, cons)
        uid = user.request("--prod-app", echo_app.endpoint)["uid"]
        with user.start("s2uc", "watch", uid, "--json") as watch:
            watch.line('"role":"PROD"')
            prod.command.kill()
            prod.restart()
            eventually(lambda: watch.out.count('"role":"PROD"') >= 2, "it is seen again")
            user.release(uid)
            assert watch.wait() == 0, watch.err
            assert watch.err == ""
            gone = [json.loads(line) for line in watch.out.splitlines() if '"gone"' in line]
            assert sorted(event["role"] for event in gone) == ["CONS", "PROD"]


# Protocol: watch
def test_watch_ends_when_the_session_is_released(pair: Pair, echo_app: Application) -> None:
    with pair.user.session("--prod-app", echo_app.endpoint) as document:
        with pair.user.start("s2uc", "watch", document["uid"]) as watch:
            watch.line(r"^(PROD|CONS) +idle, ready")
            assert echo(document["listeners"][0]) == b"ping"
            pair.user.release(document["uid"])
            assert watch.wait() == 0, watch.err
            assert "ended: the session was released" in watch.out
        assert document["uid"] not in watch.err


# Protocol: watch
def test_watch_reports_bytes_as_json_lines(pair: Pair) -> None:
    data = payload(3_000_000)
    with (
        application(sends(data)) as app,
        pair.user.session("--prod-app", app.endpoint) as document,
        pair.user.start("s2uc", "watch", document["uid"], "--json") as watch,
    ):
        watch.line('"event":"state"')
        assert fetch(document["listeners"][0]) == data
        watch.line(f'"bytes_to_consumer":{len(data)}.*"event":"counters"')
        pair.user.release(document["uid"])
        assert watch.wait() == 0, watch.err
        events = [json.loads(line) for line in watch.out.splitlines()]
        assert {event["event"] for event in events} == {"state", "counters", "gone"}
        gone = [event for event in events if event["event"] == "gone"]
        assert sorted(event["role"] for event in gone) == ["CONS", "PROD"]
        assert all(event["uid"] == document["uid"] for event in events)


# Protocol: last-counters
def test_the_last_event_has_counted_what_came_just_before_it(pair: Pair) -> None:
    data = payload(100_000)
    with application(sends(data)) as app:
        for _ in range(5):
            with (
                pair.user.session("--prod-app", app.endpoint) as document,
                pair.user.start("s2uc", "watch", document["uid"], "--json") as watch,
            ):
                watch.line('"event":"state".*"role":"PROD"')
                assert fetch(document["listeners"][0]) == data
                pair.user.release(document["uid"])
                assert watch.wait() == 0, watch.err
                events = [json.loads(line) for line in watch.out.splitlines()]
                last = {each["role"]: each for each in events if each["event"] == "gone"}
                assert last["PROD"]["bytes_to_consumer"] == len(data)
                assert last["CONS"]["bytes_to_consumer"] == len(data)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_only_stops_watching(
    pair: Pair, echo_app: Application, number: signal.Signals
) -> None:
    with pair.user.session("--prod-app", echo_app.endpoint) as document:
        with pair.user.start("s2uc", "watch", document["uid"]) as watch:
            watch.line("idle, ready")
            watch.signal(number)
            assert watch.wait() == 0, watch.err
        assert echo(document["listeners"][0]) == b"ping"


def test_request_watch_stops_at_an_interrupt_and_the_session_lives(
    pair: Pair, echo_app: Application
) -> None:
    with pair.user.start(
        "s2uc", "request", *pair.user.places, "--prod-app", echo_app.endpoint, "--watch"
    ) as request:
        uid = request.line(r"^uid (\S+)$")[1]
        listener = request.line(r"^  (127\.\S+:\d+)$")[1]
        request.line("idle, ready")
        request.signal(signal.SIGINT)
        assert request.wait() == 0, request.err
        assert echo(listener) == b"ping"
        pair.user.release(uid)


def test_request_watch_ends_with_the_session(pair: Pair, echo_app: Application) -> None:
    with pair.user.start(
        *("s2uc", "request", *pair.user.places, "--json"),
        *("--prod-app", echo_app.endpoint, "--watch"),
    ) as request:
        request.line('"event":"state"', "err")
        document = json.loads(request.out)
        pair.user.release(document["uid"])
        assert request.wait() == 0, request.err
        assert json.loads(request.out) == document, "one document, whatever happens later"


def test_request_watch_prints_one_document_even_if_the_watch_fails(
    tmp_path: Path, echo_app: Application
) -> None:
    brief = ["--orphan-grace", "1s"]
    with Facility(tmp_path, *brief) as prod, Facility(tmp_path, *brief) as cons:
        user = Client(tmp_path, prod, cons)
        with user.start(
            *("s2uc", "request", *user.places, "--json"),
            *("--prod-app", echo_app.endpoint, "--watch"),
        ) as request:
            request.line('"role":"PROD"', "err")
            request.line('"role":"CONS"', "err")
            for facility in (prod, cons):
                facility.command.kill()
            assert request.wait() == 5
            assert json.loads(request.out)["listeners"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_release_on_exit_releases(
    pair: Pair, echo_app: Application, number: signal.Signals
) -> None:
    with pair.user.start(
        *("s2uc", "request", *pair.user.places, "--prod-app", echo_app.endpoint),
        *("--watch", "--release-on-exit"),
    ) as request:
        uid = request.line(r"^uid (\S+)$")[1]
        listener = request.line(r"^  (127\.\S+:\d+)$")[1]
        request.line("idle, ready")
        with connect(listener) as connection:
            connection.sendall(b"x")
            assert receive(connection, 1) == b"x"
            request.signal(number)
            assert request.wait() == 0, request.err
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
    assert pair.user.s2uc("status", uid, *pair.user.places).rc == 7
    assert list((pair.user.state / "keys").iterdir()) == []


# Protocol: info
def test_info_shows_what_is_left(pair: Pair, echo_app: Application) -> None:
    with pair.user.session("--prod-app", echo_app.endpoint, "--num-conn", 3):
        facts = pair.user.s2uc("info", "--s2cs", pair.prod.endpoint, "--json").json
        assert facts["ports_total"] == 48
        assert facts["ports_free"] == 45
        assert facts["sessions"] == 1
        assert facts["data_server_kinds"] == ["Native"]
        assert facts["transports"] == ["tcp", "tls"]
        assert facts["capacity_mbps"] == 0
        text = pair.user.s2uc("info", "--s2cs", pair.prod.endpoint).out
        assert "45 of 48 free" in text
        assert "unlimited" in text
