"""`s2uc request --json`: one document on standard output, everything else on standard error."""

from __future__ import annotations

import re
import threading
import uuid
from pathlib import Path

import pytest

from applications import Application, connect, echo
from conftest import Pair
from facility import BIN, Client, Facility, can_bind, free_port, split

DOCUMENTED = {"uid", "listeners", "prod_listeners", "setup_ms", "transport", "states"}


# Protocol: random-id, listener-ip, two-networks, trust-named
def test_a_success_has_the_documented_keys(pair: Pair, echo_app: Application) -> None:
    with pair.user.session("--prod-app", echo_app.endpoint, "--num-conn", 2) as document:
        assert document.keys() >= DOCUMENTED
        assert uuid.UUID(document["uid"]).version == 4
        assert document["transport"] == "tls"
        assert 0 < document["setup_ms"] < 10_000
        for facility, listeners in (
            (pair.cons, document["listeners"]),
            (pair.prod, document["prod_listeners"]),
        ):
            assert [split(listener)[0] for listener in listeners] == [facility.host] * 2
            assert sorted(split(listener)[1] for listener in listeners) == facility.taken


def test_states_and_key_files_go_to_standard_error(pair: Pair, echo_app: Application) -> None:
    done = pair.user.s2uc("request", "--json", *pair.user.places, "--prod-app", echo_app.endpoint)
    document = done.json
    pair.user.release(document["uid"])
    first, *states = done.err.splitlines()
    assert first == (
        f"session {document['uid']}; application keys: "
        f"{document['prod_key_file']}, {document['cons_key_file']}"
    )
    passed = ["reserving", "provisioning", "updating", "idle"]
    assert states == [f"Current state: {state}" for state in passed]
    assert [entry["state"] for entry in document["states"]] == passed
    times = [entry["ms"] for entry in document["states"]]
    assert times == sorted(times)


# Protocol: app-key-each, key-file, key-files-removed
def test_key_files_are_private_and_hold_64_hexadecimal_digits(
    pair: Pair, echo_app: Application
) -> None:
    with pair.user.session("--prod-app", echo_app.endpoint) as document:
        keys = [Path(document[f"{role}_key_file"]) for role in ("prod", "cons")]
        texts = [key.read_text() for key in keys]
        assert [oct(key.stat().st_mode & 0o777) for key in keys] == ["0o600"] * 2
        assert all(re.fullmatch(r"[0-9a-f]{64}\n", text) for text in texts)
        assert texts[0] != texts[1]
        assert oct(keys[0].parent.stat().st_mode & 0o777) == "0o700"
    assert not any(key.exists() for key in keys), "a released session's keys are forgotten"


@pytest.mark.parametrize("num_conn", [1, 40])
def test_every_listener_reaches_the_application(
    pair: Pair, echo_app: Application, num_conn: int
) -> None:
    with pair.user.session("--prod-app", echo_app.endpoint, "--num-conn", num_conn) as document:
        assert len(set(document["listeners"])) == num_conn
        assert len(set(document["prod_listeners"])) == num_conn
        for number, listener in enumerate(document["listeners"]):
            message = f"listener {number}".encode()
            assert echo(listener, message) == message


def test_a_failure_is_one_document_too(pair: Pair) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    done = pair.user.s2uc(
        "request", "--json", "--prod", pair.prod.endpoint, "--cons", nobody, "--prod-app", nobody
    )
    error = done.json["error"]
    assert (done.rc, error["exit_code"], error["cause"]) == (5, 5, "unavailable")
    assert nobody in error["message"]
    assert error["message"] in done.err


def test_a_usage_error_is_one_document_too(pair: Pair) -> None:
    done = pair.user.s2uc("request", "--json", *pair.user.places, "--num-conn", "several")
    assert done.rc == 2
    assert done.json["error"]["cause"] == "invalid_argument"


# Protocol: failure-releases-both
def test_a_failed_request_leaves_nothing(pair: Pair, echo_app: Application) -> None:
    done = pair.user.s2uc(
        "request", "--json", *pair.user.places, "--prod-app", echo_app.endpoint, "--num-conn", 4097
    )
    assert done.rc == 2
    done = pair.user.s2uc(
        "request", "--json", *pair.user.places, "--prod-app", echo_app.endpoint, "--num-conn", 49
    )
    assert done.rc == 8
    assert (pair.prod.taken, pair.cons.taken) == ([], [])
    assert all(can_bind(pair.prod.host, port) for port in pair.prod.ports)
    assert list((pair.user.state / "keys").iterdir()) == []
    assert list((pair.user.state / "sessions").iterdir()) == []


def test_without_json_the_consumers_addresses_are_printed(
    pair: Pair, echo_app: Application
) -> None:
    done = pair.user.s2uc("request", *pair.user.places, "--prod-app", echo_app.endpoint)
    assert done.rc == 0, done.err
    uid = re.search(r"^uid (\S+)$", done.out, re.MULTILINE)
    listener = re.search(r"^  (127\.\S+:\d+)$", done.out, re.MULTILINE)
    assert uid
    assert listener
    assert re.search(r"^set up in [0-9.]+ ms$", done.out, re.MULTILINE)
    assert "Current state: reserving\n" in done.out
    assert echo(listener[1]) == b"ping"
    pair.user.release(uid[1])


# Protocol: added-request-fields
def test_labels_and_a_chosen_id_are_kept(pair: Pair, echo_app: Application) -> None:
    flags = ["--uid", "run-7", "--label", "job=42", "--label", "experiment=x=y", "--rate", "100"]
    with pair.user.session("--prod-app", echo_app.endpoint, *flags) as document:
        assert document["uid"] == "run-7"
        for session in pair.user.sessions("run-7"):
            assert session["labels"] == {"job": "42", "experiment": "x=y"}
            assert session["rate_mbps"] == 100


# Protocol: lifetime-for
def test_a_session_ends_by_itself_after_for(pair: Pair, echo_app: Application) -> None:
    document = pair.user.request("--prod-app", echo_app.endpoint, "--for", "300ms")
    with pair.user.start("s2uc", "watch", document["uid"], *pair.user.places) as watch:
        assert watch.wait() == 0
    assert pair.user.s2uc("status", document["uid"], *pair.user.places).rc == 7


# Protocol: idle-end, quiet-connection-lives, quiet-stream
def test_a_session_without_a_connection_ends_after_the_idle_limit(
    tmp_path: Path, echo_app: Application
) -> None:
    with (
        Facility(tmp_path, "--idle-limit", "1s") as prod,
        Facility(tmp_path, "--idle-limit", "1s") as cons,
    ):
        user = Client(tmp_path, prod, cons)
        document = user.request("--prod-app", echo_app.endpoint)
        with user.start("s2uc", "watch", document["uid"], "--json") as watch:
            with connect(document["listeners"][0]) as open_one:
                open_one.sendall(b"x")
                assert open_one.recv(1) == b"x"
                assert not threading.Event().wait(1.5)  # longer than the limit
                open_one.sendall(b"y")
                assert open_one.recv(1) == b"y"
            watch.line('no connection for 1 s.*"event":"gone"')
            assert watch.wait() == 0, watch.err
        assert prod.taken == cons.taken == []


# Protocol: version-lines
def test_the_version_is_printed() -> None:
    from facility import run

    assert re.fullmatch(r"s2uc, version \d+\.\d+\.\d+\S*\n", run(BIN / "s2uc", "--version").out)
    assert re.fullmatch(r"s2cs, version: \d+\.\d+\.\d+\S*\n", run(BIN / "s2cs", "--version").out)
