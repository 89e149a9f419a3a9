"""One documented exit code a cause, and a message that names it."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from applications import Application
from conftest import Pair
from facility import BIN, Client, Facility, free_port

QUICK = 2.5  # seconds; the promise is one, and the machine is shared


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Facility, Facility, Client]]:
    """Facilities with little to give: the producer's has the ports, the consumer's bandwidth."""
    folder = tmp_path_factory.mktemp("small")
    with (
        Facility(folder, "--capacity", 1000, "--timeout", "700ms", ports=6) as prod,
        Facility(folder, "--capacity=400", "--timeout=700ms", ports=3) as cons,
    ):
        yield prod, cons, Client(folder, prod, cons)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facility]:
    with Facility(tmp_path_factory.mktemp("plain"), tls=False) as facility:
        yield facility


# Protocol: amounts-range
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["no-such-command"],
        ["request", "--no-such-flag"],
        ["request"],
        ["request", "--prod", "127.0.0.1:1"],
        ["request", "--prod", "nonsense", "--cons", "127.0.0.1:2"],
        ["request", "--prod", "127.0.0.1:1", "--cons", "127.0.0.1:70000"],
        ["request", "--prod", "127.0.0.1:1", "--cons", "127.0.0.1:2", "--num-conn", "0"],
        ["request", "--prod", "127.0.0.1:1", "--cons", "127.0.0.1:2", "--num-conn", "4097"],
        ["request", "--prod", "127.0.0.1:1", "--cons", "127.0.0.1:2", "--rate", "-1"],
        ["request", "--prod", "127.0.0.1:1", "--cons", "127.0.0.1:2", "--uid", "two words"],
        ["request", "--prod", "127.0.0.1:1", "--cons", "127.0.0.1:2", "--uid", "../up"],
        ["request", "--prod", "127.0.0.1:1", "--cons", "127.0.0.1:2", "--label", "novalue"],
        ["request", "--prod", "127.0.0.1:1", "--cons", "127.0.0.1:2", "--for", "soon"],
        ["request", "--prod", "127.0.0.1:1", "--cons", "127.0.0.1:2", "--for", "9999999999d"],
        ["request", "--prod", "127.0.0.1:1", "--cons", "127.0.0.1:2", "--release-on-exit"],
        ["request", "--prod", "127.0.0.1:1", "--cons", "127.0.0.1:2", "--prod-app", "nowhere"],
        ["release"],
        ["release", "../../etc/passwd"],
        ["status", "two words"],
    ],
    ids=" ".join,
)
def test_a_usage_error_is_2(tmp_path: Path, words: list[str]) -> None:
    done = Client(tmp_path).s2uc(*words)
    assert done.rc == 2
    assert done.out == ""
    assert done.err.startswith("s2uc: ")
    assert len(done.err.splitlines()) == 1


# Protocol: untrusted-at-once
def test_an_untrusted_certificate_is_3(pair: Pair, tmp_path: Path) -> None:
    stranger = Client(tmp_path, pair.prod, pair.cons)
    stranger.trust(pair.prod.certificate)
    done = stranger.s2uc("request", *stranger.places, "--prod-app", "127.0.0.1:9")
    assert done.rc == 3
    assert pair.cons.endpoint in done.err
    assert "certificate" in done.err
    assert "--server_cert" in done.err
    assert done.seconds < QUICK


# Protocol: wrong-name
def test_a_name_that_the_certificate_does_not_carry_is_3(pair: Pair, tmp_path: Path) -> None:
    """The most common failure of certificates made by hand."""
    with Facility(
        tmp_path,
        *("--server_crt", pair.prod.certificate, "--server_key", pair.prod.state / "server.key"),
    ) as other:
        user = Client(tmp_path, pair.prod)
        done = user.s2uc("info", "--s2cs", other.endpoint)
    assert done.rc == 3
    assert other.host in done.err


# Protocol: refused-at-once
def test_nobody_there_is_5_at_once(pair: Pair) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    for words in (
        ["request", "--prod", nobody, "--cons", pair.cons.endpoint, "--prod-app", nobody],
        ["release", "some-id", "--s2cs", nobody],
        ["status", "some-id", "--s2cs", nobody],
        ["watch", "some-id", "--s2cs", nobody],
        ["info", "--s2cs", nobody],
    ):
        done = pair.user.s2uc(*words)
        assert done.rc == 5, (words, done.err)
        assert nobody in done.err
        assert done.seconds < QUICK, words
    done = pair.user.appctrl("hello", "some-id", nobody, "--role", "CONS")
    assert done.rc == 5
    assert done.seconds < QUICK


def test_an_unknown_host_is_5(pair: Pair) -> None:
    done = pair.user.s2uc("info", "--s2cs", "no-such-host.invalid:5000")
    assert done.rc == 5
    assert "no-such-host.invalid" in done.err


# Protocol: wrong-channel
def test_tls_at_a_plaintext_server_is_named_at_once(pair: Pair, plain: Facility) -> None:
    done = pair.user.s2uc("info", "--s2cs", plain.endpoint)
    assert done.rc == 2
    assert "does not speak TLS" in done.err
    assert "--ssl=False" in done.err
    assert done.seconds < QUICK


# Protocol: wrong-channel
def test_plaintext_at_a_tls_server_is_named_at_once(pair: Pair) -> None:
    done = pair.user.s2uc("info", "--s2cs", pair.prod.endpoint, "--ssl=False")
    assert done.rc == 2
    assert "speaks TLS" in done.err or "does not speak plaintext" in done.err
    assert done.seconds < QUICK


def test_something_else_than_a_control_server_is_named(pair: Pair) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def be_rude() -> None:
            for _ in range(10):
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"220 mail.example.org ESMTP ready\r\n")
                    connection.settimeout(1)
                    with contextlib.suppress(OSError):
                        connection.recv(100)

        thread = threading.Thread(target=be_rude, daemon=True)
        thread.start()
        done = pair.user.s2uc("info", "--s2cs", f"127.0.0.1:{port}")
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(15)
    assert done.rc == 2
    assert f"127.0.0.1:{port}" in done.err


# Protocol: no-hello
def test_no_hello_in_time_is_6(small: tuple[Facility, Facility, Client]) -> None:
    prod, cons, user = small
    done = user.s2uc("request", *user.places)
    assert done.rc == 6, done.err
    assert "hello" in done.err.lower()
    assert (prod.taken, cons.taken) == ([], [])


# Protocol: client-gives-up
def test_the_clients_own_limit_is_6_too(pair: Pair) -> None:
    done = pair.user.s2uc("request", *pair.user.places, "--timeout", "400ms")
    assert done.rc == 6, done.err


def test_an_unknown_session_is_7(pair: Pair) -> None:
    for words in (
        ["status", "nobody-knows-this"],
        ["release", "nobody-knows-this"],
        ["watch", "nobody-knows-this"],
    ):
        assert pair.user.s2uc(*words).rc == 7, words
        done = pair.user.s2uc(*words, *pair.user.places)
        assert done.rc == 7, words
        assert "nobody-knows-this" in done.err
    done = pair.user.appctrl("hello", "nobody-knows-this", pair.cons.endpoint, "--role", "CONS")
    assert done.rc == 7


# Protocol: ports-short
def test_too_few_ports_is_8_and_says_how_many_are_free(
    small: tuple[Facility, Facility, Client], echo_app: Application
) -> None:
    prod, cons, user = small
    with user.session("--prod-app", echo_app.endpoint, "--num-conn", 2):
        done = user.s2uc("request", *user.places, "--prod-app", echo_app.endpoint, "--num-conn", 2)
        assert done.rc == 8, done.err
        assert cons.endpoint in done.err
        assert "1" in done.err.replace(cons.endpoint, "")
        assert "free" in done.err
        assert done.seconds < QUICK
        assert (len(prod.taken), len(cons.taken)) == (2, 2), "nothing more stays reserved"
        assert user.s2uc("info", "--s2cs", prod.endpoint, "--json").json["ports_free"] == 4
    for facility in (prod, cons):
        info = user.s2uc("info", "--s2cs", facility.endpoint, "--json").json
        assert info["ports_free"] == info["ports_total"] == len(facility.ports)
        assert info["sessions"] == 0


# Protocol: rate-explicit, rate-zero, lease-returned-once
def test_too_little_bandwidth_is_8_and_says_how_much_is_free(
    small: tuple[Facility, Facility, Client], echo_app: Application
) -> None:
    prod, cons, user = small
    app = ["--prod-app", echo_app.endpoint]

    def free(facility: Facility) -> int:
        info = user.s2uc("info", "--s2cs", facility.endpoint, "--json").json
        mbps: int = info["capacity_free_mbps"]
        return mbps

    with user.session(*app, "--rate", 300):
        assert (free(prod), free(cons)) == (700, 100)
        done = user.s2uc("request", *user.places, *app, "--rate", 101)
        assert done.rc == 8, done.err
        assert "100" in done.err
        assert "free" in done.err
        assert (free(prod), free(cons)) == (700, 100)
        assert (len(prod.taken), len(cons.taken)) == (1, 1)
        with user.session(*app, "--rate", 100):
            assert (free(prod), free(cons)) == (600, 0)
            with user.session(*app):  # best effort leases nothing
                assert (free(prod), free(cons)) == (600, 0)
    assert (free(prod), free(cons)) == (1000, 400)


# Protocol: other-values, holder-unharmed
def test_an_id_in_use_with_other_values_is_9(pair: Pair, echo_app: Application) -> None:
    with pair.user.session("--prod-app", echo_app.endpoint, "--uid", "mine"):
        done = pair.user.s2uc(
            *("request", *pair.user.places, "--prod-app", echo_app.endpoint),
            *("--uid", "mine", "--num-conn", 2),
        )
        assert done.rc == 9, done.err
        assert (len(pair.prod.taken), len(pair.cons.taken)) == (1, 1), "the first one lives"
        assert len(pair.user.sessions("mine")) == 2


def test_a_session_that_nobody_could_be_told_of_is_released(pair: Pair) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [BIN / "s2uc", "request", *pair.user.places, "--prod-app", "127.0.0.1:9"],
            cwd=pair.user.folder,
            env=pair.user.env,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert re.search("cannot write to stdout; session [0-9a-f-]+ is released", done.stderr)
    assert (pair.prod.taken, pair.cons.taken) == ([], [])
    assert pair.user.s2uc("list", "--json").json["sessions"] == []


def test_a_consumer_says_no_address(pair: Pair) -> None:
    done = pair.user.appctrl(
        "hello", "x", pair.cons.endpoint, "--role", "CONS", "--listen", "127.0.0.1:9"
    )
    assert done.rc == 2
    assert "--listen is for --role PROD" in done.err


# Protocol: client-gives-up
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_withdrawing_is_11_and_releases_both_ends(pair: Pair, number: signal.Signals) -> None:
    with pair.user.waiting() as request:
        request.listening()
        request.signal(number)
        assert request.wait() == 11, request.err
        assert "Current state: releasing" in request.err
    for facility in (pair.prod, pair.cons):
        assert pair.user.s2uc("status", request.uid, "--s2cs", facility.endpoint).rc == 7
    assert not request.prod_key.exists()
