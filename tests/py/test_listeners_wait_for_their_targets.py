"""Between the reservation and the update: the ports are held, the WAN is refused, the LAN waits."""

from __future__ import annotations

import pytest

from applications import Application, connect, receive
from conftest import Pair
from deployed_peer import Peer, new_uid
from facility import LIMIT, Waiting, can_bind, split


def listeners(pair: Pair, request: Waiting) -> tuple[list[str], list[str]]:
    """The producer's and the consumer's, of a session that waits."""
    prod, cons = pair.user.sessions(request.uid)
    return prod["listeners"], cons["listeners"]


# Protocol: ports-held-from-reserve
def test_ports_are_held_from_the_reservation_on(pair: Pair) -> None:
    with pair.user.waiting("--num-conn", 3) as request:
        request.listening()
        producers, consumers = listeners(pair, request)
        assert len(producers) == len(consumers) == 3
        assert not any(can_bind(*split(listener)) for listener in producers + consumers)
        pair.user.release(request.uid)
        request.wait()


# Protocol: wan-refused-early
def test_the_wide_area_is_refused(pair: Pair) -> None:
    with pair.user.waiting() as request:
        request.listening()
        producers, _ = listeners(pair, request)
        with pytest.raises(ConnectionRefusedError):
            connect(producers[0])
        pair.user.release(request.uid)
        request.wait()


# Protocol: lan-waits-early
def test_the_local_area_waits_and_nothing_that_it_sent_is_lost(
    pair: Pair, echo_app: Application
) -> None:
    uid = new_uid()
    with Peer(pair.cons.endpoint, pair.cons.certificate) as peer:
        request = peer.req(uid, "CONS")
        peer.hello(uid, "CONS")
        (listener,) = request.result(LIMIT).listeners
        with connect(listener) as early:
            early.sendall(b"early")
            (session,) = pair.user.s2uc("status", uid, "--json", "--s2cs", pair.cons.endpoint).json[
                "sessions"
            ]
            assert session["connections_total"] == 0, "it is not even accepted"
            peer.update(uid, [echo_app.endpoint])
            assert receive(early, 5) == b"early"
        peer.release(uid)
