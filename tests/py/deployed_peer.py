"""A peer that knows only the wire as it is in use elsewhere: four rpcs, no deadlines, no tokens but
bare ones.

The messages are built here, at run time, from that table alone; nothing of `proto/` is used. What
this client can do with our server, and our client with this server, is what wire compatibility
means.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from facility import LIMIT

_Field = descriptor_pb2.FieldDescriptorProto
_STRING, _INT32 = _Field.TYPE_STRING, _Field.TYPE_INT32
_ONE, _MANY = _Field.LABEL_OPTIONAL, _Field.LABEL_REPEATED

_TABLE = {
    "Request": [
        ("uid", 1, _STRING, _ONE),
        ("role", 2, _STRING, _ONE),
        ("num_conn", 3, _INT32, _ONE),
        ("rate", 4, _INT32, _ONE),
    ],
    "UpdateTargets": [
        ("uid", 1, _STRING, _ONE),
        ("remote_listeners", 2, _STRING, _MANY),
        ("role", 3, _STRING, _ONE),
    ],
    "Release": [("uid", 1, _STRING, _ONE)],
    "Hello": [
        ("uid", 1, _STRING, _ONE),
        ("prod_listeners", 2, _STRING, _MANY),
        ("role", 3, _STRING, _ONE),
    ],
    "Response": [("listeners", 1, _STRING, _MANY), ("prod_listeners", 2, _STRING, _MANY)],
    "AppResponse": [("message", 1, _STRING, _ONE), ("listeners", 2, _STRING, _MANY)],
}
_RPCS = {
    "req": ("Request", "Response"),
    "update": ("UpdateTargets", "Response"),
    "release": ("Release", "Response"),
    "hello": ("Hello", "AppResponse"),
}


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="deployed_peer.proto", package="scistream", syntax="proto3"
    )
    for name, fields in _TABLE.items():
        message = file.message_type.add(name=name)
        for field, number, kind, label in fields:
            message.field.add(name=field, number=number, type=kind, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"scistream.{name}"))
        for name in _TABLE
    }


MESSAGES = _messages()


def new_uid() -> str:
    return str(uuid.uuid4())


class Peer:
    """A user client of a deployed installation, talking to one control server."""

    def __init__(self, endpoint: str, certificate: Path | None, token: str = "") -> None:
        self._metadata = [("authorization", token)] if token else []
        if certificate is None:
            self.channel = grpc.insecure_channel(endpoint)
        else:
            roots = certificate.read_bytes()
            self.channel = grpc.secure_channel(endpoint, grpc.ssl_channel_credentials(roots))
        self._calls = {
            rpc: self.channel.unary_unary(
                f"/scistream.Control/{rpc}",
                request_serializer=MESSAGES[request].SerializeToString,
                response_deserializer=MESSAGES[response].FromString,
            )
            for rpc, (request, response) in _RPCS.items()
        }

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def req(self, uid: str, role: str, num_conn: int = 1, rate: int = 10_000) -> Any:
        """The open call; it answers once hello has come."""
        return self._call(
            "req", MESSAGES["Request"](uid=uid, role=role, num_conn=num_conn, rate=rate)
        )

    def _call(self, rpc: str, message: Any) -> Any:
        return self._calls[rpc].future(message, metadata=self._metadata)

    def hello(self, uid: str, role: str, listeners: Sequence[str] = ()) -> Any:
        return self.hello_later(uid, role, listeners).result(LIMIT)

    def hello_later(self, uid: str, role: str, listeners: Sequence[str] = ()) -> Any:
        return self._call(
            "hello", MESSAGES["Hello"](uid=uid, role=role, prod_listeners=list(listeners))
        )

    def update(self, uid: str, targets: Sequence[str], role: str = "") -> Any:
        """Without a role, as 1.0.0 sends it."""
        message = MESSAGES["UpdateTargets"](uid=uid, remote_listeners=list(targets), role=role)
        return self._call("update", message).result(LIMIT)

    def release(self, uid: str) -> Any:
        return self._call("release", MESSAGES["Release"](uid=uid)).result(LIMIT)


def set_up(
    prod: Peer, cons: Peer, uid: str, targets: Sequence[str], num_conn: int = 1
) -> tuple[list[str], list[str]]:
    """A whole session as deployed clients make it: the producer's and the consumer's listeners."""
    producer = prod.req(uid, "PROD", num_conn)
    prod.hello(uid, "PROD", targets)
    answer = producer.result(LIMIT)
    prod.update(uid, list(answer.prod_listeners), "PROD")
    consumer = cons.req(uid, "CONS", num_conn)
    cons.hello(uid, "CONS")
    listeners = list(consumer.result(LIMIT).listeners)
    cons.update(uid, list(answer.listeners), "CONS")
    return list(answer.listeners), listeners


class DeployedServer:
    """A control server that behaves like a deployed one: `req` blocks until `hello`, every
    failure is UNKNOWN, a `hello` that overtakes its `req` is a failure, and so is a second `req`.
    """

    def __init__(
        self,
        listener: Callable[[Sequence[str]], str],
        options: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.listener = listener  # opens a bridge to the targets of an update; its address
        self.rpcs: list[str] = []
        self.updates: dict[str, list[str]] = {}
        self.before: dict[str, Callable[[Any], object]] = {}  # run first, with the rpc's context
        self._lock = threading.Condition()
        self._hellos: dict[str, list[str] | None] = {}
        self._server = grpc.server(futures.ThreadPoolExecutor(10), options=list(options))
        handlers = {
            rpc: grpc.unary_unary_rpc_method_handler(
                self._handler(rpc),
                request_deserializer=MESSAGES[request].FromString,
                response_serializer=MESSAGES[response].SerializeToString,
            )
            for rpc, (request, response) in _RPCS.items()
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("scistream.Control", handlers),)
        )
        self.address = listener([])
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _handler(self, rpc: str) -> Callable[[Any, Any], Any]:
        def handle(request: Any, context: Any) -> Any:
            if first := self.before.get(rpc):
                first(context)
            return getattr(self, f"_{rpc}")(request, context)

        return handle

    def die(self, context: Any) -> None:
        """Cuts every call, the one of this context included, and listens no more."""
        cut = threading.Event()
        context.add_callback(cut.set)
        self._server.stop(0)
        assert cut.wait(LIMIT)

    def stop(self) -> None:
        self._server.stop(None).wait(LIMIT)

    def _req(self, request: Any, _: Any) -> Any:
        with self._lock:
            self.rpcs.append("req")
            if request.uid in self._hellos:
                raise RuntimeError("Entry already found")
            self._hellos[request.uid] = None
            said = self._lock.wait_for(lambda: self._hellos.get(request.uid) is not None, LIMIT)
            if not said:
                raise RuntimeError("no hello")
            hello = self._hellos[request.uid] or []
        addresses = hello if request.role == "PROD" else []
        return MESSAGES["Response"](listeners=[self.address], prod_listeners=addresses)

    def _hello(self, request: Any, _: Any) -> Any:
        with self._lock:
            self.rpcs.append("hello")
            if request.uid not in self._hellos:
                raise RuntimeError("Entry not found")
            self._hellos[request.uid] = list(request.prod_listeners) or ["-"]
            self._lock.notify_all()
        return MESSAGES["AppResponse"](message="Sending listeners...", listeners=[self.address])

    def _update(self, request: Any, _: Any) -> Any:
        self.rpcs.append("update")
        self.updates[request.uid] = list(request.remote_listeners)
        self.listener(list(request.remote_listeners))
        return MESSAGES["Response"](
            listeners=[self.address], prod_listeners=list(request.remote_listeners)
        )

    def _release(self, request: Any, _: Any) -> Any:
        with self._lock:
            self.rpcs.append("release")
            self._hellos.pop(request.uid, None)
        return MESSAGES["Response"]()


@contextlib.contextmanager
def deployed_server(
    listener: Callable[[Sequence[str]], str], options: Sequence[tuple[str, int]] = ()
) -> Iterator[DeployedServer]:
    server = DeployedServer(listener, options)
    try:
        yield server
    finally:
        server.stop()


def code(failure: Any) -> str:
    """The status name of a failed call."""
    name: str = failure.code().name
    return name
