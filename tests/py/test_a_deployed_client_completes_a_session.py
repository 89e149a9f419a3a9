"""A client that knows only the original wire streams through our control servers."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from applications import Application, application, digest, echo, fetch, payload, sends
from conftest import Pair
from deployed_peer import MESSAGES, Peer, code, new_uid, set_up
from facility import LIMIT, Facility, eventually, split


@dataclass
class Peers:
    prod: Peer
    cons: Peer

    def release(self, uid: str) -> None:
        for peer in (self.prod, self.cons):
            assert list(peer.release(uid).listeners) == []


@pytest.fixture(scope="module")
def peers(pair: Pair) -> Iterator[Peers]:
    """TLS, with the server's own certificate as the only one that is trusted."""
    with (
        Peer(pair.prod.endpoint, pair.prod.certificate) as prod,
        Peer(pair.cons.endpoint, pair.cons.certificate) as cons,
    ):
        yield Peers(prod, cons)


# Protocol: wire-rpcs, wire-fields, hello-consumer-empty, deployed-client, no-client-certificate
# Protocol: data-unchanged
def test_bytes_arrive_as_they_were_sent(pair: Pair, peers: Peers) -> None:
    data = payload(20_000_000)
    uid = new_uid()
    with application(sends(data)) as app:
        producers, consumers = set_up(peers.prod, peers.cons, uid, [app.endpoint])
        assert len(producers) == len(consumers) == 1
        assert digest(fetch(consumers[0])) == digest(data)
        peers.release(uid)


# Protocol: req-answers-listeners, deployed-client
def test_several_connections(pair: Pair, peers: Peers, echo_app: Application) -> None:
    uid = new_uid()
    _, consumers = set_up(peers.prod, peers.cons, uid, [echo_app.endpoint], num_conn=5)
    assert len(set(consumers)) == 5
    assert [echo(listener) for listener in consumers] == [b"ping"] * 5
    peers.release(uid)


# Protocol: deployed-plaintext, option-values
def test_plaintext_as_of_1_0_0(tmp_path: Path, echo_app: Application) -> None:
    with Facility(tmp_path, tls=False) as facility, Peer(facility.endpoint, None) as peer:
        uid = new_uid()
        answer = peer.req(uid, "PROD")
        peer.hello(uid, "PROD", [echo_app.endpoint])
        listeners = list(answer.result(LIMIT).listeners)
        peer.update(uid, [echo_app.endpoint])
        assert echo(listeners[0]) == b"ping"
        peer.release(uid)


# Protocol: req-open-until-hello, req-answers-listeners, hello-answers-listeners, ports-of-range
# Protocol: wan-refused-early
def test_a_request_stays_open_until_hello(pair: Pair, peers: Peers, echo_app: Application) -> None:
    uid = new_uid()
    request = peers.prod.req(uid, "PROD", 2)
    eventually(lambda: pair.user.leased(pair.prod) == 2, "the listeners are bound")
    assert not request.done()
    greeting = peers.prod.hello(uid, "PROD", [echo_app.endpoint])
    assert greeting.message
    answer = request.result(LIMIT)
    assert list(answer.listeners) == list(greeting.listeners)
    assert list(answer.prod_listeners) == [echo_app.endpoint]
    assert {split(listener)[1] for listener in answer.listeners} <= set(pair.prod.ports)
    assert pair.prod.taken == [], "nobody is let in before there is a target"
    peers.prod.update(uid, [echo_app.endpoint])
    assert {split(listener)[1] for listener in answer.listeners} == set(pair.prod.taken)
    peers.prod.release(uid)


# Protocol: hello-before-req
def test_a_hello_before_its_request_is_held(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    uid = new_uid()
    hello = peers.prod.hello_later(uid, "PROD", [echo_app.endpoint])
    peers.prod.hello_later(new_uid(), "PROD", ["127.0.0.1:9"])  # a hello nobody waits for
    request = peers.prod.req(uid, "PROD")
    assert list(hello.result(LIMIT).listeners) == list(request.result(LIMIT).listeners)
    peers.prod.release(uid)


# Protocol: hello-held-two-seconds
def test_a_hello_without_a_request_is_not_found(peers: Peers) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        peers.prod.hello(new_uid(), "PROD", ["127.0.0.1:9"])
    assert code(refused.value) == "NOT_FOUND"


# Protocol: req-answers-all-addresses, extra-targets-ignored, update-answer
def test_all_five_addresses_of_a_hello_come_back(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    """As the deployed appctrl offers them, whatever `num_conn` is; what is left over is ignored."""
    uid = new_uid()
    offered = [echo_app.endpoint, *(f"127.0.0.1:{port}" for port in (5075, 5076, 37000, 47000))]
    request = peers.prod.req(uid, "PROD", 2)
    peers.prod.hello(uid, "PROD", offered)
    answer = request.result(LIMIT)
    assert len(answer.listeners) == 2
    assert list(answer.prod_listeners) == offered
    done = peers.prod.update(uid, offered)
    assert list(done.prod_listeners) == offered[:2]
    assert list(done.listeners) == list(answer.listeners)
    assert echo(answer.listeners[0]) == b"ping"
    peers.prod.release(uid)


# Protocol: listener-feeds-target, update-answer
def test_fewer_targets_than_listeners_are_used_in_turn(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    uid = new_uid()
    request = peers.prod.req(uid, "PROD", 3)
    peers.prod.hello(uid, "PROD", [echo_app.endpoint])
    answer = request.result(LIMIT)
    done = peers.prod.update(uid, [echo_app.endpoint], "PROD")
    assert list(done.prod_listeners) == [echo_app.endpoint] * 3
    assert [echo(listener) for listener in answer.listeners] == [b"ping"] * 3
    peers.prod.release(uid)


# Protocol: request-role-decides
def test_a_consumers_hello_may_say_producer(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    """The deployed user client sends both, with the consumer's receiver ports as its addresses."""
    uid = new_uid()
    request = peers.cons.req(uid, "CONS")
    peers.cons.hello(uid, "PROD", ["127.0.0.1:6001"])
    listeners = list(request.result(LIMIT).listeners)
    peers.cons.update(uid, [echo_app.endpoint], "")
    assert echo(listeners[0]) == b"ping"
    peers.cons.release(uid)


# Protocol: session-key, update-by-role, release-both-roles
def test_both_roles_of_one_id_on_one_server(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    uid = new_uid()
    _, consumers = set_up(peers.prod, peers.prod, uid, [echo_app.endpoint])
    assert len(pair.prod.taken) == 2
    assert echo(consumers[0]) == b"ping"
    peers.prod.release(uid)
    assert pair.prod.taken == []


# Protocol: update-to-waiting
def test_an_update_without_a_role_is_for_the_one_that_waits(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    """As of 1.0.0, where both roles of an id live on one server: first one, then the other."""
    uid = new_uid()
    producer = peers.prod.req(uid, "PROD")
    peers.prod.hello(uid, "PROD", [echo_app.endpoint])
    answer = producer.result(LIMIT)
    consumer = peers.prod.req(uid, "CONS")
    peers.prod.hello(uid, "CONS")
    (listener,) = consumer.result(LIMIT).listeners
    with pytest.raises(grpc.RpcError) as refused:
        peers.prod.update(uid, [echo_app.endpoint])
    assert code(refused.value) == "INVALID_ARGUMENT", "both wait: nobody can tell"
    peers.prod.update(uid, list(answer.prod_listeners), "PROD")
    done = peers.prod.update(uid, list(answer.listeners))
    assert list(done.listeners) == [listener], "it is the consumer's"
    assert echo(listener) == b"ping"
    peers.prod.release(uid)


# Protocol: request-role-decides
def test_a_wrong_role_does_not_keep_a_message_from_the_only_session(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    uid = new_uid()
    request = peers.cons.req(uid, "CONS")
    peers.cons.hello(uid, "", [])
    (listener,) = request.result(LIMIT).listeners
    assert list(peers.cons.update(uid, [echo_app.endpoint], "PROD").listeners) == [listener]
    assert echo(listener) == b"ping"
    peers.cons.release(uid)


# Protocol: hello-repeated, hello-other-addresses
def test_a_repeated_hello_brings_the_same_answer_and_no_other_addresses(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    uid = new_uid()
    request = peers.prod.req(uid, "PROD")
    first = peers.prod.hello(uid, "PROD", [echo_app.endpoint])
    assert list(request.result(LIMIT).prod_listeners) == [echo_app.endpoint]
    assert peers.prod.hello(uid, "PROD", [echo_app.endpoint]) == first
    with pytest.raises(grpc.RpcError) as refused:
        peers.prod.hello(uid, "PROD", ["127.0.0.1:9"])
    assert code(refused.value) == "ALREADY_EXISTS"
    assert list(peers.prod.req(uid, "PROD").result(LIMIT).prod_listeners) == [echo_app.endpoint]
    peers.prod.release(uid)


# Protocol: server-says-version
def test_a_server_of_this_project_says_so_before_it_answers(pair: Pair, peers: Peers) -> None:
    """Early, so that a client whose call breaks knows whether it may be repeated."""
    uid = new_uid()
    # A stream of one answer, because grpcio shows what comes before an answer of streams only.
    request = peers.prod.channel.unary_stream(
        "/scistream.Control/req", request_serializer=MESSAGES["Request"].SerializeToString
    )(MESSAGES["Request"](uid=uid, role="PROD", num_conn=1))
    said = dict(request.initial_metadata())
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", said["scistream-version"])
    assert request.is_active(), "it waits for its hello"
    peers.prod.release(uid)
    with pytest.raises(grpc.RpcError):
        next(request)


# Protocol: release-empty-answer
def test_a_release_is_answered_with_nothing(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    uid = new_uid()
    set_up(peers.prod, peers.cons, uid, [echo_app.endpoint])
    for peer in (peers.prod, peers.cons):
        assert peer.release(uid).SerializeToString() == b""


# Protocol: uid-without-dashes
def test_an_id_without_dashes(pair: Pair, peers: Peers, echo_app: Application) -> None:
    uid = uuid.uuid4().hex
    _, consumers = set_up(peers.prod, peers.cons, uid, [echo_app.endpoint])
    assert echo(consumers[0]) == b"ping"
    peers.release(uid)


# Protocol: cancelled-req-frees-id
def test_a_cancelled_request_does_not_block_its_id(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    uid = new_uid()
    first = peers.prod.req(uid, "PROD", 2)
    eventually(lambda: pair.user.leased(pair.prod) == 2, "the listeners are bound")
    first.cancel()
    second = peers.prod.req(uid, "PROD", 3)
    eventually(lambda: pair.user.leased(pair.prod) == 3, "the other request has its listeners")
    peers.prod.hello(uid, "PROD", [echo_app.endpoint])
    assert len(second.result(LIMIT).listeners) == 3
    peers.prod.release(uid)


# Protocol: id-again
def test_an_id_may_be_used_again_after_release(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    uid = new_uid()
    for count in (1, 2, 1):
        _, consumers = set_up(peers.prod, peers.cons, uid, [echo_app.endpoint], num_conn=count)
        assert echo(consumers[-1]) == b"ping"
        peers.release(uid)


# Protocol: same-request, other-values
def test_a_repeated_request_is_the_same_session(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    uid = new_uid()
    requests = [peers.prod.req(uid, "PROD", 2) for _ in range(3)]
    peers.prod.hello(uid, "PROD", [echo_app.endpoint])
    answers = [list(request.result(LIMIT).listeners) for request in requests]
    assert answers[0] == answers[1] == answers[2]
    assert pair.user.leased(pair.prod) == 2
    with pytest.raises(grpc.RpcError) as refused:
        peers.prod.req(uid, "PROD", 3).result(LIMIT)
    assert code(refused.value) == "ALREADY_EXISTS"
    peers.prod.release(uid)


# Protocol: many-reqs-wait
def test_many_waiting_requests_do_not_block_their_hellos(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    """Ten were enough to block a deployed server."""
    uids = [new_uid() for _ in range(24)]
    requests = [peers.prod.req(uid, "PROD") for uid in uids]
    eventually(lambda: pair.user.leased(pair.prod) == 24, "all of them wait")
    assert not any(request.done() for request in requests)
    for uid in reversed(uids):
        peers.prod.hello(uid, "PROD", [echo_app.endpoint])
    ports = {split(request.result(LIMIT).listeners[0])[1] for request in requests}
    assert len(ports) == 24
    for uid in uids:
        peers.prod.release(uid)


# Protocol: rate-unmarked
def test_a_deployed_rate_is_no_lease(pair: Pair, tmp_path: Path, echo_app: Application) -> None:
    """Its clients always send 10000, and nobody was ever refused for it."""
    with (
        Facility(tmp_path, "--capacity", 100) as facility,
        Peer(facility.endpoint, facility.certificate) as peer,
    ):
        for uid in ("one", "two"):
            request = peer.req(uid, "PROD", 1, rate=10_000)
            peer.hello(uid, "PROD", [echo_app.endpoint])
            assert request.result(LIMIT).listeners
        for uid in ("one", "two"):
            peer.release(uid)


# Protocol: amounts-range
@pytest.mark.parametrize(
    ("uid", "role", "num_conn", "rate"),
    [
        ("", "PROD", 1, 0),
        ("two words", "PROD", 1, 0),
        ("../../up", "PROD", 1, 0),
        ("x" * 129, "PROD", 1, 0),
        ("good", "BOTH", 1, 0),
        ("good", "", 1, 0),
        ("good", "PROD", 0, 0),
        ("good", "PROD", -1, 0),
        ("good", "PROD", 4097, 0),
        ("good", "PROD", 1, -1),
    ],
)
def test_a_bad_request_is_refused(
    peers: Peers, uid: str, role: str, num_conn: int, rate: int
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        peers.prod.req(uid, role, num_conn, rate).result(LIMIT)
    assert code(refused.value) == "INVALID_ARGUMENT"


# Protocol: hello-producer-addresses, update-needs-target
def test_an_empty_list_is_an_error_of_producers_and_updates(pair: Pair, peers: Peers) -> None:
    uid = new_uid()
    request = peers.prod.req(uid, "PROD")
    with pytest.raises(grpc.RpcError) as refused:
        peers.prod.hello(uid, "PROD", [])
    assert code(refused.value) == "INVALID_ARGUMENT"
    with pytest.raises(grpc.RpcError) as refused:
        peers.prod.update(uid, [], "PROD")
    assert code(refused.value) == "INVALID_ARGUMENT"
    peers.prod.release(uid)
    with pytest.raises(grpc.RpcError):
        request.result(LIMIT)


# Protocol: release-repeatable, unknown-id
def test_release_is_safe_to_repeat_and_unknown_ids_are_not_found(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    uid = new_uid()
    set_up(peers.prod, peers.cons, uid, [echo_app.endpoint])
    for _ in range(3):
        peers.release(uid)
    with pytest.raises(grpc.RpcError) as refused:
        peers.prod.release(new_uid())
    assert code(refused.value) == "NOT_FOUND"


# Protocol: sessions-apart
def test_sessions_of_many_users_do_not_meet(pair: Pair, peers: Peers) -> None:
    """Everybody gets the answers to their own questions, and their own data."""
    failures: list[str] = []

    def user(number: int) -> None:
        data = payload(300_000, seed=number)
        with application(sends(data)) as app:
            for _ in range(3):
                uid = new_uid()
                _, consumers = set_up(peers.prod, peers.cons, uid, [app.endpoint])
                if fetch(consumers[0]) != data:
                    failures.append(uid)
                peers.release(uid)

    threads = [threading.Thread(target=user, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
        assert not thread.is_alive()
    assert failures == []


# Protocol: unknown-call-unimplemented
def test_an_unknown_rpc_of_another_version_is_unimplemented(peers: Peers) -> None:
    call = peers.prod.channel.unary_unary("/scistream.Control/teleport")
    with pytest.raises(grpc.RpcError) as refused:
        call(b"", timeout=LIMIT)
    assert code(refused.value) == "UNIMPLEMENTED"


# Protocol: unknown-fields-ignored
def test_fields_of_a_later_version_are_ignored(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    """Each message carries one that nobody here knows: number 99, three bytes."""
    unknown = b"\x9a\x06\x03abc"

    def call(rpc: str, message: str, **fields: object) -> Any:
        return peers.prod.channel.unary_unary(
            f"/scistream.Control/{rpc}",
            request_serializer=lambda m: m.SerializeToString() + unknown,
            response_deserializer=MESSAGES[
                "AppResponse" if rpc == "hello" else "Response"
            ].FromString,
        ).future(MESSAGES[message](**fields))

    uid = new_uid()
    request = call("req", "Request", uid=uid, role="PROD", num_conn=1, rate=1)
    call("hello", "Hello", uid=uid, role="PROD", prod_listeners=[echo_app.endpoint]).result(LIMIT)
    (listener,) = request.result(LIMIT).listeners
    call("update", "UpdateTargets", uid=uid, remote_listeners=[echo_app.endpoint]).result(LIMIT)
    assert echo(listener) == b"ping"
    call("release", "Release", uid=uid).result(LIMIT)


# Protocol: sessions-apart
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_two_users_at_once_for_a_thousand_rounds(
    pair: Pair, peers: Peers, echo_app: Application
) -> None:
    """On a deployed server they got each other's answers."""
    failures: list[str] = []

    def user(number: int) -> None:
        own = [f"127.0.0.1:{7_000 + number}"]
        with Peer(pair.prod.endpoint, pair.prod.certificate) as peer:
            for _ in range(500):
                uid = new_uid()
                request = peer.req(uid, "PROD", number + 1)
                peer.hello(uid, "PROD", own)
                answer = request.result(LIMIT)
                if list(answer.prod_listeners) != own or len(answer.listeners) != number + 1:
                    failures.append(f"{number}: {answer}")
                peer.update(uid, own)
                peer.release(uid)

    threads = [threading.Thread(target=user, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(170)
        assert not thread.is_alive()
    assert failures == []
