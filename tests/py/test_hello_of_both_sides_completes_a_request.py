"""Without `--prod-app`, a request waits for the application controllers of both sides."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from applications import Application, echo
from conftest import Pair
from facility import Waiting, command_line


def hello_words(pair: Pair, request: Waiting, role: str, key: Path | None) -> list[object]:
    server = pair.prod if role == "PROD" else pair.cons
    keyed: list[object] = ["--key-file", key] if key else []
    return ["hello", request.uid, server.endpoint, "--role", role, *keyed]


def states(pair: Pair, request: Waiting) -> list[str]:
    return [f"{entry['state']} {entry['phase']}" for entry in pair.user.sessions(request.uid)]


# Protocol: hello-answers-listeners, appctrl-hello, key-environment
def test_it_waits_for_both_and_then_streams(pair: Pair, echo_app: Application) -> None:
    with pair.user.waiting() as request:
        request.listening()
        producer = pair.user.appctrl(
            *hello_words(pair, request, "PROD", request.prod_key), "--listen", echo_app.endpoint
        )
        assert (producer.rc, producer.err) == (0, "")
        assert request.process.poll() is None, "the consumer has not said hello"
        assert request.out == ""
        consumer = pair.user.appctrl(*hello_words(pair, request, "CONS", request.cons_key))
        assert consumer.rc == 0, consumer.err
        assert request.wait() == 0, request.err
        document = json.loads(request.out)
        assert consumer.out.splitlines() == document["listeners"]
        assert producer.out.splitlines() == document["prod_listeners"]
        assert echo(document["listeners"][0]) == b"ping"
        pair.user.release(request.uid)


# Protocol: appctrl-wait
def test_hello_before_the_request_is_repeated_while_wait_lasts(
    pair: Pair, echo_app: Application
) -> None:
    uid = "early-" + secrets.token_hex(8)
    keys = pair.user.state / "keys"
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    for role in ("prod", "cons"):
        (keys / f"{uid}.{role}.key").write_text(secrets.token_hex(32))
        (keys / f"{uid}.{role}.key").chmod(0o600)
    hellos = [
        pair.user.start(
            "appctrl",
            *("hello", uid, server.endpoint, "--role", role, "--wait", "20s"),
            *("--key-file", keys / f"{uid}.{role.lower()}.key", *listen),
        )
        for server, role, listen in (
            (pair.prod, "PROD", ["--listen", echo_app.endpoint]),
            (pair.cons, "CONS", []),
        )
    ]
    with hellos[0] as producer, hellos[1] as consumer, pair.user.waiting("--uid", uid) as request:
        assert request.wait() == 0, request.err
        assert (producer.wait(), consumer.wait()) == (0, 0)
        assert echo(consumer.out.split()[0]) == b"ping"
        pair.user.release(uid)


# Protocol: key-environment
def test_the_key_may_come_from_the_environment(pair: Pair, echo_app: Application) -> None:
    with pair.user.waiting() as request:
        for role, key, listen in (
            ("PROD", request.prod_key, ["--listen", echo_app.endpoint]),
            ("CONS", request.cons_key, []),
        ):
            done = pair.user.appctrl(
                *hello_words(pair, request, role, None),
                *("--wait", "10s", *listen),
                env={"SCISTREAM_APP_KEY": key.read_text().strip()},
            )
            assert done.rc == 0, done.err
        assert request.wait() == 0, request.err
        pair.user.release(request.uid)


def test_hello_prints_json_on_request(pair: Pair, echo_app: Application) -> None:
    with pair.user.waiting() as request:
        request.listening()
        done = pair.user.appctrl(
            *hello_words(pair, request, "PROD", request.prod_key),
            *("--listen", echo_app.endpoint, "--json"),
        )
        assert done.json["uid"] == request.uid
        assert len(done.json["listeners"]) == 1
        pair.user.release(request.uid)
        request.wait()


# Protocol: app-key-one-side, hello-unproven
def test_a_wrong_or_missing_key_is_refused_and_the_session_still_waits(
    pair: Pair, echo_app: Application
) -> None:
    wrong = pair.user.folder / "wrong.key"
    wrong.write_text(secrets.token_hex(32))
    wrong.chmod(0o600)
    with pair.user.waiting() as request:
        request.listening()
        for key in (wrong, None, request.cons_key):
            done = pair.user.appctrl(
                *hello_words(pair, request, "PROD", key), "--listen", echo_app.endpoint
            )
            assert done.rc == 3, done.err
            assert "key" in done.err
        for key in (wrong, None, request.prod_key):
            done = pair.user.appctrl(*hello_words(pair, request, "CONS", key))
            assert done.rc == 3, done.err
        assert states(pair, request) == ["listening hello"] * 2
        assert request.process.poll() is None
        listen = ["--listen", echo_app.endpoint]
        good = hello_words(pair, request, "PROD", request.prod_key)
        assert pair.user.appctrl(*good, *listen).rc == 0
        good = hello_words(pair, request, "CONS", request.cons_key)
        assert pair.user.appctrl(*good).rc == 0
        assert request.wait() == 0, request.err
        pair.user.release(request.uid)


# Protocol: key-file
def test_a_key_file_that_others_can_read_is_refused(pair: Pair) -> None:
    key = pair.user.folder / "open.key"
    key.write_text(secrets.token_hex(32))
    key.chmod(0o644)
    words = ["hello", "some-id", pair.cons.endpoint, "--role", "CONS", "--key-file", key]
    done = pair.user.appctrl(*words)
    assert done.rc == 4
    assert "chmod 600" in done.err


# Protocol: keys-not-shown
def test_a_key_file_that_is_no_key_is_a_usage_error(pair: Pair) -> None:
    key = pair.user.folder / "bad.key"
    key.write_text("not a key\n")
    key.chmod(0o600)
    words = ["hello", "some-id", pair.cons.endpoint, "--role", "CONS", "--key-file", key]
    done = pair.user.appctrl(*words)
    assert done.rc == 2
    assert "not a key" not in done.err, "what is in a key file is never printed"


def test_a_producer_without_addresses_is_a_usage_error(pair: Pair) -> None:
    done = pair.user.appctrl("hello", "some-id", pair.prod.endpoint, "--role", "PROD")
    assert done.rc == 2
    assert "--listen" in done.err


# Protocol: keys-not-shown
def test_no_key_is_in_a_command_line_or_a_log(pair: Pair, echo_app: Application) -> None:
    with pair.user.waiting() as request:
        keys = [request.prod_key.read_text().strip(), request.cons_key.read_text().strip()]
        with pair.user.start(
            "appctrl",
            *("run", request.uid, pair.cons.endpoint, "--role", "CONS", "--key-file"),
            *(request.cons_key, "--wait", "10s", "--", "sh", "-c", "env"),
        ) as consumer:
            lines = [command_line(process.pid) for process in (request, consumer)]
            lines.append(command_line(pair.prod.command.pid))
            lines.append(command_line(pair.prod.data_server))
            done = pair.user.appctrl(
                *hello_words(pair, request, "PROD", request.prod_key),
                *("--listen", echo_app.endpoint, "--wait", "10s", "--verbose"),
            )
            assert done.rc == 0, done.err
            assert consumer.wait() == 0, consumer.err
        assert request.wait() == 0
        pair.user.release(request.uid)
        said = done.out + done.err + consumer.out + consumer.err + request.out + request.err
        said += pair.prod.logs() + pair.cons.logs() + repr(lines)
        assert not [key for key in keys if key in said or key.upper() in said]
