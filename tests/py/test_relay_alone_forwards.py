"""`s2ds relay`: forwards ports without any control server."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

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
from facility import BIN, Command, can_bind, clean_environment, free_port, run, split


@contextlib.contextmanager
def relay(folder: Path, *flags: object) -> Iterator[Command]:
    with Command(BIN / "s2ds", "relay", *flags, env=clean_environment(folder)) as command:
        yield command
        if command.process.poll() is None:
            command.signal(signal.SIGTERM)
        assert command.wait() == 0, command.err


def listeners(command: Command, count: int) -> list[str]:
    command.line(r"^s2ds ready on \S+$")
    while command.out.count("\n") < count:
        command.line(rf"^(?!{'$|'.join(command.out.splitlines())}$)")
    return [line.removeprefix("s2ds ready on ") for line in command.out.splitlines()]


def test_bytes_arrive_as_they_were_sent(tmp_path: Path) -> None:
    data = payload(30_000_000)
    with (
        application(sends(data)) as app,
        relay(tmp_path, "--listen", "127.0.0.1:0", "--target", app.endpoint) as command,
    ):
        (listener,) = listeners(command, 1)
        assert digest(fetch(listener)) == digest(data)


def test_it_says_what_it_waits_for(tmp_path: Path) -> None:
    target = f"127.0.0.1:{free_port()}"
    with relay(tmp_path, "--listen", "127.0.0.1:0", "--target", target) as command:
        (listener,) = listeners(command, 1)
        with connect(listener):
            command.line(rf"target {target} is not there yet: Connection refused", "err")
            with application(sends(b"late"), port=split(target)[1]):
                assert fetch(listener) == b"late"
        assert command.err.count("is not there yet") == 1


def test_several_pairs_each_have_their_target(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        apps = [stack.enter_context(application(sends(f"app {n}".encode()))) for n in range(3)]
        flags: list[str] = []
        for app in apps:
            flags += ["--listen", "127.0.0.1:0", "--target", app.endpoint]
        command = stack.enter_context(relay(tmp_path, *flags, "--threads", "2"))
        got = [fetch(listener) for listener in listeners(command, 3)]
    assert got == [b"app 0", b"app 1", b"app 2"]


def test_ipv6_and_host_names(tmp_path: Path, echo_app: Application) -> None:
    port = split(echo_app.endpoint)[1]
    flags = ["--listen=[::1]:0", f"--target=localhost:{port}"]
    with relay(tmp_path, *flags) as command:
        (listener,) = listeners(command, 1)
        assert listener.startswith("[::1]:")
        with socket.create_connection(("::1", split(listener)[1]), timeout=15) as connection:
            connection.sendall(b"over six")
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(100) == b"over six"


def test_it_takes_all_the_descriptors_it_may_have(tmp_path: Path) -> None:
    flags = ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:9"]
    with Command(
        *("bash", "-c", 'ulimit -Sn 64 && ulimit -Hn 640 && exec "$@"', "-", BIN / "s2ds"),
        *("relay", *flags),
        env=clean_environment(tmp_path),
    ) as command:
        listeners(command, 1)
        assert resource.prlimit(command.pid, resource.RLIMIT_NOFILE) == (640, 640)


def test_its_port_is_free_when_it_has_ended(tmp_path: Path, echo_app: Application) -> None:
    with relay(tmp_path, "--listen", "127.0.0.1:0", "--target", echo_app.endpoint) as command:
        (listener,) = listeners(command, 1)
        assert echo(listener) == b"ping"
        with connect(listener) as open_one:
            open_one.sendall(b"x")
            assert open_one.recv(1) == b"x"
            command.signal(signal.SIGINT)
            assert command.wait() == 0
            with pytest.raises(ConnectionResetError):
                open_one.recv(1)
    assert can_bind(*split(listener))


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--listen", "127.0.0.1:0"],
        ["--target", "127.0.0.1:9"],
        ["--listen", "nonsense", "--target", "127.0.0.1:9"],
        ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:0"],
        ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:70000"],
        ["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:9"],
        ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:9", "--threads", "0"],
        ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:9", "--threads", "many"],
        ["--no-such-flag"],
        ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:9", "127.0.0.1:10"],
        ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:9", "--ciphersuites", "AES-128-GCM"],
        ["--listen", "127.0.0.1:9", "--target", "127.0.0.1:9"],
        ["--listen", "0.0.0.0:9", "--target", "127.0.0.1:9"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_2(tmp_path: Path, flags: list[str]) -> None:
    done = run(BIN / "s2ds", "relay", *flags, env=clean_environment(tmp_path))
    assert done.rc == 2, done.err
    assert done.out == ""
    assert done.err.startswith("s2ds: ")


def test_a_key_that_is_no_file_is_2(tmp_path: Path) -> None:
    flags = ["--listen", "127.0.0.1:0", "--target", "127.0.0.1:9", "--tls", "server"]
    for path in (tmp_path, Path("/dev/zero")):
        done = run(
            *(BIN / "s2ds", "relay", *flags, "--key-file", path), env=clean_environment(tmp_path)
        )
        assert done.rc == 2, done.err
        assert f"'{path}' is no file" in done.err
        assert "chmod" not in done.err


def test_a_word_that_is_no_command_is_named(tmp_path: Path) -> None:
    done = run(BIN / "s2ds", "forward", env=clean_environment(tmp_path))
    assert done.rc == 2
    assert "'forward' is not a command; known: serve, relay, doctor" in done.err


def test_a_bad_value_of_the_environment_names_its_variable(tmp_path: Path) -> None:
    done = run(
        *(BIN / "s2ds", "relay", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:9"),
        env={**clean_environment(tmp_path), "SCISTREAM_THREADS": "0"},
    )
    assert done.rc == 2
    assert "SCISTREAM_THREADS" in done.err


def test_what_went_through_is_said_at_the_end(tmp_path: Path, echo_app: Application) -> None:
    flags = ("--listen", "127.0.0.1:0", "--target", echo_app.endpoint)
    with relay(tmp_path, *flags) as command:
        (listener,) = listeners(command, 1)
        with connect(listener) as connection:
            connection.sendall(b"12345")
            assert receive(connection, 5) == b"12345"
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""
        command.signal(signal.SIGTERM)
        command.line("1 connections, 5 bytes to the targets, 5 back, 0 did not end well", "err")


def test_a_port_in_use_is_9(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        done = run(
            *(BIN / "s2ds", "relay", "--listen", address, "--target", "127.0.0.1:9"),
            env=clean_environment(tmp_path),
        )
    assert done.rc == 9, done.err
    assert address in done.err


# Protocol: absent-application
@pytest.mark.soak
def test_a_target_that_is_never_there_is_a_reset(tmp_path: Path) -> None:
    """Not before a while: an application may start late. See the relay's own tests for limits."""
    target = f"127.0.0.1:{free_port()}"
    with (
        relay(tmp_path, "--listen", "127.0.0.1:0", "--target", target) as command,
        connect(listeners(command, 1)[0]) as connection,
    ):
        connection.settimeout(45)
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
