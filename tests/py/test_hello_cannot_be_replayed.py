"""A hello proves that its sender knows the application key, once.

The proof is made here from its description in `proto/scistream/control.proto`, not by our code.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from applications import Application
from conftest import Pair
from deployed_peer import code
from facility import LIMIT, Waiting

_Field = descriptor_pb2.FieldDescriptorProto


def _hello_message() -> Any:
    file = descriptor_pb2.FileDescriptorProto(
        name="proving_hello.proto", package="proving", syntax="proto3"
    )
    message = file.message_type.add(name="Hello")
    for name, number, kind in (
        ("uid", 1, _Field.TYPE_STRING),
        ("prod_listeners", 2, _Field.TYPE_STRING),
        ("role", 3, _Field.TYPE_STRING),
        ("nonce", 101, _Field.TYPE_STRING),
        ("proof", 102, _Field.TYPE_BYTES),
    ):
        label = _Field.LABEL_REPEATED if number == 2 else _Field.LABEL_OPTIONAL
        message.field.add(name=name, number=number, type=kind, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("proving.Hello"))


HELLO = _hello_message()


def proof(key: Path, uid: str, role: str, listeners: Sequence[str], nonce: str) -> bytes:
    state = hmac.new(bytes.fromhex(key.read_text().strip()), digestmod=hashlib.sha256)
    for part in (uid, role, ",".join(listeners), nonce):
        state.update(struct.pack(">Q", len(part.encode())) + part.encode())
    return state.digest()


class Sender:
    """Sends hellos of any making to the producer's facility."""

    def __init__(self, pair: Pair) -> None:
        roots = pair.prod.certificate.read_bytes()
        self.channel = grpc.secure_channel(pair.prod.endpoint, grpc.ssl_channel_credentials(roots))
        self._call = self.channel.unary_unary(
            "/scistream.Control/hello",
            request_serializer=HELLO.SerializeToString,
            response_deserializer=bytes,
        )

    def status(self, **fields: Any) -> str:
        """The status name with which a hello is answered."""
        try:
            self._call(HELLO(**fields), timeout=LIMIT)
        except grpc.RpcError as refused:
            return code(refused)
        return "OK"


@pytest.fixture
def waiting(pair: Pair) -> Iterator[Waiting]:
    with pair.user.waiting() as request:
        request.listening()
        yield request
        pair.user.release(request.uid)
        request.wait()


@pytest.fixture
def sender(pair: Pair) -> Iterator[Sender]:
    sender = Sender(pair)
    yield sender
    sender.channel.close()


def good(request: Waiting, app: Application) -> dict[str, Any]:
    nonce = secrets.token_hex(16)
    listeners = [app.endpoint]
    return {
        "uid": request.uid,
        "role": "PROD",
        "prod_listeners": listeners,
        "nonce": nonce,
        "proof": proof(request.prod_key, request.uid, "PROD", listeners, nonce),
    }


# Protocol: hello-proof, hello-nonce-once
def test_the_documented_proof_is_accepted_once(
    waiting: Waiting, sender: Sender, echo_app: Application
) -> None:
    hello = good(waiting, echo_app)
    assert sender.status(**hello) == "OK"
    assert sender.status(**hello) == "UNAUTHENTICATED"
    assert sender.status(**good(waiting, echo_app)) == "OK", "with a nonce of its own it may repeat"


# Protocol: hello-proof, hello-unproven
def test_nothing_that_is_proven_can_be_changed(
    waiting: Waiting, sender: Sender, echo_app: Application
) -> None:
    hello = good(waiting, echo_app)
    changes: list[dict[str, Any]] = [
        {"prod_listeners": ["127.0.0.1:9"]},
        {"prod_listeners": [echo_app.endpoint, "127.0.0.1:9"]},
        {"nonce": secrets.token_hex(16)},
        {"nonce": ""},
        {"proof": b""},
        {"proof": hello["proof"][:16]},
        {"proof": bytes(32)},
    ]
    for change in changes:
        assert sender.status(**{**hello, **change}) == "UNAUTHENTICATED", change
    short = "a" * 15
    proven = proof(waiting.prod_key, waiting.uid, "PROD", [echo_app.endpoint], short)
    assert sender.status(**{**hello, "nonce": short, "proof": proven}) == "UNAUTHENTICATED"
    assert sender.status(**hello) == "OK", "what was refused has not used it up"


# Protocol: app-key-one-side
def test_the_other_sides_key_does_not_help(
    waiting: Waiting, sender: Sender, echo_app: Application
) -> None:
    hello = good(waiting, echo_app)
    listeners = hello["prod_listeners"]
    for role in ("PROD", "CONS"):
        hello["proof"] = proof(waiting.cons_key, waiting.uid, role, listeners, hello["nonce"])
        assert sender.status(**hello) == "UNAUTHENTICATED"


# Protocol: hello-nonce-length
@pytest.mark.parametrize(("length", "status"), [(16, "OK"), (64, "OK"), (65, "UNAUTHENTICATED")])
def test_a_nonce_has_16_to_64_characters(
    waiting: Waiting, sender: Sender, echo_app: Application, length: int, status: str
) -> None:
    nonce = secrets.token_hex(40)[:length]
    proven = proof(waiting.prod_key, waiting.uid, "PROD", [echo_app.endpoint], nonce)
    assert sender.status(**{**good(waiting, echo_app), "nonce": nonce, "proof": proven}) == status
