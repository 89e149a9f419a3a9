"""curl, ZeroMQ, iperf3 and plain sockets work as they are."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from applications import (
    Application,
    application,
    connect,
    digest,
    echo,
    echoes,
    fetch,
    payload,
    receive,
    receive_all,
    sends,
)
from conftest import Pair
from facility import Command, eventually, free_port, run, split


@contextlib.contextmanager
def through(pair: Pair, app: str) -> Iterator[str]:
    """The consumer's address of a session for an application."""
    with pair.user.session("--prod-app", app) as document:
        yield document["listeners"][0]


def test_curl_fetches_from_a_web_server(pair: Pair, tmp_path: Path) -> None:
    data = payload(12_000_000)
    (tmp_path / "scan.bin").write_bytes(data)
    with Command(
        "python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "0", cwd=tmp_path
    ) as server:
        port = server.line(r"port (\d+)")[1]
        with through(pair, f"127.0.0.1:{port}") as address:
            done = run(
                "curl",
                "-sSf",
                "--noproxy",
                "*",
                "-o",
                "got",
                f"http://{address}/scan.bin",
                cwd=tmp_path,
            )
            assert done.rc == 0, done.err
            missing = run(
                "curl",
                "-sS",
                "--noproxy",
                "*",
                "-o",
                "-",
                "-w",
                "%{http_code}",
                f"http://{address}/none",
                cwd=tmp_path,
            )
            assert missing.out.endswith("404")
    assert digest((tmp_path / "got").read_bytes()) == digest(data)


def test_a_zeromq_publisher_reaches_its_subscriber(pair: Pair) -> None:
    count = 500
    context = zmq.Context()
    with context.socket(zmq.XPUB) as publisher, context.socket(zmq.SUB) as subscriber:
        for end in (publisher, subscriber):
            end.linger = 0
            end.rcvtimeo = end.sndtimeo = 15_000
        publisher.sndhwm = subscriber.rcvhwm = 0
        port = publisher.bind_to_random_port("tcp://127.0.0.1")
        with through(pair, f"127.0.0.1:{port}") as address:
            subscriber.connect(f"tcp://{address}")
            subscriber.subscribe(b"frame")
            assert publisher.recv() == b"\x01frame"  # the subscription has come through
            sent, got = hashlib.sha256(), hashlib.sha256()
            for number in range(count):
                frame = payload(20_000, seed=number)
                sent.update(frame)
                publisher.send_multipart([b"frame", frame])
            publisher.send_multipart([b"frame", b"end"])
            received = 0
            while (parts := subscriber.recv_multipart())[1] != b"end":
                got.update(parts[1])
                received += 1
            assert (received, got.hexdigest()) == (count, sent.hexdigest())
    context.term()


# Protocol: listener-connections
@pytest.mark.parametrize("direction", [[], ["--reverse"]])
def test_iperf3_runs_forward_and_reverse(pair: Pair, direction: list[str]) -> None:
    port = free_port()
    with Command(
        *("iperf3", "--server", "--one-off", "--bind", "127.0.0.1", "--port", port, "--forceflush")
    ) as server:
        server.line("Server listening")
        with through(pair, f"127.0.0.1:{port}") as address:
            host, listener = split(address)
            done = run(
                *("iperf3", "--client", host, "--port", listener, "--bytes", "64M", "--json"),
                *("--parallel", "2", *direction),
            )
            assert done.rc == 0, done.out
            report = done.json
            assert "error" not in report
            # What is still under way when the sender is done, iperf3 does not count.
            received = report["end"]["sum_received"]["bytes"]
            assert report["end"]["sum_sent"]["bytes"] >= 64 << 20
            assert received > 1 << 20
            (uid,) = [name.stem for name in (pair.user.state / "sessions").glob("*.json")]
            for session in pair.user.sessions(uid):
                forward, back = session["bytes_to_producer"], session["bytes_to_consumer"]
                bulk = back if direction else forward
                assert bulk >= received
                assert session["connections_total"] == 3, "iperf3 has one to control the others"
        assert server.wait() == 0


# Protocol: half-close
def test_each_side_may_end_before_the_other(pair: Pair) -> None:
    """The consumer ends its side, and only then does the producer answer."""

    def count_then_answer(connection: socket.socket) -> None:
        got = receive_all(connection)
        connection.sendall(f"{len(got)} {digest(got)}".encode())

    data = payload(3_000_000)
    with application(count_then_answer) as app, through(pair, app.endpoint) as address:
        with connect(address) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            assert receive_all(connection).decode() == f"{len(data)} {digest(data)}"
        assert app.errors == []


# Protocol: half-close
def test_the_producer_may_end_first(pair: Pair) -> None:
    taken: list[bytes] = []
    done = threading.Event()

    def send_end_and_listen(connection: socket.socket) -> None:
        connection.sendall(b"all there is")
        connection.shutdown(socket.SHUT_WR)
        taken.append(receive_all(connection))
        done.set()

    with application(send_end_and_listen) as app, through(pair, app.endpoint) as address:
        with connect(address) as connection:
            assert receive_all(connection) == b"all there is"
            connection.sendall(b"thanks")
        assert done.wait(15)
        assert taken == [b"thanks"]
        assert app.errors == []


# Protocol: listener-connections
def test_many_connections_at_once_keep_apart(pair: Pair, echo_app: Application) -> None:
    with through(pair, echo_app.endpoint) as address:
        got: dict[int, bytes] = {}

        def talk(number: int) -> None:
            got[number] = echo(address, payload(200_000, seed=number))

        threads = [threading.Thread(target=talk, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert {n: digest(data) for n, data in got.items()} == {
            n: digest(payload(200_000, seed=n)) for n in range(40)
        }


# Protocol: late-application
def test_an_application_that_starts_late_is_waited_for(pair: Pair) -> None:
    data = payload(1_000_000)
    port = free_port()
    with through(pair, f"127.0.0.1:{port}") as address, connect(address) as connection:
        (uid,) = [name.stem for name in (pair.user.state / "sessions").glob("*.json")]
        eventually(
            lambda: all(s["connections_active"] for s in pair.user.sessions(uid)),
            "both data servers hold the connection",
        )
        with socket.create_server(("127.0.0.1", port)) as listener:
            listener.settimeout(15)
            late, _ = listener.accept()
            with late:
                late.sendall(data)
                late.shutdown(socket.SHUT_WR)
                connection.shutdown(socket.SHUT_WR)
                assert receive_all(connection) == data
                assert late.recv(1) == b""


# Protocol: data-unchanged
def test_a_stream_is_the_same_at_both_ends(pair: Pair) -> None:
    data = payload(50_000_000)
    with application(sends(data)) as app, through(pair, app.endpoint) as address:
        assert digest(fetch(address)) == digest(data)
        (uid,) = [name.stem for name in (pair.user.state / "sessions").glob("*.json")]
        for session in pair.user.sessions(uid):
            assert session["bytes_to_consumer"] == len(data)
            assert session["errors"] == 0


# Protocol: quiet-stream
@pytest.mark.soak
@pytest.mark.timeout(150)
def test_a_stream_that_is_quiet_for_a_minute_goes_on(pair: Pair) -> None:
    """Proxies that are made for the web cut it after 50 s."""

    def echoes_patiently(connection: socket.socket) -> None:
        connection.settimeout(None)
        echoes(connection)

    with (
        application(echoes_patiently) as app,
        through(pair, app.endpoint) as address,
        connect(address) as connection,
    ):
        for message in (b"before", b"after"):
            connection.sendall(message)
            assert receive(connection, len(message)) == message
            if message == b"before":
                assert not threading.Event().wait(60)
        connection.shutdown(socket.SHUT_WR)
        assert receive_all(connection) == b""
