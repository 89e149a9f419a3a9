"""`--session-file`: id, servers and key files are known before anything waits."""

from __future__ import annotations

import json

import pytest

from conftest import Pair


def test_it_is_written_privately_while_the_request_still_waits(pair: Pair) -> None:
    file = pair.user.folder / "session.json"
    with pair.user.waiting("--session-file", file) as request:
        assert request.process.poll() is None
        assert oct(file.stat().st_mode & 0o777) == "0o600"
        session = json.loads(file.read_text())
        assert session["uid"] == request.uid
        assert session["prod"] == pair.prod.endpoint
        assert session["cons"] == pair.cons.endpoint
        assert session["prod_key_file"] == str(request.prod_key)
        assert session["cons_key_file"] == str(request.cons_key)
        for key in (request.prod_key, request.cons_key):
            assert oct(key.stat().st_mode & 0o777) == "0o600"
        assert request.out == ""
        request.listening()
        pair.user.release(request.uid)
        assert request.wait() != 0
    assert not file.exists(), "it would name a session that is not there"


def test_it_replaces_an_older_one_that_others_could_read(pair: Pair) -> None:
    file = pair.user.folder / "older.json"
    file.write_text(json.dumps({"uid": "older", "prod": "p:1", "cons": "c:2"}))
    file.chmod(0o644)
    with pair.user.waiting("--session-file", file) as request:
        assert json.loads(file.read_text())["uid"] == request.uid
        assert oct(file.stat().st_mode & 0o777) == "0o600"
        request.listening()
        pair.user.release(request.uid)
        request.wait()


@pytest.mark.parametrize("before", ["", '{"uid": "older", "prod": "p:1", "cons": "c:2"}\n'])
def test_a_request_that_fails_leaves_what_was_there(pair: Pair, before: str) -> None:
    file = pair.user.folder / "before.json"
    file.write_text(before)
    done = pair.user.s2uc(
        "request", *pair.user.places, "--num-conn", 1000, "--prod-app", "127.0.0.1:9",
        "--session-file", file,
    )  # fmt: skip
    assert done.rc == 8, done.err
    assert file.read_text() == before


def test_a_live_session_keeps_its_file_when_a_second_request_is_refused(pair: Pair) -> None:
    file = pair.user.folder / "live.json"
    flags = ["--uid", "live", "--prod-app", "127.0.0.1:9", "--session-file", file]
    with pair.user.session(*flags):
        written = file.read_text()
        done = pair.user.s2uc("request", *pair.user.places, *flags, "--num-conn", 2)
        assert done.rc == 9, done.err
        assert file.read_text() == written


def test_a_link_leads_to_it_afterwards_as_well(pair: Pair) -> None:
    file, link = pair.user.folder / "far.json", pair.user.folder / "near.json"
    link.symlink_to(file)
    for flags, rc in ((["--num-conn", 1000], 8), ([], 0)):
        done = pair.user.s2uc(
            "request", *pair.user.places, "--uid", "linked", "--prod-app", "127.0.0.1:9",
            "--session-file", link, *flags,
        )  # fmt: skip
        assert done.rc == rc, done.err
        assert link.is_symlink()
        assert file.exists() == (rc == 0)
    pair.user.release("linked")


def test_a_file_that_is_something_else_is_left_alone(pair: Pair) -> None:
    file = pair.user.folder / "notes.json"
    for notes in ("precious notes", "{}", "[1]"):
        file.write_text(notes)
        done = pair.user.s2uc(
            "request", *pair.user.places, "--prod-app", "127.0.0.1:9", "--session-file", file
        )
        assert done.rc == 2
        assert str(file) in done.err
        assert file.read_text() == notes
    assert pair.user.leased(pair.prod) == 0


def test_a_place_that_cannot_be_written_fails_before_anything_is_reserved(pair: Pair) -> None:
    done = pair.user.s2uc(
        "request", "--json", *pair.user.places, "--session-file", "/nowhere/session.json"
    )
    assert done.rc != 0
    assert "/nowhere/session.json" in done.json["error"]["message"]
