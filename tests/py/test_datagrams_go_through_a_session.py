"""`--protocol udp`: datagrams as well as connections, through a whole session."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from pathlib import Path

import pytest

import scistream
from applications import application, echo, echoes, payload
from binding import facilities
from conftest import Pair
from datagrams import ask, socket_at
from deployed_peer import deployed_server
from facility import (
    BIN,
    Client,
    Command,
    Facility,
    clean_environment,
    eventually,
    run,
    split,
)


# Protocol: datagrams-whole, datagrams-answered, datagrams-encrypted, datagrams-plain
@pytest.mark.parametrize("transport", ["tls", "tcp"])
def test_datagrams_arrive_as_they_were_sent(pair: Pair, transport: str) -> None:
    with socket_at() as app, socket_at() as client, socket_at() as another:
        flags = ("--prod-app", f"127.0.0.1:{app.getsockname()[1]}", "--transport", transport)
        with pair.user.session(*flags, "--protocol", "udp") as document:
            (listener,) = document["listeners"]
            for size in (0, 1, 1_400, 8_000, 65_507):
                ask(client, listener, app, payload(size))
            ask(another, listener, app, b"of another client")
            for view in pair.user.sessions(document["uid"]):
                assert view["protocol"] == "udp"
                assert view["connections_active"] == 2
                assert view["errors"] == 0


# Protocol: datagrams-and-connections
def test_connections_are_taken_at_the_same_port(pair: Pair) -> None:
    with application(echoes) as app, socket_at("127.0.0.1", split(app.endpoint)[1]) as datagrams:
        flags = ("--prod-app", app.endpoint, "--protocol", "udp")
        with pair.user.session(*flags) as document, socket_at() as client:
            (listener,) = document["listeners"]
            assert echo(listener, b"over a connection") == b"over a connection"
            ask(client, listener, datagrams, b"in a datagram")


@pytest.mark.parametrize("transport", ["tls", "tcp"])
@pytest.mark.parametrize("reverse", [False, True], ids=["to the producer", "to the consumer"])
def test_iperf3_measures_datagrams_through_a_session(
    pair: Pair, tmp_path: Path, transport: str, reverse: bool
) -> None:
    port = "0"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with Command("iperf3", "--server", "--one-off", "--port", port, "--forceflush") as server:
        server.line("Server listening")
        flags = ("--prod-app", f"127.0.0.1:{port}", "--transport", transport)
        with pair.user.session(*flags, "--protocol", "udp") as document:
            host, listener = split(document["listeners"][0])
            done = run(
                *("iperf3", "--client", host, "--port", listener, "--udp", "--bitrate", "50M"),
                *("--length", 1400, "--bytes", "4M", "--json", *(["--reverse"] if reverse else [])),
            )
            assert done.rc == 0, done.out
            end = json.loads(done.out)["end"]["sum"]
            assert end["packets"] >= 2_900
            assert end["lost_packets"] < end["packets"] / 2, "they may be lost, and few are"
        server.wait()


# Protocol: flow-idle
@pytest.mark.parametrize("transport", ["tls", "tcp"])
def test_a_flow_ends_when_it_falls_silent(tmp_path: Path, transport: str) -> None:
    with (
        Facility(tmp_path, "--flow-idle", "1s") as facility,
        socket_at() as app,
        socket_at() as client,
    ):
        user = Client(tmp_path, facility, facility)
        flags = ("--prod-app", f"127.0.0.1:{app.getsockname()[1]}", "--transport", transport)
        with user.session(*flags, "--protocol", "udp") as document:
            uid = document["uid"]
            for flows in (1, 2):
                ask(client, document["listeners"][0], app, b"question")

                def silent() -> bool:
                    views = user.sessions(uid)
                    return all(view["connections_active"] == 0 for view in views)

                eventually(silent, "the flow has ended")
                for view in user.sessions(uid):
                    assert (view["connections_total"], view["errors"]) == (flows, 0)


def test_a_release_frees_the_ports_of_datagrams(tmp_path: Path) -> None:
    with Facility(tmp_path) as facility, socket_at() as app, socket_at() as client:
        user = Client(tmp_path, facility, facility)
        flags = ("--prod-app", f"127.0.0.1:{app.getsockname()[1]}", "--protocol", "udp")
        document = user.request(*flags)
        ask(client, document["listeners"][0], app, b"question")
        user.release(document["uid"])
        for listener in (*document["listeners"], *document["prod_listeners"]):
            with socket_at(*split(listener)):
                pass


# Protocol: rate-change
def test_datagrams_keep_the_rate_too(pair: Pair) -> None:
    with socket_at() as app, socket_at() as client:
        flags = ("--prod-app", f"127.0.0.1:{app.getsockname()[1]}", "--protocol", "udp")
        with pair.user.session(*flags, "--rate", 1) as document:
            (listener,) = document["listeners"]
            ask(client, listener, app, b"question")
            for _ in range(2_000):  # 16 s worth of the rate, most of which is lost
                client.sendto(b"x" * 1_000, split(listener))
            ask_again = b"after the flood"
            assert pair.user.s2uc("rate", document["uid"], 0).rc == 0

            def answered() -> bool:
                client.sendto(ask_again, split(listener))
                app.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    while app.recv(65_535) != ask_again:
                        pass
                    return True
                return False

            eventually(answered, "what was held up is gone")


# Protocol: datagrams-after-death
def test_datagrams_flow_again_after_the_data_server_died(tmp_path: Path) -> None:
    with Facility(tmp_path) as facility, socket_at() as app, socket_at() as client:
        user = Client(tmp_path, facility, facility)
        flags = ("--prod-app", f"127.0.0.1:{app.getsockname()[1]}", "--protocol", "udp")
        with user.session(*flags) as document:
            ask(client, document["listeners"][0], app, b"before")
            facility.kill()
            facility.restart()
            app.settimeout(0.3)

            def answered() -> bool:
                client.sendto(b"after", split(document["listeners"][0]))
                with contextlib.suppress(TimeoutError):
                    return app.recv(65_535) == b"after"
                return False

            eventually(answered, "it streams again")


# Protocol: datagrams-deployed
def test_a_deployed_server_carries_none_and_is_told_so(tmp_path: Path) -> None:
    def listener(_: object) -> str:
        return "127.0.0.1:9"

    with Facility(tmp_path, tls=False) as ours, deployed_server(listener) as theirs:
        user = Client(tmp_path, ours, ours)
        done = user.s2uc(
            *("request", "--prod", ours.endpoint, "--cons", theirs.endpoint),
            *("--transport=tcp", "--protocol=udp", "--prod-app", "127.0.0.1:9"),
        )
        assert done.rc != 0
        assert f"{theirs.endpoint}: this facility carries connections only" in done.err
        assert user.leased(ours) == 0


def test_the_user_is_told_how_they_travel(pair: Pair) -> None:
    words = (*pair.user.places, "--prod-app", "127.0.0.1:9", "--protocol", "udp")
    done = pair.user.s2uc("request", *words, "--uid", "told-how")
    assert "its datagrams travel inside the encrypted channel" in done.out
    pair.user.release("told-how")
    refused = pair.user.s2uc("request", *words[:-1], "sctp")
    assert refused.rc == 2
    assert "sctp" in refused.err


def test_python_programs_ask_for_them(tmp_path: Path) -> None:
    with facilities(tmp_path) as both, socket_at() as app, socket_at() as client:
        prod_app = [f"127.0.0.1:{app.getsockname()[1]}"]
        places = (both.prod.endpoint, both.cons.endpoint)
        with both.client.request(*places, prod_app=prod_app, protocol="udp") as session:
            ask(client, session.listeners[0], app, b"question")
            assert {view.protocol for view in session.status()} == {"udp"}
        with pytest.raises(scistream.InvalidRequest, match="sctp"):
            both.client.request(*places, prod_app=prod_app, protocol="sctp")


def test_a_relay_alone_takes_datagrams(tmp_path: Path) -> None:
    with socket_at() as app, socket_at() as client:
        target = f"127.0.0.1:{app.getsockname()[1]}"
        words = ("--listen", "127.0.0.1:0", "--target", target, "--protocol", "udp")
        with Command(BIN / "s2ds", "relay", *words, env=clean_environment(tmp_path)) as relay:
            listener = relay.line(r"^s2ds ready on (\S+)$")[1]
            ask(client, listener, app, b"question")
            relay.signal(signal.SIGTERM)
            assert relay.wait() == 0
        bad = run(
            *(BIN / "s2ds", "relay", *words, "--flow-idle", "0"), env=clean_environment(tmp_path)
        )
        assert bad.rc == 2
        assert "--flow-idle" in bad.err
