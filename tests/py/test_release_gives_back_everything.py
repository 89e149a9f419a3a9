"""`s2uc release`: ports come back, live connections are cut, and repeating it is safe."""

from __future__ import annotations

import contextlib
import queue
import socket

import pytest

from applications import Application, application, connect, receive, receive_all
from conftest import Pair
from facility import Client, can_bind, split


def listeners(document: dict[str, list[str]]) -> list[tuple[str, int]]:
    return [split(text) for text in document["listeners"] + document["prod_listeners"]]


# Protocol: release-frees-ports
def test_every_port_can_be_bound_afterwards(pair: Pair, echo_app: Application) -> None:
    document = pair.user.request("--prod-app", echo_app.endpoint, "--num-conn", 5)
    places = listeners(document)
    assert len(places) == 10
    assert not any(can_bind(*place) for place in places)
    pair.user.release(document["uid"])
    assert all(can_bind(*place) for place in places)


# Protocol: release-cuts, release-is-reset
def test_live_connections_are_reset_at_both_applications(pair: Pair) -> None:
    seen: queue.Queue[BaseException | bytes] = queue.Queue()

    def holds(connection: socket.socket) -> None:
        connection.sendall(b"hello")
        try:
            seen.put(connection.recv(1))
        except OSError as error:
            seen.put(error)

    with application(holds) as app:
        document = pair.user.request("--prod-app", app.endpoint)
        with connect(document["listeners"][0]) as connection:
            assert receive(connection, 5) == b"hello"
            pair.user.release(document["uid"])
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        at_producer = seen.get(timeout=15)
    assert isinstance(at_producer, ConnectionResetError), at_producer


# Protocol: release-is-reset
def test_a_full_pipeline_is_reset_too(pair: Pair) -> None:
    """A cut must not look like the end of the data, however much is in flight."""

    def floods(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(bytes(1 << 20))

    with application(floods) as app:
        document = pair.user.request("--prod-app", app.endpoint)
        with connect(document["listeners"][0]) as connection:
            receive(connection, 1 << 20)
            pair.user.release(document["uid"])
            with pytest.raises(ConnectionResetError):
                receive_all(connection)


# Protocol: release-cuts
def test_nobody_listens_any_more(pair: Pair, echo_app: Application) -> None:
    document = pair.user.request("--prod-app", echo_app.endpoint)
    pair.user.release(document["uid"])
    with pytest.raises(ConnectionRefusedError):
        connect(document["listeners"][0])


# Protocol: release-line, release-repeatable
def test_repeating_it_is_no_error_where_the_session_was(pair: Pair, echo_app: Application) -> None:
    document = pair.user.request("--prod-app", echo_app.endpoint)
    uid = document["uid"]
    pair.user.release(uid)
    for facility in (pair.prod, pair.cons):
        done = pair.user.s2uc("release", uid, "--s2cs", facility.endpoint)
        assert (done.rc, done.out) == (0, "Release completed\n"), done.err


# Protocol: release-remembered
def test_it_finds_the_session_without_being_told_where(pair: Pair, echo_app: Application) -> None:
    document = pair.user.request("--prod-app", echo_app.endpoint)
    done = pair.user.s2uc("release", document["uid"], "--json")
    assert done.json == {"uid": document["uid"], "released": True}
    again = pair.user.s2uc("release", document["uid"])
    assert again.rc == 7, "it is forgotten here"


# Protocol: release-failure-line, unknown-id
def test_an_unknown_id_is_not_found(pair: Pair) -> None:
    done = pair.user.s2uc("release", "nobody-knows-this", *pair.user.places)
    assert done.rc == 7
    assert "nobody-knows-this" in done.err
    assert done.out == "Error during release: no session has the id nobody-knows-this\n"


# Protocol: release-command
def test_one_facility_alone_may_be_released(pair: Pair, echo_app: Application) -> None:
    document = pair.user.request("--prod-app", echo_app.endpoint)
    done = pair.user.s2uc("release", document["uid"], "--s2cs", pair.prod.endpoint)
    assert done.rc == 0, done.err
    assert pair.prod.taken == []
    assert len(pair.cons.taken) == 1
    done = pair.user.s2uc("release", document["uid"], *pair.user.places)
    assert done.rc == 0, done.err


# Protocol: id-again
def test_an_id_may_be_used_again(pair: Pair, echo_app: Application) -> None:
    for _ in range(3):
        document = pair.user.request("--prod-app", echo_app.endpoint, "--uid", "again")
        assert document["uid"] == "again"
        pair.user.release("again")


# Protocol: release-by-anyone
def test_another_client_that_knows_the_id_may_release(
    pair: Pair, echo_app: Application, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Client(tmp_path_factory.mktemp("other"), pair.prod, pair.cons)
    document = pair.user.request("--prod-app", echo_app.endpoint)
    other.release(document["uid"])
    assert pair.user.s2uc("status", document["uid"]).rc == 7
    pair.user.s2uc("list")  # forgets it here as well


# Protocol: release-ends-waiting
def test_releasing_while_the_request_waits_ends_the_request(pair: Pair) -> None:
    with pair.user.waiting() as request:
        request.listening()
        done = pair.user.s2uc("release", request.uid, *pair.user.places)
        assert done.rc == 0, done.err
        assert request.wait() != 0
