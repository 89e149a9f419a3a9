"""Relay forwards without sessions."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import scistream
from binding import address, eventually, is_free, listening, stream


def test_bytes_arrive_and_are_counted() -> None:
    with listening() as (server, target):
        with scistream.Relay([("127.0.0.1:0", target), ("127.0.1.1:0", target)]) as relay:
            assert [type(listener) for listener in relay.listeners] == [scistream.Endpoint] * 2
            for listener in relay.listeners:
                sent, received = stream(server, listener, 5_000_000)
                assert sent == received
            assert eventually(lambda: relay.stats().connections_active == 0)
            listeners = relay.listeners
        assert relay.stats().bytes_to_client == 10_000_000
        assert relay.stats().connections_total == 2
        assert relay.stats().errors == 0
        assert all(map(is_free, listeners))


def test_close_waits_for_a_drain() -> None:
    with (
        listening() as (server, target),
        scistream.Relay([("127.0.0.1:0", target)], threads=1) as relay,
        socket.create_connection(address(relay.listeners[0])) as client,
    ):
        server_side, _ = server.accept()
        with server_side:
            server_side.sendall(b"last words")
            server_side.shutdown(socket.SHUT_WR)
            client.shutdown(socket.SHUT_WR)
            relay.close(drain=10)
        assert client.recv(100) == b"last words"
        assert relay.stats().errors == 0


def test_close_resets_what_does_not_end() -> None:
    with (
        listening() as (server, target),
        scistream.Relay([("127.0.0.1:0", target)], threads=1) as relay,
        socket.create_connection(address(relay.listeners[0])) as client,
    ):
        server_side, _ = server.accept()
        with server_side:
            relay.close(drain=0.05)
            relay.close()
            client.settimeout(10)
            with pytest.raises(ConnectionResetError):
                client.recv(1)


def test_a_held_port_is_named() -> None:
    with (
        listening() as (_, held),
        pytest.raises(scistream.AlreadyExists, match=held.split(":")[1]),
    ):
        scistream.Relay([(held, "127.0.0.1:9")])


@pytest.mark.parametrize("pairs", [[], [("127.0.0.1", "127.0.0.1:9")], [("127.0.0.1:0", "x:0")]])
def test_bad_pairs_are_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(scistream.InvalidRequest):
        scistream.Relay(pairs)


@pytest.mark.parametrize(
    ("pairs", "what"),
    [
        ("127.0.0.1:0", "a str"),
        (None, "None"),
        (["ab"], "a list with a str"),
        ([("127.0.0.1:0",)], "a list with a tuple of 1"),
        ([("127.0.0.1:0", 9)], "a list with a tuple with an int"),
    ],
)
def test_what_is_no_list_of_pairs_is_a_type_error(pairs: Any, what: str) -> None:
    with pytest.raises(TypeError) as raised:
        scistream.Relay(pairs)
    assert str(raised.value) == f"pairs: a list of pairs of strings is wanted, not {what}"
