"""Connections, messages and hellos that somebody sends to be in the way of others."""

from __future__ import annotations

import contextlib
import gc
import re
import secrets
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

import http2
from callers import RPCS, Caller, ended, knows, proven, set_up, stranger
from deployed_peer import new_uid
from facility import LIMIT, Facility, eventually, own_address, split
from openid import OpenIdProvider

MIB = 1 << 20


@pytest.fixture(scope="module")
def facility(
    tmp_path_factory: pytest.TempPathFactory, openid_provider: OpenIdProvider
) -> Iterator[Facility]:
    folder = tmp_path_factory.mktemp("facility")
    with Facility(folder, *knows(openid_provider)) as facility:
        yield facility


@pytest.fixture(scope="module")
def alice(facility: Facility, openid_provider: OpenIdProvider) -> Iterator[Caller]:
    with Caller(facility, openid_provider.mint("alice")) as alice:
        alice("info")
        yield alice


@pytest.fixture
def newcomer(facility: Facility, openid_provider: OpenIdProvider) -> Iterator[Caller]:
    """A user on a connection that was not there before."""
    with Caller(facility, openid_provider.mint("alice")) as caller:
        yield caller


def resident(facility: Facility) -> int:
    """Bytes of memory that the control server has."""
    status = Path(f"/proc/{facility.command.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def descriptors(facility: Facility) -> int:
    return len(list(Path(f"/proc/{facility.command.pid}/fd").iterdir()))


# ---- connections -------------------------------------------------------------------------------


def client_hello(facility: Facility) -> bytes:
    """What a TLS client sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    trust = ssl.create_default_context(cafile=str(facility.certificate))
    tls = trust.wrap_bio(incoming, outgoing, server_hostname=facility.host)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.slow
def test_connections_that_say_little_keep_nobody_out(
    facility: Facility, alice: Caller, newcomer: Caller
) -> None:
    """And are closed after a while."""
    start = client_hello(facility)
    before = descriptors(facility)
    places: list[str] = []
    with contextlib.ExitStack() as stack:

        def connect() -> socket.socket:
            return stack.enter_context(connect_from(places[0], facility))

        silent, slow = [], []
        for _ in range(5):
            places.insert(0, own_address())
            silent += [connect() for _ in range(60)]
            slow += [connect() for _ in range(40)]
        for number in range(20):
            for connection in slow:
                connection.sendall(start[number : number + 1])
            if number % 5 == 0:
                assert alice.code("info") == "OK"
        assert newcomer.code("info") == "OK"
        # Past TLS, and then nothing, or half a frame.
        greeted = [stack.enter_context(http2.connect(facility)) for _ in range(20)]
        for connection in greeted[:10]:
            connection.sendall(b"\0\0\x40\1")
        set_up(newcomer, uid := new_uid(), "PROD", ["127.0.0.1:9"])
        newcomer("release", uid=uid)
        for connection in (silent[0], silent[-1], slow[0], slow[-1]):
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(100):
                    pass
        eventually(lambda: descriptors(facility) < before + 50, "none of them is left")
        assert alice.code("info") == "OK"


def test_whoever_connects_too_often_is_not_heard_for_a_while(
    facility: Facility, alice: Caller, newcomer: Caller
) -> None:
    place = own_address()
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(connect_from(place, facility)) for _ in range(400)]
        last = crowd[-1]
        with contextlib.suppress(ConnectionResetError):
            assert last.recv(1) == b"", "it is closed"
        facility.command.line(f"{place} connects to the control port too often", "err")
        assert alice.code("info") == newcomer.code("info") == "OK"
        crowd[0].settimeout(0)
        with pytest.raises(BlockingIOError):
            crowd[0].recv(1)


# Protocol: connections-an-address
@pytest.mark.slow
def test_one_address_keeps_so_many_connections_and_gets_them_back(
    facility: Facility, newcomer: Caller
) -> None:
    place, most = own_address(), 500
    with contextlib.ExitStack() as stack:
        kept: list[ssl.SSLSocket] = []

        def one_more() -> bool:
            """Whether it came past TLS; it is idle then."""
            try:
                kept.append(stack.enter_context(http2.connect(facility, place)))
            except OSError:
                return False
            return True

        # As fast as one address may: it has to wait in between.
        deadline = time.monotonic() + 60
        while len(kept) < most and time.monotonic() < deadline:
            if not one_more():
                time.sleep(0.02)
        assert len(kept) == most
        assert not any(one_more() for _ in range(20))
        assert newcomer.code("info") == "OK"
        for connection in kept[:5]:
            connection.close()
        eventually(one_more, "there is room again")


def connect_from(place: str, facility: Facility) -> socket.socket:
    return socket.create_connection(split(facility.endpoint), LIMIT, (place, 0))


# ---- messages ----------------------------------------------------------------------------------


# Protocol: compression-refused
@pytest.mark.parametrize("algorithm", ["Gzip", "Deflate"])
def test_a_compressed_message_is_refused_unread(
    facility: Facility, alice: Caller, openid_provider: OpenIdProvider, algorithm: str
) -> None:
    """One that would be 64 MiB takes up no such memory, whoever sends it."""
    bomb = bytes(64 * MIB)
    before = resident(facility)
    compression = getattr(grpc.Compression, algorithm)
    for token in ("", openid_provider.mint("alice")):
        with stranger(facility, token, compression=compression) as caller:
            for rpc in ("list", "hello"):
                assert caller.raw(rpc, bomb) in ("UNIMPLEMENTED", "RESOURCE_EXHAUSTED")
                assert resident(facility) < before + 16 * MIB
            # A small one is no better.
            assert caller.raw("list", b"\n\1a" * 1_000) == "UNIMPLEMENTED"
    assert alice.code("info") == "OK"


# Protocol: message-size
def test_a_message_has_an_end(facility: Facility, alice: Caller) -> None:
    with stranger(facility) as caller:
        for size in (2 * MIB + 1, 8 * MIB):
            assert caller.raw("list", bytes(size)) == "RESOURCE_EXHAUSTED"
    assert alice.code("list", uids=["x" * 128] * 10_000) == "OK"


# Protocol: message-size
def test_messages_without_an_end_do_not_fill_the_memory(facility: Facility, alice: Caller) -> None:
    """However much strangers have to send, and however little of it they mean to end."""
    before = resident(facility)
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            http2.pour(stack.enter_context(http2.connect(facility)), "hello", 64 * MIB)
            assert resident(facility) < before + 320 * MIB
    # To have room it ends connections, and takes them again.
    eventually(lambda: alice.code("info") == "OK", "it serves whom it knows")


def test_a_length_that_nothing_follows_takes_no_memory(facility: Facility, alice: Caller) -> None:
    before = resident(facility)
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            connection = stack.enter_context(http2.connect(facility))
            body = b"\0" + struct.pack(">I", 2 * MIB - 1) + b"only that"
            connection.sendall(http2.headers("list") + http2.frame(http2.DATA, 0, 1, body))
        assert alice.code("info") == "OK"
        assert resident(facility) < before + 32 * MIB


GARBAGE = {
    "noise": secrets.token_bytes(5_000),
    "groups in groups": b"\x0b" * MIB,
    "messages in messages": b"\x0a\xff\xff\xff\x07" * 1_000,
    "a length beyond its end": b"\x0a\xff\xff\xff\xff\x07",
    "a number without an end": b"\x08" + b"\xff" * 1_000,
    "a field without a number": b"\x02\x00",
    "a text that is none": b"\x0a\x04\xff\xfe\xfd\xfc",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_what_is_no_message_is_refused(facility: Facility, alice: Caller, what: str) -> None:
    before = resident(facility)
    with stranger(facility) as caller:
        for rpc in RPCS:
            code = caller.raw(rpc, GARBAGE[what])
            assert code in ("INTERNAL", "UNAUTHENTICATED", "UNIMPLEMENTED"), rpc
    # Nor is it taken from those who are known.
    for rpc in ("hello", "update", "release", "status", "req"):
        assert alice.raw(rpc, GARBAGE[what]) in ("INTERNAL", "INVALID_ARGUMENT", "UNIMPLEMENTED")
    assert alice.code("info") == "OK"
    assert resident(facility) < before + 16 * MIB


# Protocol: watches-a-user
def test_a_user_has_so_many_watches(
    facility: Facility, alice: Caller, openid_provider: OpenIdProvider
) -> None:
    uid = new_uid()
    set_up(alice, uid, "PROD", ["127.0.0.1:9"])
    watches = [alice.later("watch", uids=[uid]) for _ in range(100)]
    for watch in watches:
        assert next(watch).session.uid == uid
    refused = alice.outcome("watch", uids=[uid])
    assert (refused.code, "100 watches" in refused.details) == ("RESOURCE_EXHAUSTED", True)
    with Caller(facility, openid_provider.mint("bob")) as bob:
        # Whose own are not counted among them.
        own = new_uid()
        set_up(bob, own, "PROD", ["127.0.0.1:9"])
        assert bob.code("watch", uids=[own]) == "OK"
        bob("release", uid=own)
    watches.pop().cancel()
    eventually(lambda: alice.code("watch", uids=[uid]) == "OK", "there is room again")
    alice("release", uid=uid)
    for watch in watches:
        assert list(watch)[-1].kind == "gone"


# ---- hellos ------------------------------------------------------------------------------------


def test_thousands_of_hellos_of_strangers_keep_no_early_one_from_being_held(
    facility: Facility, alice: Caller
) -> None:
    before = resident(facility)
    with stranger(facility) as crowd:
        guess = proven(secrets.token_bytes(32), "not-there", "PROD", ["127.0.0.1:9"])
        flood = [crowd.later("hello", **{**guess, "uid": f"id-{n}"}) for n in range(3_000)]
        # Those beyond what strangers may have are refused at once: then their room is full.
        eventually(lambda: any(call.done() for call in flood), "there is no more room")
        uid, key = new_uid(), secrets.token_bytes(32)
        early = alice.later("hello", **proven(key, uid, "PROD", ["127.0.0.1:9"]))
        plain = new_uid()
        other = alice.later("hello", uid=plain, role="PROD", prod_listeners=["127.0.0.1:9"])
        assert alice.code("info") == "OK"
        for each, needed in ((uid, key), (plain, b"")):
            request = alice.later("req", uid=each, role="PROD", num_conn=1, app_key=needed)
            assert list(request.result().prod_listeners) == ["127.0.0.1:9"]
        assert ended(early).code == ended(other).code == "OK"
        # Another stranger is held as well, and a key that is there is found among all that are not.
        with stranger(facility) as application:
            late, secret = new_uid(), secrets.token_bytes(32)
            first = application.later("hello", **proven(secret, late, "CONS"))
            alice("req", uid=late, role="CONS", num_conn=1, app_key=secret)
            assert ended(first).code == "OK"
            alice("release", uid=late)
            again = proven(key, uid, "PROD", ["127.0.0.1:9"])
            assert application.code("hello", **again) == "OK"
        codes = Counter(ended(call).code for call in flood)
        assert codes == {"UNAUTHENTICATED": 3_000}
        for each in (uid, plain):
            alice("release", uid=each)
    gc.collect()
    assert resident(facility) < before + 64 * MIB


def test_hellos_of_strangers_for_a_session_do_not_push_its_own_out(
    facility: Facility, alice: Caller
) -> None:
    """Each is for that session, and each waits as if there were none."""
    uid, key = new_uid(), secrets.token_bytes(32)
    request = alice.later("req", uid=uid, role="PROD", num_conn=1, app_key=key)
    with stranger(facility) as crowd, stranger(facility) as application:
        wrong = proven(secrets.token_bytes(32), uid, "PROD", ["127.0.0.1:9"])
        flood = [crowd.later("hello", **wrong) for _ in range(1_500)]
        eventually(lambda: any(call.done() for call in flood), "there is no more room")
        hello = proven(key, uid, "PROD", ["127.0.0.1:10"])
        assert application.code("hello", **hello) == "OK"
        assert list(request.result().prod_listeners) == ["127.0.0.1:10"]
        assert {ended(call).code for call in flood} == {"UNAUTHENTICATED"}
    alice("release", uid=uid)


def test_large_hellos_of_strangers_are_not_held(facility: Facility, alice: Caller) -> None:
    """A proof has 32 bytes and a nonce 64 characters at most; more than that is nobody's."""
    most = before = resident(facility)
    large: dict[str, Any] = {"uid": "not-there", "role": "PROD", "prod_listeners": ["127.0.0.1:9"]}
    with stranger(facility) as crowd:
        for nonce, proof in (("n" * 16, bytes(2_000_000)), ("n" * 2_000_000, bytes(32))):
            large |= {"nonce": nonce, "proof": proof}
            flood = [crowd.later("hello", **large) for _ in range(100)]
            while not all(call.done() for call in flood):
                most = max(most, resident(facility))
            assert "OK" not in {ended(call).code for call in flood}
    # What is under way takes room until it is whole.
    assert most < before + 256 * MIB
    assert alice.code("info") == "OK"


def test_what_strangers_ask_for_does_not_fill_the_disk(facility: Facility, alice: Caller) -> None:
    """The audit log tells of them, but not as much as they can say."""
    audit = facility.state / "audit.jsonl"
    before = audit.stat().st_size
    with stranger(facility) as crowd:
        for _ in range(5):
            calls = [crowd.later("status", uid="\0" * 600) for _ in range(1_000)]
            assert {ended(call).code for call in calls} <= {"UNAUTHENTICATED", "RESOURCE_EXHAUSTED"}
    added = audit.stat().st_size - before
    assert 0 < added < 2 * MIB
    assert alice.code("info") == "OK"


def test_watches_that_end_while_their_caller_is_looked_into_harm_nobody(
    facility: Facility, alice: Caller, openid_provider: OpenIdProvider
) -> None:
    """What is found out then is for a call that is not there any more."""
    with (
        openid_provider.trouble(openid_provider.hang),
        stranger(facility, "unknown") as crowd,
    ):
        for number in range(40):
            crowd.show(f"unknown-{number}")
            crowd.later("watch", uids=["x"]).cancel()
    eventually(lambda: alice.code("info") == "OK", "it serves whom it knows")
    assert facility.command.process.poll() is None
