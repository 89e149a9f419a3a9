"""What nobody should send, and what comes back: a code and a message that name it, nothing kept."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from conftest import Pair
from deployed_peer import Peer, code, new_uid
from facility import (
    BIN,
    LIMIT,
    Facility,
    clean_environment,
    eventually,
    own_address,
    run,
    split,
)


@pytest.fixture(scope="module")
def peer(pair: Pair) -> Iterator[Peer]:
    with Peer(pair.prod.endpoint, pair.prod.certificate) as peer:
        yield peer


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as refused:
        call()
    return code(refused.value), refused.value.details()


# ---- messages ----------------------------------------------------------------------------------


# Protocol: role-words
@pytest.mark.parametrize("role", ["prod", "Prod", "PRODUCER", "CONS ", "ROLE_PROD"])
def test_a_role_in_another_case_is_no_role_in_a_request(pair: Pair, peer: Peer, role: str) -> None:
    status, message = refusal(lambda: peer.req("good", role).result(LIMIT))
    assert status == "INVALID_ARGUMENT"
    assert role.strip() in message
    assert pair.user.leased(pair.prod) == 0


# Protocol: uid-form
@pytest.mark.parametrize(
    "uid", ["zwölf", "two\nlines", "tab\there", "a/b", "\N{RIGHT-TO-LEFT OVERRIDE}x", "x" * 100_000]
)
def test_a_strange_id_is_refused_everywhere(pair: Pair, peer: Peer, uid: str) -> None:
    for call in (
        lambda: peer.req(uid, "PROD").result(LIMIT),
        lambda: peer.hello(uid, "PROD", ["h:1"]),
        lambda: peer.update(uid, ["h:1"]),
        lambda: peer.release(uid),
    ):
        status, message = refusal(call)
        assert status == "INVALID_ARGUMENT"
        assert len(message) < 1_000, "it is not repeated in full"
        assert "\n" not in message
    assert pair.user.leased(pair.prod) == 0


# Protocol: bad-address-named
@pytest.mark.parametrize(
    "address", ["nowhere", "h:0", "h:70000", ":5000", "[::1", "http://h:1", ""]
)
def test_a_malformed_address_is_named(pair: Pair, peer: Peer, address: str) -> None:
    uid = new_uid()
    request = peer.req(uid, "PROD")
    for call in (
        lambda: peer.hello(uid, "PROD", ["10.0.0.9:7000", address]),
        lambda: peer.update(uid, [address]),
    ):
        status, message = refusal(call)
        assert status == "INVALID_ARGUMENT"
        assert f"'{address}'" in message
    assert not request.done(), "a better hello may follow"
    peer.release(uid)


# Protocol: addresses-at-most-4096
def test_too_many_addresses_are_refused(pair: Pair, peer: Peer) -> None:
    uid = new_uid()
    request = peer.req(uid, "PROD")
    crowd = [f"10.0.0.9:{port}" for port in range(1, 5_001)]
    for call in (lambda: peer.hello(uid, "PROD", crowd), lambda: peer.update(uid, crowd)):
        status, message = refusal(call)
        assert status == "INVALID_ARGUMENT"
        assert "4096" in message
    assert not request.done()
    peer.release(uid)


def test_a_message_over_the_size_limit_is_refused(pair: Pair, peer: Peer) -> None:
    crowd = ["10.0.0.9:" + "1" * 1000] * 6_000
    status, _ = refusal(lambda: peer.hello("good", "PROD", crowd))
    assert status == "RESOURCE_EXHAUSTED"
    assert pair.user.s2uc("info", "--s2cs", pair.prod.endpoint).rc == 0


# Protocol: update-before-hello
def test_an_update_before_its_hello_is_refused(pair: Pair, peer: Peer) -> None:
    uid = new_uid()
    request = peer.req(uid, "PROD")
    eventually(lambda: pair.user.leased(pair.prod) == 1, "it waits for its hello")
    status, message = refusal(lambda: peer.update(uid, ["127.0.0.9:7000"]))
    assert status == "FAILED_PRECONDITION"
    assert "'update' is not possible now" in message
    assert not request.done()
    peer.release(uid)


# Protocol: unknown-id
def test_what_is_said_of_an_unknown_id_is_not_found(pair: Pair, peer: Peer) -> None:
    for call in (
        lambda: peer.hello("nobody-knows-this", "PROD", ["10.0.0.9:7000"]),
        lambda: peer.update("nobody-knows-this", ["10.0.0.9:7000"]),
        lambda: peer.release("nobody-knows-this"),
    ):
        status, message = refusal(call)
        assert status == "NOT_FOUND"
        assert "nobody-knows-this" in message


@pytest.mark.parametrize("tls", [True, False], ids=["inside TLS", "in the open"])
def test_garbage_at_the_control_port_harms_nobody(pair: Pair, tls: bool) -> None:
    noise = random.Random(7)
    trust = ssl.create_default_context(cafile=str(pair.prod.certificate))
    trust.set_alpn_protocols(["h2"])
    for start in (b"", b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        for _ in range(5):
            with socket.create_connection(split(pair.prod.endpoint), timeout=LIMIT) as raw:
                wrapped: socket.socket = raw
                if tls:
                    wrapped = trust.wrap_socket(raw, server_hostname=pair.prod.host)
                with contextlib.suppress(OSError):
                    wrapped.sendall(start + noise.randbytes(4_000))
                    wrapped.recv(100)
                wrapped.close()
    assert pair.user.s2uc("info", "--s2cs", pair.prod.endpoint).rc == 0


# ---- files and folders -------------------------------------------------------------------------


def openssl(folder: Path, *words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], cwd=folder, capture_output=True, check=True)


def certificate(folder: Path, *flags: str) -> tuple[Path, Path]:
    crt, key = folder / "own.crt", folder / "own.key"
    openssl(
        folder,
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-subj", "/CN=facility", "-keyout", key, "-out", crt, *flags),
    )
    return crt, key


def start(folder: Path, *flags: object) -> tuple[int, str]:
    """Exit code and message of an `s2cs` that must not start."""
    done = run(
        BIN / "s2cs",
        *("--port", 0, "--listener_ip", own_address(), *flags),
        cwd=folder,
        env=clean_environment(folder),
    )
    assert done.out == ""
    return done.rc, done.err


CA = """
[ca]
default_ca = own
[own]
new_certs_dir = .
database = index
serial = serial
default_md = sha256
policy = names
[names]
commonName = supplied
"""


def expired_certificate(folder: Path) -> tuple[Path, Path]:
    """Valid for one day, years ago."""
    _, key = certificate(folder, "-days", "2")
    (folder / "ca.conf").write_text(CA)
    (folder / "index").write_text("")
    (folder / "serial").write_text("01\n")
    openssl(folder, "req", "-new", "-key", key, "-subj", "/CN=facility", "-out", "own.csr")
    openssl(
        folder,
        *("ca", "-batch", "-notext", "-config", "ca.conf", "-selfsign", "-keyfile", key),
        *("-startdate", "20200101000000Z", "-enddate", "20200102000000Z"),
        *("-in", "own.csr", "-out", "own.crt"),
    )
    return folder / "own.crt", key


# Protocol: certificate-unfit
def test_an_expired_certificate_is_refused_by_name(tmp_path: Path) -> None:
    crt, key = expired_certificate(tmp_path)
    rc, err = start(tmp_path, "--server_crt", crt, "--server_key", key)
    assert rc == 2, err
    assert str(crt) in err
    assert "expired" in err


@pytest.mark.parametrize("broken", ["own.crt", "own.key"])
def test_a_file_that_is_no_certificate_or_key_is_named(tmp_path: Path, broken: str) -> None:
    crt, key = certificate(tmp_path, "-days", "2")
    (tmp_path / broken).write_text("-----BEGIN NOTHING-----\n")
    rc, err = start(tmp_path, "--server_crt", crt, "--server_key", key)
    assert rc == 2, err
    assert broken in err


def test_a_damaged_certificate_to_trust_is_named(tmp_path: Path, pair: Pair) -> None:
    whole = pair.prod.certificate.read_text()
    damaged = tmp_path / "cut.crt"
    damaged.write_text(whole[: len(whole) // 2])
    done = pair.user.s2uc("info", "--s2cs", pair.prod.endpoint, "--server_cert", damaged)
    assert done.rc == 2, done.err
    assert str(damaged) in done.err


def test_the_addresses_of_a_mock_controller_are_named_by_what_was_said() -> None:
    done = run(BIN / "appctrl", "mock", "good", "127.0.0.1:1", "-", "PROD", "10.0.0.9:7000")
    assert done.rc == 2, done.err
    assert "'10.0.0.9:7000'" in done.err
    assert "--listen" not in done.err


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    _, key = certificate(tmp_path, "-days", "2")
    rc, err = start(tmp_path, "--server_crt", tmp_path / "missing.crt", "--server_key", key)
    assert rc == 7, err
    assert "missing.crt" in err


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    rc, err = start(tmp_path, "--state-dir", tmp_path / "file/state")
    assert rc != 0
    assert f"{tmp_path}/file" in err
    rc, err = start(tmp_path, "--state-dir", "/proc/scistream")
    assert rc != 0
    assert "/proc/scistream" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_read_only_state_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    script = f"""
set -e
mount -t tmpfs -o size=64k,mode=700 tmpfs {folder}
mkdir {folder}/state
mount -o remount,ro {folder}
{BIN}/s2cs --port 0 --listener_ip {own_address()} --state-dir {folder}/state && exit 99
exit 0
"""
    done = run("unshare", "--mount", "sh", "-c", script, env=clean_environment(tmp_path))
    assert done.rc == 0, done.err
    assert str(folder) in done.err
    assert "Read-only" in done.err


# Protocol: ports-held-by-others
def test_overlapping_ranges_share_what_is_free(tmp_path: Path) -> None:
    """Ports that somebody else holds are skipped, even if it is another of our own servers."""
    host = own_address()
    with (
        Facility(tmp_path, host=host, ports=6) as first,
        Facility(tmp_path, host=host, ports=first.ports) as second,
        Peer(first.endpoint, first.certificate) as one,
        Peer(second.endpoint, second.certificate) as other,
    ):
        taken = []
        for peer, uid in ((one, "a"), (other, "b"), (one, "c")):
            request = peer.req(uid, "CONS", 2)
            peer.hello(uid, "CONS")
            taken += [split(text)[1] for text in request.result(LIMIT).listeners]
        assert sorted(taken) == list(first.ports)
        status, message = refusal(lambda: other.req("d", "CONS").result(LIMIT))
        assert status == "RESOURCE_EXHAUSTED"
        assert "free" in message
        for peer, uid in ((one, "a"), (other, "b"), (one, "c")):
            peer.release(uid)
