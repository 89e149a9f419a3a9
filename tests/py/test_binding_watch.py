"""The events of a session, taken by a loop."""

from __future__ import annotations

import functools
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import scistream
from binding import Facilities, facilities, listening
from scistream import aio


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facilities]:
    with facilities(tmp_path_factory.mktemp("state"), "21200-21249") as both:
        yield both


@pytest.fixture
def session(both: Facilities) -> Iterator[scistream.Session]:
    with (
        listening() as (_, application),
        both.client.request(both.prod.endpoint, both.cons.endpoint, prod_app=[application]) as made,
    ):
        yield made


def test_a_loop_sees_a_session_from_now_to_its_end(session: scistream.Session) -> None:
    events = []
    for event in session.watch(period=0.1):
        events.append(event)
        assert event.status.uid == session.uid
        if len(events) == 2:
            session.release()
    assert {event.status.role for event in events} == {"PROD", "CONS"}
    assert [event.kind for event in events].count("gone") == 2
    assert {event.kind for event in events[:2]} == {"state"}


def test_counters_tell_what_has_gone_through(both: Facilities) -> None:
    with listening() as (server, application):
        ends = both.prod.endpoint, both.cons.endpoint
        with (
            both.client.request(*ends, prod_app=[application]) as session,
            both.client.watch(session.uid, period=0.1) as watch,
        ):
            with socket.create_connection(session.listeners[0].address, 15) as consumer:
                producer, _ = server.accept()
                with producer:
                    producer.sendall(b"x" * 1000)
                    assert len(consumer.recv(1000, socket.MSG_WAITALL)) == 1000
                    seen = next(
                        event
                        for event in watch
                        if event.status.role == "CONS" and event.status.bytes_to_consumer
                    )
            assert seen.status.bytes_to_consumer == 1000
            stats = session.stats()
            assert (stats.bytes_to_consumer, stats.bytes_to_producer) == (1000, 0)
            assert (stats.connections_total, stats.errors, stats.refused) == (1, 0, 0)


def test_a_watch_may_be_ended_by_another_thread(session: scistream.Session) -> None:
    watch = session.watch(period=60)
    threading.Timer(0.1, watch.close).start()
    assert all(event.kind != "gone" for event in watch)
    watch.close()
    assert list(watch) == []


def test_what_is_not_there_cannot_be_watched(both: Facilities) -> None:
    with pytest.raises(scistream.NotFound):
        next(both.client.watch("never-requested"))


@pytest.mark.parametrize("period", [-1, 0, 0.05, 0.0999, float("nan"), float("inf")])
def test_events_come_at_most_ten_times_a_second(
    both: Facilities, session: scistream.Session, period: float
) -> None:
    of_client = functools.partial(both.client.watch, "x", [both.prod.endpoint])
    for watch in (session.watch, of_client, aio.Session(session).watch):
        with pytest.raises(scistream.InvalidRequest, match=rf"period: .* from 0.1 .* {period:g}"):
            watch(period=period)
    with pytest.raises(TypeError, match="period"):
        session.watch(period="1")  # type: ignore[arg-type]


def test_a_watch_says_what_it_watches(session: scistream.Session) -> None:
    watch = session.watch(period=0.1)
    assert repr(watch) == f"<scistream.Watch of {session.uid}>"
    assert {next(watch).kind, next(watch).kind} == {"state"}
    session.release()
    list(watch)
    assert repr(watch) == f"<scistream.Watch of {session.uid}, ended>"
    watch.close()
    assert repr(watch) == f"<scistream.Watch of {session.uid}, closed>"


def test_closing_the_client_ends_its_watches(both: Facilities, tmp_path: Path) -> None:
    with listening() as (_, application):
        client = scistream.UserClient(roots=both.roots, state_dir=tmp_path)
        made = client.request(both.prod.endpoint, both.cons.endpoint, prod_app=[application])
        watch = made.watch()
        next(watch)
        threading.Timer(0.1, client.close).start()
        with pytest.raises(scistream.Cancelled):
            list(watch)
        both.client.release(made.uid, [both.prod.endpoint, both.cons.endpoint])


def test_a_watch_ends_whenever_its_session_does(both: Facilities) -> None:
    """Also when that is while it begins."""
    for _ in range(30):
        with both.client.request(
            both.prod.endpoint, both.cons.endpoint, prod_app=["127.0.0.1:9"]
        ) as made:
            watch = made.watch(period=0.1)
            made.release()
            try:
                for event in watch:
                    assert event.status.uid == made.uid
            except scistream.NotFound:
                pass  # it had ended before
