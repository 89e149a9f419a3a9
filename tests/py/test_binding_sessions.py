"""What a user has requested, also when nobody holds the sessions any more."""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import threading
import time
from pathlib import Path

import pytest

import scistream
from binding import Facilities, eventually, facilities
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
            assert eventually(lambda: bool(client.sessions()))
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
        copy = {"uid": "young", "prod": prod, "cons": cons, "created": 1}
        (book / "copy.json").write_text(json.dumps(copy))
        (book / "..json").write_text(json.dumps(copy | {"uid": ".."}))
        (book / "broken.json").write_text("{")
        (book / "nowhere.json").write_text('{"uid": "nowhere", "prod": "no endpoint"}')
        assert client.sessions() == ()
        left = {path.stem for path in book.iterdir()}
        assert left == {"young", "copy", ".", "broken", "nowhere"}, "who is young may be on its way"


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


def test_a_state_folder_that_is_a_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        scistream.UserClient(state_dir=tmp_path / "file") as client,
        pytest.raises(scistream.InvalidRequest, match="file' is not a folder"),
    ):
        client.sessions()


def test_a_user_without_sessions_has_none(tmp_path: Path) -> None:
    with scistream.UserClient(state_dir=tmp_path / "empty") as client:
        assert client.sessions() == ()
    with pytest.raises(scistream.InvalidState):
        client.sessions()


def test_a_copy_of_a_file_changes_nothing(tmp_path: Path) -> None:
    with facilities(tmp_path) as both, another_client(both, tmp_path) as client:
        client.request(*ends(both), uid="one", prod_app=APPLICATION)
        book = tmp_path / "user" / "sessions"
        entry = json.loads((book / "one.json").read_text())
        for name in ("a-copy", "one (copy)"):
            (book / f"{name}.json").write_text(json.dumps(entry | {"created": 1}))
        assert [session.uid for session in client.sessions()] == ["one"]
        client.release("one")
        assert both.nothing_reserved()


def test_they_come_in_the_order_of_their_requests(tmp_path: Path) -> None:
    with facilities(tmp_path) as both, another_client(both, tmp_path) as client:
        for uid in ("c", "a", "d", "b"):
            client.request(*ends(both), uid=uid, prod_app=APPLICATION)
        assert [session.uid for session in client.sessions()] == ["c", "a", "d", "b"]


@pytest.mark.parametrize("waits", [True, False])
def test_one_that_is_requested_meanwhile_is_not_forgotten(tmp_path: Path, waits: bool) -> None:
    """The listing waits for a server that says nothing, and finds an old entry of the same id.

    So it is while the new session still waits for its applications.
    """
    with (
        facilities(tmp_path) as both,
        another_client(both, tmp_path) as client,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        prod, cons = ends(both)
        book = tmp_path / "user" / "sessions"
        book.mkdir(parents=True)
        stale = {"uid": "nightly", "prod": prod, "cons": cons, "created": 1}
        (book / "nightly.json").write_text(json.dumps(stale))
        (tmp_path / "user" / "keys").mkdir()
        key = tmp_path / "user" / "keys" / "nightly.prod.key"
        key.write_text("00" * 32)
        nobody = "{}:{}".format(*silent.getsockname())
        (book / "waits.json").write_text(json.dumps({"uid": "waits", "prod": nobody}))
        listed: list[tuple[scistream.RequestedSession, ...]] = []
        listing = threading.Thread(target=lambda: listed.append(client.sessions()))
        listing.start()
        asked, _ = silent.accept()
        application = APPLICATION if waits else []
        session = client.request(prod, cons, uid="nightly", prod_app=application, wait=waits)
        assert eventually(lambda: both.client.info(prod).sessions == 1)
        asked.close()
        silent.close()
        listing.join(30)
        # The servers may have been asked before they had it, or afterwards.
        assert {session.uid for session in listed[0]} - {"nightly"} == {"waits"}
        assert (book / "nightly.json").exists()
        assert key.exists()
        (book / "waits.json").unlink()
        assert [session.uid for session in client.sessions()] == ["nightly"]
        session.release()
        assert eventually(both.nothing_reserved)


def test_a_half_that_lives_is_not_forgotten_with_the_other(tmp_path: Path) -> None:
    with facilities(tmp_path) as both, another_client(both, tmp_path) as client:
        prod, cons = ends(both)
        client.request(prod, cons, uid="two", prod_app=APPLICATION)
        client.release("two", servers=[prod])
        (left,) = client.sessions()
        assert [side.role for side in left.status] == ["CONS"]
        client.release("two")
        assert client.sessions() == ()
        assert both.nothing_reserved()
        assert not list((tmp_path / "user" / "sessions").iterdir())


class Badge(scistream.Authenticator):
    """Knows two people."""

    def identify(self, token: str) -> scistream.Identity:
        if token not in ("badge", "bob"):
            raise scistream.AuthError("who is that?")
        return scistream.Identity("alice" if token == "badge" else "bob")


def test_one_login_does_not_forget_the_sessions_of_another(tmp_path: Path) -> None:
    state = tmp_path / "user"
    with (
        facilities(tmp_path, authenticator=Badge()) as both,
        scistream.UserClient(roots=both.roots, state_dir=state, token="badge") as alice,
        scistream.UserClient(roots=both.roots, state_dir=state, token="bob") as bob,
    ):
        alice.request(*ends(both), uid="hers", prod_app=APPLICATION)
        book = state / "sessions" / "hers.json"
        entry = json.loads(book.read_text())
        an_hour_ago = {"created": entry["created"] - 3600, "asked": entry["asked"] - 3600}
        book.write_text(json.dumps(entry | an_hour_ago))
        assert bob.sessions() == ()
        assert [session.uid for session in alice.sessions()] == ["hers"]
        alice.release("hers")


def test_a_refusal_names_the_server_that_refuses(tmp_path: Path) -> None:
    state = tmp_path / "user"
    with (
        facilities(tmp_path, authenticator=Badge()) as both,
        scistream.UserClient(roots=both.roots, state_dir=state, token="badge") as alice,
        scistream.UserClient(roots=both.roots, state_dir=state, token="none") as nobody,
    ):
        alice.request(*ends(both), uid="hers", prod_app=APPLICATION)
        (session,) = nobody.sessions()
        assert session.status == ()
        assert [type(error) for error in session.errors] == [scistream.AuthError] * 2
        for server, error in zip(ends(both), session.errors):
            assert str(error).startswith(f"{server}: ")
        alice.release("hers")


def test_closing_the_client_ends_a_listing(tmp_path: Path) -> None:
    with (
        scistream.UserClient(state_dir=tmp_path) as client,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        (tmp_path / "sessions").mkdir()
        nobody = "{}:{}".format(*silent.getsockname())
        (tmp_path / "sessions" / "one.json").write_text(json.dumps({"uid": "one", "prod": nobody}))
        ended: list[BaseException] = []

        def listing() -> None:
            try:
                client.sessions()
            except scistream.ScistreamError as error:
                ended.append(error)

        thread = threading.Thread(target=listing)
        thread.start()
        with silent.accept()[0]:
            client.close()
            thread.join(30)
        assert [type(error) for error in ended] == [scistream.Cancelled]
