"""`s2ds serve --listen`: a data server on another gateway node."""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from applications import Application, connect, echo, receive
from authorities import Authority
from containers import Engine
from facility import (
    BIN,
    Client,
    Command,
    Facility,
    clean_environment,
    data_servers,
    eventually,
    free_port,
    run,
)


@contextlib.contextmanager
def data_server(folder: Path, *flags: object) -> Iterator[tuple[Command, str]]:
    with Command(
        BIN / "s2ds",
        *("serve", "--state-dir", folder / "elsewhere", *flags),
        cwd=folder,
        env=clean_environment(folder),
    ) as command:
        yield command, command.line(r"^s2ds ready on (\S+)$")[1]
        if command.process.poll() is None:
            command.signal(signal.SIGTERM)
        assert command.wait() == 0, command.err


@pytest.fixture(params=["Native", "HaproxySubprocess", "Stunnel"])
def kind(request: pytest.FixtureRequest) -> list[object]:
    """What a data server of that kind is started with."""
    if request.param == "Native":
        return []
    flags: list[object] = ["--type", request.param]
    if not request.param.endswith("Subprocess"):
        engine: Engine = request.getfixturevalue("containers")
        flags += ["--container-engine", engine.address, "--container-image", engine.image]
    return flags


def streams(folder: Path, facility: Facility, app: Application) -> None:
    user = Client(folder, facility, facility)
    with user.session("--prod-app", app.endpoint, "--num-conn", 2) as document:
        assert [echo(listener) for listener in document["listeners"]] == [b"ping"] * 2
        assert len(facility.taken) == 4
    assert facility.taken == []


# Protocol: data-server-ends, data-server-remote
def test_plain_on_loopback(tmp_path: Path, echo_app: Application) -> None:
    with data_server(tmp_path, "--listen", "127.0.0.1:0") as (remote, address):
        with Facility(tmp_path, "--data-server", address) as facility:
            assert data_servers(facility.state) == [], "it starts none of its own"
            streams(tmp_path, facility, echo_app)
        assert remote.process.poll() is None, "a control server ends only what it started"


# Protocol: data-server-remote
def test_by_its_socket(tmp_path: Path, echo_app: Application, kind: list[object]) -> None:
    with (
        data_server(tmp_path, *kind) as (_, address),
        Facility(tmp_path, "--data-server", address) as facility,
    ):
        assert address.startswith("unix:/")
        streams(tmp_path, facility, echo_app)


# Protocol: data-server-mutual-tls
def test_with_mutual_tls(tmp_path: Path, echo_app: Application) -> None:
    authority = Authority(tmp_path / "authority")
    server, server_key = authority.issue("s2ds")
    client, client_key = authority.issue("s2cs")
    flags = ["--ca", authority.file, "--cert", server, "--key", server_key]
    with (
        data_server(tmp_path, "--listen", "127.0.0.1:0", *flags) as (_, address),
        Facility(
            tmp_path,
            *("--data-server", address, "--data-server-ca", authority.file),
            *("--data-server-crt", client, "--data-server-key", client_key),
        ) as facility,
    ):
        streams(tmp_path, facility, echo_app)


def refused(folder: Path, *flags: object) -> str:
    """What an `s2cs` says that does not start."""
    done = run(
        BIN / "s2cs",
        *("--port", 0, "--state-dir", folder / "refused", *flags),
        cwd=folder,
        env=clean_environment(folder),
    )
    assert done.rc != 0
    assert done.out == ""
    return done.err


def answer_without_certificate(address: str, authority: Path) -> bytes:
    """What a caller hears who trusts the server and shows nothing."""
    context = ssl.create_default_context(cafile=str(authority))
    context.set_alpn_protocols(["h2"])
    with (
        connect(address) as plain,
        contextlib.suppress(ConnectionError, ssl.SSLError),
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        return secure.recv(100)
    return b""


# Protocol: data-server-mutual-tls
def test_a_control_server_without_a_certificate_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    server, server_key = authority.issue("s2ds")
    stranger, stranger_key = Authority(tmp_path / "stranger").issue("s2cs")
    flags = ["--ca", authority.file, "--cert", server, "--key", server_key]
    with data_server(tmp_path, "--listen", "127.0.0.1:0", *flags) as (_, address):
        assert address in refused(tmp_path, "--data-server", address)
        err = refused(
            tmp_path,
            *("--data-server", address, "--data-server-ca", authority.file),
            *("--data-server-crt", stranger, "--data-server-key", stranger_key),
        )
        assert address in err
        assert answer_without_certificate(address, authority.file) == b""


# Protocol: data-server-mutual-tls
def test_a_data_server_of_another_authority_is_not_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    client, client_key = authority.issue("s2cs")
    other = Authority(tmp_path / "other")
    server, server_key = other.issue("s2ds")
    flags = ["--ca", authority.file, "--cert", server, "--key", server_key]
    with data_server(tmp_path, "--listen", "127.0.0.1:0", *flags) as (_, address):
        err = refused(
            tmp_path,
            *("--data-server", address, "--data-server-ca", authority.file),
            *("--data-server-crt", client, "--data-server-key", client_key),
        )
        assert address in err


# Protocol: data-server-mutual-tls
@pytest.mark.parametrize("address", ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"])
def test_others_may_only_come_with_mutual_tls(tmp_path: Path, address: str) -> None:
    done = run(
        *(BIN / "s2ds", "serve", "--state-dir", tmp_path / "state", "--listen", address),
        cwd=tmp_path,
        env=clean_environment(tmp_path),
    )
    assert done.rc == 2, done.err
    assert "mutual TLS" in done.err
    assert done.out == ""


# Protocol: data-server-mutual-tls
def test_a_control_server_calls_others_only_with_mutual_tls(tmp_path: Path) -> None:
    assert "mutual TLS" in refused(tmp_path, "--data-server", "192.0.2.1:5001")


def test_nobody_there_is_named(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    assert f"no data server at {address}" in refused(tmp_path, "--data-server", address)


def test_a_second_one_in_one_state_folder_names_the_first(tmp_path: Path) -> None:
    with data_server(tmp_path) as (first, _):
        done = run(
            *(BIN / "s2ds", "serve", "--state-dir", tmp_path / "elsewhere"),
            cwd=tmp_path,
            env=clean_environment(tmp_path),
        )
        assert done.rc == 9, done.err
        assert str(first.pid) in done.err


# Protocol: data-server-replaced
def test_a_restarted_one_gets_its_sessions_back(
    tmp_path: Path, echo_app: Application, kind: list[object]
) -> None:
    """Killed and started again by its service manager, on the same address."""
    address = f"127.0.0.1:{free_port()}"
    with (
        contextlib.ExitStack() as second,
        Command(
            *(BIN / "s2ds", "serve", "--state-dir", tmp_path / "elsewhere", "--listen", address),
            *kind,
            cwd=tmp_path,
            env=clean_environment(tmp_path),
        ) as first,
    ):
        first.line("^s2ds ready on")
        with Facility(tmp_path, "--data-server", address) as facility:
            user = Client(tmp_path, facility, facility)
            with user.session("--prod-app", echo_app.endpoint) as document:
                before = facility.taken
                with connect(document["listeners"][0]) as connection:
                    connection.sendall(b"ping")
                    assert receive(connection, 4) == b"ping"
                    os.kill(first.pid, signal.SIGKILL)
                    first.wait()
                    # Of another program than ours, it may look like an end.
                    with (
                        pytest.raises(ConnectionResetError)
                        if not kind
                        else contextlib.suppress(ConnectionResetError)
                    ):
                        assert connection.recv(1) == b""
                second.enter_context(data_server(tmp_path, "--listen", address, *kind))
                eventually(lambda: facility.taken == before, "the same ports")

                def works() -> bool:
                    try:
                        return echo(document["listeners"][0]) == b"ping"
                    except OSError:
                        return False

                eventually(works, "a new connection works")


# Protocol: data-server-silent
def test_a_silent_one_is_taken_for_dead_until_it_answers(
    tmp_path: Path, echo_app: Application
) -> None:
    """Its machine may be gone: nothing says that it is not there any more."""
    with (
        data_server(tmp_path, "--listen", "127.0.0.1:0") as (remote, address),
        Facility(tmp_path, "--data-server", address) as facility,
    ):
        user = Client(tmp_path, facility, facility)
        with user.session("--prod-app", echo_app.endpoint) as document:
            remote.signal(signal.SIGSTOP)
            try:
                facility.command.line("the data server is gone", "err")
            finally:
                remote.signal(signal.SIGCONT)
            facility.command.line("the data server is back", "err")
            eventually(
                lambda: all(s["phase"] == "ready" for s in user.sessions(document["uid"])),
                "the session is there",
            )
            assert echo(document["listeners"][0]) == b"ping"
