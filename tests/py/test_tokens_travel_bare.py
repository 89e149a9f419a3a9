"""The one secret that may stand in a command line, and where it goes from there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Pair
from deployed_peer import MESSAGES, DeployedServer, Peer, deployed_server, new_uid
from facility import LIMIT, Client

TOKEN = "tok3n-0f-a-user"


@pytest.fixture
def theirs() -> Iterator[tuple[DeployedServer, list[tuple[str, str]]]]:
    """A deployed server, and the metadata of the last hello."""
    said: list[tuple[str, str]] = []
    with deployed_server(lambda _: "127.0.0.1:9") as server:
        server.before["hello"] = lambda context: said.extend(context.invocation_metadata())
        yield server, said


def mock(user: Client, server: str, token: str) -> tuple[int, str]:
    """Exit code and everything said by `appctrl mock` of a producer."""
    done = user.appctrl("mock", "mine", server, token, "PROD", "--ssl=False")
    return done.rc, done.out + done.err


# Protocol: token-bare, token-not-shown
def test_a_token_is_sent_as_it_is_and_never_shown(
    tmp_path: Path, theirs: tuple[DeployedServer, list[tuple[str, str]]]
) -> None:
    server, said = theirs
    server._hellos["mine"] = None
    rc, shown = mock(Client(tmp_path), server.endpoint, TOKEN)
    assert rc == 0, shown
    assert dict(said)["authorization"] == TOKEN
    assert TOKEN not in shown


# Protocol: token-none
@pytest.mark.parametrize("word", ["INVALID_TOKEN", "-"])
def test_the_word_for_no_token_is_none(
    tmp_path: Path, theirs: tuple[DeployedServer, list[tuple[str, str]]], word: str
) -> None:
    server, said = theirs
    server._hellos["mine"] = None
    rc, shown = mock(Client(tmp_path), server.endpoint, word)
    assert rc == 0, shown
    assert said
    assert "authorization" not in dict(said)


# Protocol: token-not-over-plaintext
def test_over_plaintext_it_does_not_leave_this_machine(tmp_path: Path) -> None:
    rc, shown = mock(Client(tmp_path), "192.0.2.1:5000", TOKEN)
    assert rc == 2, shown
    assert "plaintext" in shown
    assert TOKEN not in shown


# Protocol: authorization-unread, token-not-shown
@pytest.mark.parametrize("token", [TOKEN, f"Bearer {TOKEN}", "INVALID_TOKEN"])
def test_our_control_server_takes_any_and_keeps_none(pair: Pair, token: str) -> None:
    """It cannot check one; clients that send what they have are served all the same."""
    uid = new_uid()
    with Peer(pair.prod.endpoint, pair.prod.certificate) as peer:
        hello = peer.channel.unary_unary(
            "/scistream.Control/hello",
            request_serializer=MESSAGES["Hello"].SerializeToString,
            response_deserializer=MESSAGES["AppResponse"].FromString,
        )
        request = peer.req(uid, "PROD")
        message = MESSAGES["Hello"](uid=uid, role="PROD", prod_listeners=["127.0.0.1:9"])
        answer = hello(message, metadata=[("authorization", token)], timeout=LIMIT)
        assert list(answer.listeners) == list(request.result(LIMIT).listeners)
        peer.release(uid)
    assert TOKEN not in pair.prod.logs()
