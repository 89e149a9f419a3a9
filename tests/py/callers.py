"""Users of a control server who call any of its rpcs, with whatever shows who they are.

The messages come from `proto/scistream/control.proto` by way of `protoc`, at run time, so that what
is added there can be called here.

    with Facility(tmp_path, *knows(provider)) as facility, Caller(facility, token) as alice:
        alice("status", uid="mine")
        assert alice.code("release", uid="another") == "NOT_FOUND"
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc  # type: ignore[import-untyped]

from deployed_peer import new_uid
from facility import LIMIT, Facility, Server, own_address, split
from openid import RESOURCE_SERVER, OpenIdProvider

_PROTO = Path(__file__).resolve().parents[2] / "proto"


def _control() -> Any:
    """The descriptor of the service."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "set")
        words = [f"--proto_path={_PROTO}", f"--descriptor_set_out={out}"]
        code = protoc.main(["protoc", *words, "--include_imports", "scistream/control.proto"])
        assert code == 0
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool.FindServiceByName("scistream.Control")


_METHODS: dict[str, Any] = {method.name: method for method in _control().methods}
RPCS = sorted(_METHODS)


# ---- servers that know their users -------------------------------------------------------------


def knows(provider: OpenIdProvider, *ways: str) -> list[object]:
    """Flags of a control server that takes tokens of this provider: `opaque` ones, of which it
    asks the provider (the default), `signed` ones, or both.
    """
    flags: list[object] = ["--identity-ca", provider.ca_file, "--scope", "scistream"]
    if "opaque" in (ways or ("opaque",)):
        flags += ["--client-id", RESOURCE_SERVER, "--client-secret-file", provider.secret_file]
        flags += ["--introspection-url", provider.introspection_url]
    if "signed" in ways:
        flags += ["--issuer", provider.issuer, "--audience", RESOURCE_SERVER]
    return flags


# ---- callers -----------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What an rpc ended with."""

    code: str
    details: str
    trailing: dict[str, str]


class Caller:
    """Somebody who calls one control server. Every call shows the token, if there is one, and the
    client certificate; `spelling` is what stands in front of the token.
    """

    def __init__(
        self,
        facility: Server,
        token: str = "",
        *,
        spelling: str = "Bearer ",
        endpoint: str | None = None,
        certificate: tuple[Path, Path] | None = None,
        compression: Any = None,
    ) -> None:
        self._spelling = spelling
        self.show(token)
        options: list[tuple[str, object]] = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ]
        target = endpoint or facility.endpoint
        if facility.tls:
            own, key = (path.read_bytes() for path in certificate) if certificate else (None, None)
            credentials = grpc.ssl_channel_credentials(facility.certificate.read_bytes(), key, own)
            options.append(("grpc.ssl_target_name_override", split(facility.endpoint)[0]))
            self.channel = grpc.secure_channel(target, credentials, options, compression)
        else:
            self.channel = grpc.insecure_channel(target, options, compression)

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def show(self, token: str) -> None:
        """From now on this token, or none."""
        self._metadata = [("authorization", self._spelling + token)] if token else []

    def later(self, rpc: str, *, timeout: float = LIMIT, **fields: Any) -> Any:
        """The open call: a future, or for a stream an iterator."""
        method = _METHODS[rpc]
        request = message_factory.GetMessageClass(method.input_type)
        answer = message_factory.GetMessageClass(method.output_type)
        kind = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        call = kind(
            f"/{method.containing_service.full_name}/{rpc}",
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )
        begin = call if method.server_streaming else call.future
        return begin(request(**fields), timeout=timeout, metadata=self._metadata)

    def raw(self, rpc: str, message: bytes, **more: Any) -> str:
        """The status name with which bytes that need be no message are answered."""
        call = self.channel.unary_unary(f"/scistream.Control/{rpc}")
        try:
            call(message, timeout=LIMIT, metadata=self._metadata, **more)
        except grpc.RpcError as failure:
            name: str = failure.code().name
            return name
        return "OK"

    def __call__(self, rpc: str, **fields: Any) -> Any:
        """The answer; of a stream the first."""
        call = self.later(rpc, **fields)
        if _METHODS[rpc].server_streaming:
            try:
                return next(call)
            finally:
                call.cancel()
        return call.result()

    def outcome(self, rpc: str, **fields: Any) -> Outcome:
        """How it ends; of a stream, OK once it brings something."""
        call = self.later(rpc, **fields)
        if not _METHODS[rpc].server_streaming:
            return ended(call)
        try:
            next(call)
        except grpc.RpcError as failure:
            return _outcome(failure)
        finally:
            call.cancel()
        return Outcome("OK", "", {})

    def code(self, rpc: str, **fields: Any) -> str:
        return self.outcome(rpc, **fields).code


def ended(call: Any) -> Outcome:
    """How an open call of a unary rpc ends."""
    try:
        call.result()
    except grpc.RpcError as failure:
        return _outcome(failure)
    return _outcome(call)


def _outcome(call: Any) -> Outcome:
    trailing = {name: str(value) for name, value in call.trailing_metadata() or ()}
    return Outcome(call.code().name, call.details() or "", trailing)


class Elsewhere:
    """A way to a server on which all calls come from one loopback address that nobody else has."""

    def __init__(self, endpoint: str) -> None:
        self.address = own_address()
        self._server = split(endpoint)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._server, LIMIT, (self.address, 0))
            except OSError:
                return
            far.settimeout(None)
            self._open += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for end in (self._listener, *self._open):
            end.close()


@contextlib.contextmanager
def stranger(facility: Facility, token: str = "", **more: Any) -> Iterator[Caller]:
    """A caller at an address of their own, whose failures are counted against nobody else."""
    way = Elsewhere(facility.endpoint)
    try:
        with Caller(facility, token, endpoint=way.endpoint, **more) as caller:
            yield caller
    finally:
        way.close()


# ---- sessions ----------------------------------------------------------------------------------


def proven(key: bytes, uid: str, role: str, listeners: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of a hello that proves to know an application key."""
    nonce = secrets.token_hex(16)
    state = hmac.new(key, digestmod=hashlib.sha256)
    for part in (uid, role, ",".join(listeners), nonce):
        state.update(struct.pack(">Q", len(part.encode())) + part.encode())
    fields = {"uid": uid, "role": role, "prod_listeners": list(listeners)}
    return {**fields, "nonce": nonce, "proof": state.digest()}


def set_up(
    caller: Caller,
    uid: str,
    role: str,
    targets: Sequence[str],
    *,
    data_key: bytes = b"",
    **more: Any,
) -> list[str]:
    """One half of a session up to its targets, by the same caller; its listeners."""
    transport = "tls" if data_key else "tcp"
    request = caller.later("req", uid=uid, role=role, num_conn=1, transport=transport, **more)
    addresses = targets if role == "PROD" else ()
    hello = {"uid": uid, "role": role, "prod_listeners": addresses}
    if key := more.get("app_key"):
        hello = proven(key, uid, role, addresses)
    outcome = caller.outcome("hello", **hello)
    if outcome.code != "OK" and not request.done():
        request.cancel()
        raise AssertionError(outcome)
    answer = request.result()
    aim = {"remote_listeners": targets, "transport": transport, "data_key": data_key}
    caller("update", uid=uid, role=role, **aim)
    return list(answer.listeners)


@contextlib.contextmanager
def half(caller: Caller, role: str, transport: dict[str, bytes]) -> Iterator[str]:
    """A session that waits for its targets; released at the end, if it is there still."""
    uid = new_uid()
    kind = "tls" if transport else "tcp"
    request = caller.later("req", uid=uid, role=role, num_conn=1, transport=kind)
    caller("hello", uid=uid, role=role, prod_listeners=["127.0.5.1:9"])
    request.result()
    yield uid
    assert caller.code("release", uid=uid) == "OK"


def aim(caller: Caller, uid: str, target: str | list[str], transport: dict[str, bytes]) -> Outcome:
    kind = "tls" if transport else "tcp"
    targets = [target] if isinstance(target, str) else target
    return caller.outcome("update", uid=uid, remote_listeners=targets, transport=kind, **transport)
