"""`s2uc request` against control servers that know only the original wire."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from applications import Application, application, connect, digest, fetch, payload, sends
from deployed_peer import MESSAGES, DeployedServer, Peer, deployed_server
from facility import LIMIT, Client, Facility

PLAIN = ["--transport", "tcp"]

MOCK = "4f8583bc-a4d3-11ee-9fd6-034d1fcbd7c3"


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class Bridge:
    """A data server of a deployed facility: one listener, its target set by update."""

    def __init__(self) -> None:
        self.target = ""
        self._app = Application(self._forward)

    def __call__(self, targets: Sequence[str]) -> str:
        self.target = targets[0] if targets else ""
        return self._app.endpoint

    def _forward(self, connection: socket.socket) -> None:
        with connect(self.target) as onward:
            back = threading.Thread(target=pump, args=(onward, connection), daemon=True)
            back.start()
            pump(connection, onward)
            back.join()

    def close(self) -> None:
        self._app.close()


@contextlib.contextmanager
def deployed(options: Sequence[tuple[str, int]] = ()) -> Iterator[DeployedServer]:
    with contextlib.closing(Bridge()) as bridge, deployed_server(bridge, options) as server:
        yield server


# Protocol: deployed-servers, client-req-once
def test_a_session_between_two_of_them(tmp_path: Path) -> None:
    data = payload(2_000_000)
    user = Client(tmp_path)
    with deployed() as prod, deployed() as cons, application(sends(data)) as app:
        places = ["--prod", prod.endpoint, "--cons", cons.endpoint, "--ssl=False"]
        done = user.s2uc("request", "--json", *places, *PLAIN, "--prod-app", app.endpoint)
        assert done.rc == 0, done.err
        document = done.json
        assert document["listeners"] == [cons.address]
        assert document["prod_listeners"] == [prod.address]
        assert prod.updates == {document["uid"]: [app.endpoint]}
        assert cons.updates == {document["uid"]: [prod.address]}
        assert digest(fetch(document["listeners"][0])) == digest(data)
        assert prod.rpcs.count("req") == cons.rpcs.count("req") == 1, "a req is never repeated"
        done = user.s2uc("release", document["uid"], *places)
        assert (done.rc, done.out) == (0, "Release completed\n")
        assert prod.rpcs[-1] == cons.rpcs[-1] == "release"


# Protocol: deployed-mixed
def test_a_session_between_one_of_them_and_ours(tmp_path: Path) -> None:
    data = payload(2_000_000)
    with (
        Facility(tmp_path, tls=False) as ours,
        deployed() as theirs,
        application(sends(data)) as app,
    ):
        user = Client(tmp_path, ours)
        for prod, cons in (
            (ours.endpoint, theirs.endpoint),
            (theirs.endpoint, ours.endpoint),
        ):
            places = ["--prod", prod, "--cons", cons]
            done = user.s2uc("request", "--json", *places, *PLAIN, "--prod-app", app.endpoint)
            assert done.rc == 0, done.err
            assert digest(fetch(done.json["listeners"][0])) == digest(data)
            assert user.s2uc("release", done.json["uid"], *places).rc == 0


# Protocol: unknown-is-failure
def test_a_failure_there_releases_here(tmp_path: Path) -> None:
    """The id is taken at the deployed server, which says so with UNKNOWN."""
    with Facility(tmp_path, tls=False) as ours, deployed() as theirs:
        user = Client(tmp_path, ours)
        theirs._hellos["taken"] = None
        places = ["--prod", ours.endpoint, "--cons", theirs.endpoint]
        done = user.s2uc(
            "request", "--json", *places, *PLAIN, "--prod-app", "127.0.0.1:9", "--uid", "taken"
        )
        assert done.rc == 1, done.err
        assert theirs.endpoint in done.json["error"]["message"]
        assert "Entry already found" in done.json["error"]["message"]
        assert ours.taken == []


def expect_failure(
    tmp_path: Path, ours: Facility, theirs: DeployedServer, code: int, *flags: object
) -> str:
    """Our half is released, theirs was asked to; the message."""
    user = Client(tmp_path, ours)
    places = ["--prod", ours.endpoint, "--cons", theirs.endpoint]
    done = user.s2uc("request", "--json", *places, *PLAIN, "--prod-app", "127.0.0.1:9", *flags)
    assert done.rc == code, done.err
    assert done.seconds < 15  # retries and the release end after 5 s each
    assert ours.taken == []
    assert user.leased(ours) == 0
    message: str = done.json["error"]["message"]
    return message


# Protocol: deployed-release-on-failure, silent-server-given-up
def test_one_that_never_answers_is_given_up_after_five_seconds(tmp_path: Path) -> None:
    with Facility(tmp_path, tls=False) as ours, deployed() as theirs:
        stopped = threading.Event()
        theirs.before["update"] = lambda _: stopped.wait(20)
        message = expect_failure(tmp_path, ours, theirs, 6)
        assert theirs.endpoint in message
        assert "did not answer in time" in message
        assert theirs.rpcs[-1] == "release"
        stopped.set()


# Protocol: deployed-refusal-shown
def test_one_that_does_not_want_us_says_so(tmp_path: Path) -> None:
    with Facility(tmp_path, tls=False) as ours, deployed() as theirs:
        theirs.before["hello"] = lambda context: context.abort(
            grpc.StatusCode.UNAUTHENTICATED, "Authentication token required"
        )
        message = expect_failure(tmp_path, ours, theirs, 3)
        assert theirs.endpoint in message
        assert "Authentication token required" in message


# Protocol: deployed-release-on-failure
def test_one_that_refuses_every_hello_ends_with_our_limit(tmp_path: Path) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("no")

    with Facility(tmp_path, tls=False) as ours, deployed() as theirs:
        theirs.before["hello"] = refuse
        expect_failure(tmp_path, ours, theirs, 6, "--timeout", "1s")
        assert theirs.rpcs[-1] == "release"


def test_one_that_dies_before_its_update_releases_here(tmp_path: Path) -> None:
    with Facility(tmp_path, tls=False) as ours, deployed() as theirs:
        theirs.before["update"] = theirs.die
        message = expect_failure(tmp_path, ours, theirs, 5)
        assert theirs.endpoint in message


def test_commands_that_it_does_not_know_say_so(tmp_path: Path) -> None:
    user = Client(tmp_path)
    with deployed() as theirs:
        done = user.s2uc("info", "--s2cs", theirs.endpoint, "--ssl=False")
        assert done.rc == 10, done.err
        assert theirs.endpoint in done.err


# Protocol: client-repeats-hello
def test_a_hello_that_overtakes_its_request_is_said_again(tmp_path: Path) -> None:
    """It answers the first hello before it looks at the request, and no client waits in between."""
    refused = threading.Event()

    with Facility(tmp_path, tls=False) as ours, deployed() as theirs:
        theirs.before["req"] = lambda _: refused.wait(LIMIT)

        def after(context: Any) -> None:
            context.add_callback(refused.set)

        theirs.before["hello"] = after
        user = Client(tmp_path, ours)
        places = ["--prod", theirs.endpoint, "--cons", ours.endpoint]
        done = user.s2uc("request", "--json", *places, *PLAIN, "--prod-app", "127.0.0.1:9")
        assert done.rc == 0, done.err
        assert theirs.rpcs.index("hello") < theirs.rpcs.index("req")
        assert theirs.rpcs.count("hello") >= 2
        assert user.s2uc("release", done.json["uid"], *places).rc == 0


# Protocol: client-req-once
def test_a_request_that_broke_is_not_repeated_there(tmp_path: Path) -> None:
    asked: list[object] = []

    def break_it(context: Any) -> None:
        asked.append(context)
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")

    with Facility(tmp_path, tls=False) as ours, deployed() as theirs:
        theirs.before["req"] = break_it
        message = expect_failure(tmp_path, ours, theirs, 5)
        assert theirs.endpoint in message
        assert len(asked) == 1


# Protocol: client-no-pings
def test_it_is_not_pinged(tmp_path: Path) -> None:
    """A client that is seen to be thrown out for its pings is the measure of how long to wait."""
    strict = [
        ("grpc.http2.max_ping_strikes", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 3_600_000),
    ]
    restless = [
        ("grpc.keepalive_time_ms", 1_000),
        ("grpc.keepalive_timeout_ms", 1_000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    with deployed(strict) as theirs:
        user = Client(tmp_path)
        channel = grpc.insecure_channel(theirs.endpoint, options=restless)
        request = MESSAGES["Request"](uid="restless", role="PROD", num_conn=1)
        pinging = channel.unary_unary("/scistream.Control/req").future(request.SerializeToString())
        where = ["--s2cs", theirs.endpoint, "--ssl=False"]
        with user.start("s2uc", "prod_req", *where, "--mock") as ours:
            ours.line("^started client request$")
            with pytest.raises(grpc.RpcError) as thrown_out:
                pinging.result(2 * LIMIT)
            assert "pings" in thrown_out.value.details()
            with Peer(theirs.endpoint, None) as app:
                app.hello(MOCK, "PROD", ["127.0.0.1:9"])
            assert ours.wait() == 0, ours.out + ours.err
        channel.close()
        assert user.s2uc("release", MOCK, *where).rc == 0
        theirs._hello(MESSAGES["Hello"](uid="restless", prod_listeners=["127.0.0.1:9"]), None)


# Protocol: transport-auto
@pytest.mark.parametrize("transport", [[], ["--transport", "auto"], ["--transport", "tls"]])
def test_one_that_cannot_encrypt_is_named(tmp_path: Path, transport: list[str]) -> None:
    """Nobody streams in clear by accident; what to say instead is said."""
    with deployed() as server, Facility(tmp_path, tls=False) as ours:
        user = Client(tmp_path, ours)
        places = ["--prod", server.endpoint, "--cons", ours.endpoint]
        done = user.s2uc("request", "--json", *places, *transport, "--prod-app", "127.0.0.1:9")
        assert done.rc == 10
        assert server.endpoint in done.err
        assert "--transport tcp" in done.err
        assert "release" in server.rpcs
        assert user.leased(ours) == 0
