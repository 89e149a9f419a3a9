"""What a user has requested, also when nobody holds the sessions any more."""

from __future__ import annotations

import asyncio
import json
import pickle
import time
from pathlib import Path

import pytest

import scistream
from binding import Facilities, facilities
from scistream import aio

APPLICATION = ["127.0.0.1:9"]


def another_client(both: Facilities, folder: Path) -> scistream.UserClient:
    """As after a restart of the user's program."""
    return scistream.UserClient(roots=both.roots, state_dir=folder / "user")


def ends(both: Facilities) -> tuple[str, str]:
    """The control servers."""
    return both.prod.endpoint, both.cons.endpoint


def test_what_was_requested_can_be_found_and_ended_later(tmp_path: Path) -> None:
    with facilities(tmp_path) as both, another_client(both, tmp_path) as first:
        began = time.time()
        first.request(*ends(both), uid="older", prod_app=APPLICATION, labels={"job": "7"})
        first.request(*ends(both), uid="newer", prod_app=APPLICATION)
        first.close()
        with another_client(both, tmp_path) as later:
            sessions = {session.uid: session for session in later.sessions()}
            assert set(sessions) == {"older", "newer"}
            older = sessions["older"]
            assert began - 1 <= older.created <= time.time()
            assert older.servers == ends(both)
            assert isinstance(older.servers[0], scistream.Endpoint)
            assert {side.role for side in older.status} == {"PROD", "CONS"}
            assert {side.uid for side in older.status} == {"older"}
            assert older.status[0].labels == {"job": "7"}
            assert older.errors == ()
            assert pickle.loads(pickle.dumps(older)) == older
            assert hash(older) == hash(pickle.loads(pickle.dumps(older)))
            for session in later.sessions():
                later.release(session.uid)
            assert later.sessions() == ()
        assert both.nothing_reserved()


def test_a_session_that_waits_for_hello_is_among_them(tmp_path: Path) -> None:
    with facilities(tmp_path) as both, another_client(both, tmp_path) as client:
        with client.request(*ends(both), wait=False) as waiting:
            while not client.sessions():
                time.sleep(0.01)
            (session,) = client.sessions()
            assert session.uid == waiting.uid
        assert client.sessions() == ()


def test_a_facility_that_is_away_hides_no_session(tmp_path: Path) -> None:
    with facilities(tmp_path) as both, another_client(both, tmp_path) as client:
        client.request(*ends(both), uid="half", prod_app=APPLICATION)
        away = both.cons.endpoint
        both.cons.stop()
        (session,) = client.sessions()
        assert [side.role for side in session.status] == ["PROD"]
        (error,) = session.errors
        assert isinstance(error, scistream.Unavailable)
        assert away in str(error)
        assert error.uid == "half"
        assert isinstance(pickle.loads(pickle.dumps(session)).errors[0], scistream.Unavailable)


def test_what_has_ended_long_ago_is_forgotten(tmp_path: Path) -> None:
    with facilities(tmp_path) as both, another_client(both, tmp_path) as client:
        client.request(*ends(both), uid="gone", prod_app=APPLICATION)
        client.release("gone")
        prod, cons = ends(both)
        book = tmp_path / "user" / "sessions"
        for uid, created in [("old", 1e9), ("young", time.time()), ("odd", -(10**18))]:
            entry = {"uid": uid, "prod": prod, "cons": cons, "created": int(created)}
            (book / f"{uid}.json").write_text(json.dumps(entry))
        (book / "broken.json").write_text("{")
        (book / "nowhere.json").write_text('{"uid": "nowhere", "prod": "no endpoint"}')
        assert client.sessions() == ()
        left = {path.stem for path in book.iterdir()}
        assert left == {"young", "broken", "nowhere"}, "the young one may be on its way"


def test_an_event_loop_lists_them(tmp_path: Path) -> None:
    async def listed(both: Facilities) -> tuple[scistream.RequestedSession, ...]:
        async with (
            aio.UserClient(roots=both.roots, state_dir=tmp_path / "user") as client,
            client.request(*ends(both), uid="loop", prod_app=APPLICATION),
        ):
            return await client.sessions()

    with facilities(tmp_path) as both:
        (session,) = asyncio.run(listed(both))
        assert session.uid == "loop"
        assert len(session.status) == 2


def test_a_user_without_sessions_has_none(tmp_path: Path) -> None:
    with scistream.UserClient(state_dir=tmp_path / "empty") as client:
        assert client.sessions() == ()
    with pytest.raises(scistream.InvalidState):
        client.sessions()
