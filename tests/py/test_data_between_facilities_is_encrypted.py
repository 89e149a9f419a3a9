"""TLS 1.3 between the facilities by default: who has not the session's key gets nothing."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import socket
import stat
import subprocess
import threading
from pathlib import Path

import grpc  # type: ignore[import-untyped]
import pytest

from applications import (
    Application,
    application,
    connect,
    digest,
    echo,
    fetch,
    payload,
    receive,
    sends,
)
from conftest import Pair
from deployed_peer import Peer, new_uid
from facility import BIN, LIMIT, Client, Command, Facility, eventually, free_port, run, split

SUITES = {
    "AES-128-GCM": "TLS_AES_128_GCM_SHA256",
    "ChaCha20-Poly1305": "TLS_CHACHA20_POLY1305_SHA256",
}


def psk_identity(key: bytes) -> str:
    """What names a key on the wire: HKDF-SHA256, 16 bytes, in hex."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, b"scistream key identity\x01", "sha256")[:16].hex()


def key_file(folder: Path, key: bytes) -> Path:
    path = folder / "shared.key"
    path.write_text(key.hex() + "\n")
    path.chmod(0o600)
    return path


# Protocol: transport-tls, data-key-refused, protection
def test_a_stranger_at_the_listener_gets_nothing(pair: Pair) -> None:
    data = payload(3_000_000)
    with (
        application(sends(data)) as app,
        pair.user.session("--prod-app", app.endpoint) as document,
    ):
        assert document["transport"] == "tls"
        with connect(document["prod_listeners"][0]) as stranger:
            stranger.sendall(b"GET /detector HTTP/1.1\r\n\r\n")
            heard = b""
            try:
                while chunk := stranger.recv(65536):
                    heard += chunk
            except ConnectionResetError:
                pass
            assert len(heard) < 64, "an alert at most"
        assert digest(fetch(document["listeners"][0])) == digest(data)

        def refused() -> bool:
            views = pair.user.sessions(document["uid"])
            return [view["refused"] for view in views] == [1, 0]

        eventually(refused, "it is counted")
        for view in pair.user.sessions(document["uid"]):
            assert (view["transport"], view["protection"]) == ("tls", "encrypted")


# Protocol: transport-tcp, protection
def test_a_plain_session_says_so(pair: Pair, echo_app: Application) -> None:
    flags = ("--transport", "tcp", "--prod-app", echo_app.endpoint)
    with pair.user.session(*flags) as document:
        assert document["transport"] == "tcp"
        assert echo(document["listeners"][0]) == b"ping"
        assert echo(document["prod_listeners"][0]) == b"ping", "anybody is let in"
        for view in pair.user.sessions(document["uid"]):
            assert (view["transport"], view["protection"]) == ("tcp", "none")


# Protocol: require-encryption
def test_a_facility_may_refuse_plain_sessions(tmp_path: Path, echo_app: Application) -> None:
    with (
        Facility(tmp_path, "--require-encryption") as strict,
        Facility(tmp_path) as other,
        Peer(strict.endpoint, strict.certificate) as deployed,
    ):
        user = Client(tmp_path, strict, other)
        flags = ("--prod-app", echo_app.endpoint)
        done = user.s2uc("request", *user.places, "--transport", "tcp", *flags)
        assert done.rc == 10
        assert "--transport tls" in done.err
        with pytest.raises(grpc.RpcError) as refused:
            deployed.req(new_uid(), "CONS").result(LIMIT)
        assert refused.value.code().name == "FAILED_PRECONDITION"
        assert user.leased(strict) == user.leased(other) == 0
        with user.session(*flags) as document:
            assert echo(document["listeners"][0]) == b"ping"


# Protocol: ciphersuites
@pytest.mark.parametrize("suite", ["AES-256-GCM", "ChaCha20-Poly1305", "aes-256-gcm,aes-128-gcm"])
def test_facilities_may_prefer_other_suites(tmp_path: Path, suite: str) -> None:
    data = payload(1_000_000)
    flags = ("--ciphersuites", suite)
    with (
        Facility(tmp_path, *flags) as prod,
        Facility(tmp_path, *flags) as cons,
        application(sends(data)) as app,
    ):
        user = Client(tmp_path, prod, cons)
        with user.session("--prod-app", app.endpoint) as document:
            assert digest(fetch(document["listeners"][0])) == digest(data)


def test_an_unknown_suite_is_named(tmp_path: Path) -> None:
    for command, flag in (("s2cs", "--port=0"), ("s2ds", "serve")):
        done = run(BIN / command, flag, "--ciphersuites", "RC4", cwd=tmp_path)
        assert done.rc == 2
        assert "'RC4'" in done.err
        assert "AES-128-GCM" in done.err


# Protocol: single-step-tls
def test_single_steps_share_a_key_through_the_state_folder(
    pair: Pair, echo_app: Application
) -> None:
    user = pair.user
    host, port = split(echo_app.endpoint)
    tls = ("--transport", "tls", "--num-conn", 1)
    inbound = user.s2uc(
        *("inbound-request", "--json", "--s2cs", pair.prod.endpoint, *tls),
        *("--remote-ip", host, "--receiver-ports", port),
    )
    assert inbound.rc == 0, inbound.err
    uid = inbound.json["uid"]
    key = user.state / "keys" / f"{uid}.data.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(bytes.fromhex(key.read_text())) == 32
    words = ("outbound-request", uid, ",".join(inbound.json["listeners"]), "--json")
    stranger = Client(user.folder, pair.prod, pair.cons)
    missing = stranger.s2uc(*words, "--s2cs", pair.cons.endpoint, *tls)
    assert missing.rc == 7
    assert "--data-key-file" in missing.err
    outbound = stranger.s2uc(*words, "--s2cs", pair.cons.endpoint, *tls, "--data-key-file", key)
    assert outbound.rc == 0, outbound.err
    assert echo(outbound.json["listeners"][0]) == b"ping"
    assert {view["protection"] for view in user.sessions(uid)} == {"encrypted"}
    user.release(uid)
    assert not key.exists()
    stranger.release(uid)


def test_a_half_that_fails_leaves_no_key_and_keeps_what_was_there(pair: Pair) -> None:
    user = pair.user
    words = ("inbound-request", "--s2cs", pair.prod.endpoint, "--transport", "tls")
    refused = ("--num-conn", 4096, "--remote-ip", "127.0.0.1", "--receiver-ports", 9)
    failed = user.s2uc(*words, *refused)
    assert failed.rc == 8, failed.err
    keys = user.state / "keys"
    assert not keys.exists() or not list(keys.glob("*.data.key"))

    mine = user.folder / "mine.key"
    mine.write_text("ab" * 32)
    mine.chmod(0o600)
    failed = user.s2uc(*words, *refused, "--data-key-file", mine)
    assert failed.rc == 8
    assert str(mine) in failed.err
    assert mine.read_text() == "ab" * 32


# Protocol: transport-requested
def test_halves_of_different_transports_do_not_meet(pair: Pair, echo_app: Application) -> None:
    """A plain consumer at an encrypted producer: refused, and reset, not the end of the data."""
    user = pair.user
    host, port = split(echo_app.endpoint)
    inbound = user.s2uc(
        *("inbound-request", "--json", "--s2cs", pair.prod.endpoint, "--transport", "tls"),
        *("--remote-ip", host, "--receiver-ports", port, "--num-conn", 1),
    )
    uid = inbound.json["uid"]
    outbound = user.s2uc(
        *("outbound-request", uid, inbound.json["listeners"][0], "--json", "--num-conn", 1),
        *("--s2cs", pair.cons.endpoint),
    )
    assert outbound.rc == 0, outbound.err
    with connect(outbound.json["listeners"][0]) as connection:
        connection.sendall(b"plain bytes")
        with pytest.raises(ConnectionResetError):
            receive(connection, 4096)
    assert echo_app.errors == []
    user.release(uid)


class Wire:
    """What lies between two relays, and keeps what it sees."""

    def __init__(self, target: str) -> None:
        self.seen = bytearray()
        self._target = target
        self._app = Application(self._forward)
        self.endpoint = self._app.endpoint

    def _forward(self, near: socket.socket) -> None:
        with connect(self._target) as far:
            back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
            back.start()
            self._pump(near, far)
            back.join(LIMIT)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while chunk := source.recv(65536):
                self.seen += chunk
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        self._app.close()


def relay(*words: object) -> Command:
    return Command(BIN / "s2ds", "relay", "--listen", "127.0.0.1:0", *words)


def ready(command: Command) -> str:
    return command.line(r"^s2ds ready on (\S+)$")[1]


# Protocol: relay-tls
def test_two_relays_with_a_key_file_show_nothing_on_the_wire(tmp_path: Path) -> None:
    secret = b"the instrument's secret " * 50_000
    shared = key_file(tmp_path, os.urandom(32))
    with (
        application(sends(secret)) as app,
        relay("--target", app.endpoint, "--tls", "server", "--key-file", shared) as server,
    ):
        wire = Wire(ready(server))
        with relay("--target", wire.endpoint, "--tls", "client", "--key-file", shared) as client:
            assert digest(fetch(ready(client))) == digest(secret)
        wire.close()
        assert len(wire.seen) > len(secret)
        assert b"instrument" not in wire.seen
        assert bytes.fromhex(shared.read_text()) not in wire.seen


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--tls", "client"], "--key-file"),
        (["--key-file", "x.key"], "--tls"),
        (["--tls", "both", "--key-file", "x.key"], "both"),
        (["--tls", "server", "--key-file", "missing.key"], "missing.key"),
        (["--tls", "server", "--key-file", "short.key"], "short.key"),
        (["--tls", "server", "--key-file", "open.key"], "chmod 600"),
    ],
)
def test_a_relay_without_a_good_key_does_not_start(
    tmp_path: Path, flags: list[str], words: str
) -> None:
    for name, text, mode in (("short.key", "abcd", 0o600), ("open.key", "ab" * 32, 0o644)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    start = [BIN / "s2ds", "relay", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:9"]
    done = run(*start, *flags, cwd=tmp_path)
    assert done.rc not in (0, 1)
    assert words in done.err
    assert "abababab" not in done.err


# Protocol: relay-tls, data-key-identity
@pytest.mark.parametrize("suite", SUITES)
def test_openssl_is_a_client_like_any_other(tmp_path: Path, suite: str) -> None:
    """It is TLS 1.3 as everybody speaks it."""
    key = os.urandom(32)
    shared = key_file(tmp_path, key)
    data = payload(2_000_000)
    with (
        application(sends(data)) as app,
        relay(
            *("--target", app.endpoint, "--tls", "server", "--key-file", shared),
            *("--ciphersuites", suite),
        ) as server,
    ):
        done = subprocess.run(
            [
                *("openssl", "s_client", "-quiet", "-tls1_3", "-connect", ready(server)),
                *("-psk_identity", psk_identity(key), "-psk", key.hex()),
                *("-ciphersuites", SUITES[suite]),
            ],
            stdin=subprocess.PIPE,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
        assert digest(done.stdout) == digest(data), done.stderr


# Protocol: data-key-identity, relay-tls
def test_the_recipe_for_openssl_works(tmp_path: Path, root: Path) -> None:
    """As docs/protocol.md has it, with other ports."""
    key = os.urandom(32)
    shared = key_file(tmp_path, key)
    text = (root / "docs/protocol.md").read_text("utf-8")
    recipe = text[text.index("  identity=$(openssl kdf") :].partition("\n  ```")[0]
    data = payload(100_000)
    with (
        application(sends(data)) as app,
        relay("--target", app.endpoint, "--tls", "server", "--key-file", shared) as server,
    ):
        # What s_client says of the connection would be between the data.
        quiet = recipe.replace("127.0.0.1:7443", ready(server)).replace(
            "s_client", "s_client -quiet"
        )
        done = subprocess.run(
            ["sh", "-c", quiet],
            stdin=subprocess.PIPE,
            capture_output=True,
            timeout=LIMIT,
            check=False,
            cwd=tmp_path,
        )
    assert digest(done.stdout) == digest(data), done.stderr


# Protocol: relay-tls
def test_openssl_is_a_server_like_any_other(tmp_path: Path) -> None:
    """It sends session tickets, which are of no use here, and is understood."""
    key = os.urandom(32)
    shared = key_file(tmp_path, key)
    port = free_port()
    with (
        Command(
            *("openssl", "s_server", "-tls1_3", "-nocert", "-quiet", "-rev", "-accept", port),
            *("-psk_identity", psk_identity(key), "-psk", key.hex()),
        ) as server,
        relay(
            *("--target", f"127.0.0.1:{port}", "--tls", "client", "--key-file", shared)
        ) as client,
    ):
        with connect(ready(client)) as connection:
            for word in (b"detector", b"x" * 1000):
                connection.sendall(word + b"\n")
                assert receive(connection, len(word) + 1) == word[::-1] + b"\n"
        assert server.process.poll() is None


def test_stunnel_is_a_client_like_any_other(tmp_path: Path) -> None:
    key = os.urandom(32)
    shared = key_file(tmp_path, key)
    data = payload(2_000_000)
    secrets = tmp_path / "secrets"
    secrets.write_text(f"{psk_identity(key)}:{key.hex()}\n")
    secrets.chmod(0o600)
    port = free_port()
    with (
        application(sends(data)) as app,
        relay("--target", app.endpoint, "--tls", "server", "--key-file", shared) as server,
    ):
        config = tmp_path / "stunnel.conf"
        config.write_text(
            "foreground = yes\nsyslog = no\n[wan]\nclient = yes\n"
            f"accept = 127.0.0.1:{port}\nconnect = {ready(server)}\n"
            f"PSKsecrets = {secrets}\nsslVersion = TLSv1.3\n"
            "ciphersuites = TLS_AES_128_GCM_SHA256\n"
        )
        with Command("stunnel", config) as stunnel:
            stunnel.line("Configuration successful", "err")
            assert digest(fetch(f"127.0.0.1:{port}")) == digest(data)


def test_a_thousand_strangers_do_not_disturb_a_stream(pair: Pair) -> None:
    data = payload(20_000_000)
    with (
        application(sends(data)) as app,
        pair.user.session("--prod-app", app.endpoint) as document,
    ):
        place = split(document["prod_listeners"][0])
        strangers = []
        for number in range(1000):
            with contextlib.suppress(OSError):  # one that was refused already
                # Of an address of their own: who fails often has to wait.
                stranger = socket.create_connection(place, source_address=("127.99.9.9", 0))
                strangers.append(stranger)
                if number % 2:
                    stranger.sendall(hashlib.sha256(str(number).encode()).digest())
        assert len(strangers) > 900
        try:
            assert digest(fetch(document["listeners"][0])) == digest(data)
        finally:
            for stranger in strangers:
                stranger.close()
