"""`appctrl run`: starts the application, and is the application to whoever started it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from applications import Application, digest, payload
from conftest import Pair
from facility import Command, Waiting, free_port

SIZE = 8_000_000

PRODUCER = f"""
import random, socket, sys
host, port = sys.argv[1].rsplit(":", 1)
with socket.create_server((host, int(port))) as listener:
    print("serving", flush=True)
    connection, _ = listener.accept()
    with connection:
        connection.sendall(random.Random(7).randbytes({SIZE}))
"""

CONSUMER = """
import hashlib, os, socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    connection.shutdown(socket.SHUT_WR)
    state = hashlib.sha256()
    while chunk := connection.recv(65536):
        state.update(chunk)
print(state.hexdigest())
"""


@pytest.fixture
def request_(pair: Pair) -> Iterator[Waiting]:
    """A request that waits for both applications; released at the end."""
    with pair.user.waiting("--num-conn", "2") as request:
        request.listening()
        yield request
        pair.user.release(request.uid)
        request.wait()


def run(pair: Pair, request: Waiting, role: str, *words: object) -> Command:
    """`appctrl run`, with flags, `--` and the application in `words`."""
    server, key = (pair.prod, request.prod_key) if role == "PROD" else (pair.cons, request.cons_key)
    return pair.user.start(
        "appctrl",
        *("run", request.uid, server.endpoint, "--role", role),
        *("--key-file", key, "--wait", "10s", *words),
    )


def hello(pair: Pair, request: Waiting, role: str, *words: object) -> None:
    server, key = (pair.prod, request.prod_key) if role == "PROD" else (pair.cons, request.cons_key)
    done = pair.user.appctrl(
        *("hello", request.uid, server.endpoint, "--role", role),
        *("--key-file", key, "--wait", "10s", *words),
    )
    assert done.rc == 0, done.err


def ready(pair: Pair, request: Waiting, app: str) -> None:
    hello(pair, request, "PROD", "--listen", app)


def test_bytes_flow_between_two_of_them(pair: Pair, request_: Waiting) -> None:
    address = f"127.0.0.1:{free_port()}"
    with (
        run(
            pair,
            request_,
            "PROD",
            *("--listen", address, "--", sys.executable, "-c", PRODUCER, address),
        ) as producer,
        run(
            pair, request_, "CONS", "--", sys.executable, "-c", CONSUMER, "{host}", "{port}"
        ) as consumer,
    ):
        assert request_.wait() == 0, request_.err
        assert consumer.wait() == 0, consumer.err
        assert producer.wait() == 0, producer.err
    assert consumer.out.strip() == digest(payload(SIZE, seed=7))


# Protocol: hello-wait-ready
def test_the_consumer_starts_only_when_its_side_is_ready(
    pair: Pair, request_: Waiting, echo_app: Application, tmp_path: Path
) -> None:
    mark = tmp_path / "started"
    with run(pair, request_, "CONS", "--", "touch", mark) as consumer:
        hello(pair, request_, "CONS")  # this side has its listeners, the other is not there yet
        assert not mark.exists()
        assert consumer.process.poll() is None
        ready(pair, request_, echo_app.endpoint)
        assert consumer.wait() == 0, consumer.err
        assert mark.exists()
        assert request_.wait() == 0


def test_placeholders_and_environment_name_the_listeners(
    pair: Pair, request_: Waiting, echo_app: Application
) -> None:
    show = (
        "import json, os, sys; print(json.dumps([sys.argv[1:],"
        " {n: v for n, v in os.environ.items() if n.startswith('SCISTREAM_')}]))"
    )
    words = ["{listener}", "{host}", "{port}", "{listeners}", "tcp://{host}:{port}/x", "{other}"]
    with run(pair, request_, "CONS", "--", sys.executable, "-c", show, *words) as consumer:
        ready(pair, request_, echo_app.endpoint)
        assert consumer.wait() == 0, consumer.err
        assert request_.wait() == 0
    listeners = json.loads(request_.out)["listeners"]
    host, port = listeners[0].split(":")
    arguments, environment = json.loads(consumer.out)
    joined = ",".join(listeners)
    assert arguments == [
        listeners[0],
        host,
        port,
        joined,
        f"tcp://{listeners[0]}/x",
        "{other}",
    ]
    assert environment["SCISTREAM_LISTENERS"] == joined
    assert environment["SCISTREAM_UID"] == request_.uid
    assert environment["SCISTREAM_ROLE"] == "CONS"
    assert "SCISTREAM_APP_KEY" not in environment


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137)])
def test_the_exit_code_passes_through(
    pair: Pair, request_: Waiting, echo_app: Application, script: str, code: int
) -> None:
    with run(
        pair, request_, "PROD", "--listen", echo_app.endpoint, "--", "sh", "-c", script
    ) as app:
        assert app.wait() == code, app.err


# Protocol: values-untouched
def test_options_of_the_application_are_not_appctrls(
    pair: Pair, request_: Waiting, echo_app: Application
) -> None:
    words = ["--listen", echo_app.endpoint, "--", "echo", "--role", "--json", "-v", "--", "--help"]
    with run(pair, request_, "PROD", *words) as app:
        assert app.wait() == 0, app.err
        assert app.out == "--role --json -v -- --help\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_application(
    pair: Pair, request_: Waiting, echo_app: Application, number: signal.Signals
) -> None:
    script = (
        "import signal, sys\n"
        "def end(number, frame):\n"
        "    print('got', number, flush=True); sys.exit(17)\n"
        f"signal.signal({int(number)}, end)\n"
        "print('started', flush=True)\n"
        "while True: signal.pause()\n"
    )
    words = ["--listen", echo_app.endpoint, "--", sys.executable, "-c", script]
    with run(pair, request_, "PROD", *words) as app:
        app.line("^started$")
        app.signal(number)
        app.line(f"^got {int(number)}$")
        assert app.wait() == 17


def test_a_signal_ends_the_wait_for_readiness(pair: Pair, request_: Waiting) -> None:
    with run(pair, request_, "CONS", "--", "true") as app:
        hello(pair, request_, "CONS")
        app.signal(signal.SIGTERM)
        assert app.wait() == 125


def test_a_released_session_ends_the_wait_for_readiness(pair: Pair, request_: Waiting) -> None:
    with run(pair, request_, "CONS", "--", "true") as app:
        hello(pair, request_, "CONS")
        pair.user.release(request_.uid)
        assert app.wait() == 125
        assert app.err.startswith("appctrl: ")


def test_its_own_failures_end_with_125(
    pair: Pair, request_: Waiting, echo_app: Application
) -> None:
    listen = ["--listen", echo_app.endpoint]
    nobody = f"127.0.0.1:{free_port()}"
    cases: list[list[object]] = [
        ["run", request_.uid, nobody, "--role", "PROD", *listen, "--", "true"],
        ["run", "unknown-id", pair.prod.endpoint, "--role", "PROD", *listen, "--", "true"],
        ["run", request_.uid, pair.prod.endpoint, "--role", "BOTH", "--", "true"],
        ["run", request_.uid, pair.prod.endpoint, "--role", "PROD", *listen],
        ["run", request_.uid, pair.prod.endpoint, "--no-such-flag", "--", "true"],
        ["run", request_.uid, pair.prod.endpoint, "--role", "PROD", *listen, "--", "true"],
    ]
    for words in cases:
        done = pair.user.appctrl(*words)
        assert done.rc == 125, (words, done.err)
        assert done.err.startswith("appctrl: "), words
    with run(pair, request_, "PROD", *listen, "--", "/no/such/program") as app:
        assert app.wait() == 125
        assert "/no/such/program" in app.err


def test_a_usage_error_of_hello_is_not_125(pair: Pair) -> None:
    assert pair.user.appctrl("hello", "some-id").rc == 2
    assert pair.user.appctrl().rc == 2
