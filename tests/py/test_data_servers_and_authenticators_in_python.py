"""A control server may be extended in Python: a data server, an authenticator, a policy."""

from __future__ import annotations

import logging
import pickle
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import scistream
from binding import address, eventually, is_free, listening, python, stream
from forwarder import PlainServer

PORTS = "21200-21219"


class Badges(scistream.Authenticator):
    """Knows two people."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def identify(self, token: str) -> scistream.Identity:
        self.asked.append(token)
        if token == "badge-of-alice":
            return scistream.Identity("alice", groups=("beamline",))
        if token == "badge-of-bob":
            return scistream.Identity("bob")
        if token == "badge-of-last-year":
            return scistream.Identity("carol", expires=time.time() - 1)
        if token == "badge-that-is-torn":
            return scistream.Identity("dave", groups=("torn-\udcff",))
        if token == "broken-reader":
            raise RuntimeError("the badge reader burns")
        raise scistream.AuthError(f"no badge is {token}")


@pytest.fixture
def own() -> PlainServer:
    return PlainServer()


@pytest.fixture
def sides(own: PlainServer, tmp_path: Path) -> Iterator[tuple[scistream.UserClient, str, str]]:
    """A client, and a producer's and a consumer's facility; the first forwards in Python."""
    with (
        scistream.ControlServer(
            listener_ip="127.0.1.1", port=0, port_range=PORTS, data_server=own
        ) as prod,
        scistream.ControlServer(
            listener_ip="127.0.2.1", port=0, port_range=PORTS, data_server=PlainServer()
        ) as cons,
        scistream.UserClient(
            roots=prod.certificate + cons.certificate, state_dir=tmp_path / "state"
        ) as client,
    ):
        yield client, prod.endpoint, cons.endpoint


def test_a_session_goes_through_a_data_server_in_python(
    sides: tuple[scistream.UserClient, str, str], own: PlainServer
) -> None:
    client, prod, cons = sides
    assert client.info(prod).data_server_kinds == ("PythonThreads",)
    with listening() as (server, endpoint):
        with client.request(
            prod, cons, prod_app=[endpoint], num_conn=2, transport="tcp"
        ) as session:
            sent, received = stream(server, session.listeners[1], 3_000_000)
            assert sent == received
            assert eventually(lambda: session.stats().bytes_to_consumer == 3_000_000)
            assert session.stats().connections_total == 1
            assert session.stats().errors == 0
        ports = session.listeners
    (asked,) = own.asked
    assert (asked.uid, asked.role, asked.num_conn) == (session.uid, "PROD", 2)
    assert asked.ports == range(21200, 21220)
    assert all(map(is_free, ports))
    assert client.info(prod).sessions == 0


def test_a_release_resets_what_is_alive(sides: tuple[scistream.UserClient, str, str]) -> None:
    client, prod, cons = sides
    with listening() as (server, endpoint):
        session = client.request(prod, cons, prod_app=[endpoint], transport="tcp")
        with socket.create_connection(address(session.listeners[0]), timeout=20) as consumer:
            accepted, _ = server.accept()
            with accepted:
                accepted.sendall(b"x")
                assert consumer.recv(1) == b"x"
                assert eventually(lambda: session.stats().connections_active == 1)
                session.release()
                assert consumer.recv(1) == b""


def test_too_few_ports_are_exhausted(sides: tuple[scistream.UserClient, str, str]) -> None:
    client, prod, cons = sides
    with pytest.raises(scistream.Exhausted, match="30 listeners wanted, 20 of 20"):
        client.request(prod, cons, prod_app=["127.0.0.1:9"], num_conn=30, transport="tcp")
    assert client.info(prod).sessions == client.info(cons).sessions == 0


def test_one_that_encrypts_nothing_refuses_who_wants_that(
    sides: tuple[scistream.UserClient, str, str],
) -> None:
    client, prod, cons = sides
    with pytest.raises(scistream.ScistreamError, match="tls"):
        client.request(prod, cons, prod_app=["127.0.0.1:9"], transport="tls")


class Failing(scistream.DataServer):
    """Raises what it is told to."""

    kind = "Failing"

    def __init__(self, why: Exception) -> None:
        self.why = why

    def listen(self, request: scistream.ListenRequest) -> scistream.Channel:
        raise self.why


@pytest.mark.parametrize(
    ("why", "kind", "words"),
    [
        (RuntimeError("the switch is off"), scistream.ScistreamError, "RuntimeError: the switch"),
        (scistream.Unavailable("the rack is off"), scistream.Unavailable, "the rack is off"),
        (SystemExit(0), scistream.ScistreamError, "SystemExit"),
    ],
)
def test_what_it_raises_is_the_error_of_the_session(
    why: Exception, kind: type[Exception], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        scistream.ControlServer(
            listener_ip="127.0.1.1", port=0, port_range=PORTS, data_server=Failing(why)
        ) as server,
        scistream.UserClient(roots=server.certificate) as client,
        caplog.at_level(logging.ERROR, "scistream"),
    ):
        with pytest.raises(kind, match=words):
            client.request(
                server.endpoint, server.endpoint, prod_app=["127.0.0.1:9"], transport="tcp"
            )
        assert client.info(server.endpoint).sessions == 0
    said = [record for record in caplog.records if record.exc_info]
    assert bool(said) == isinstance(why, RuntimeError)


def test_nonsense_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"^data_server: a scistream\.DataServer is"):
        scistream.ControlServer(port=0, data_server=object())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^authenticator: a scistream\.Auth.* object$"):
        scistream.ControlServer(port=0, authenticator=object())  # type: ignore[arg-type]
    failing = Failing(ValueError())
    failing.kind = 7  # type: ignore[assignment]
    with pytest.raises(TypeError, match="kind: 7 is no text"):
        scistream.ControlServer(port=0, data_server=failing)
    server = Failing(ValueError())
    server.kind = "two words"
    with pytest.raises(scistream.InvalidRequest, match="not 'two words'"):
        scistream.ControlServer(listener_ip="127.0.1.1", port=0, data_server=server).start()


class Odd(scistream.Channel):
    """Answers one thing that it should not."""

    def __init__(self, ports: Sequence[Any], traffic: Any) -> None:
        self._ports, self._traffic = ports, traffic

    @property
    def ports(self) -> Sequence[int]:
        return self._ports

    def forward(self, request: scistream.ForwardRequest) -> None:
        pass

    def cut(self) -> None:
        pass

    def drain(self) -> None:
        pass

    def traffic(self) -> scistream.Traffic:
        return self._traffic  # type: ignore[no-any-return]


class OddServer(scistream.DataServer):
    kind = "Odd"

    def __init__(self, channel: Odd) -> None:
        self.channel = channel

    def listen(self, request: scistream.ListenRequest) -> scistream.Channel:
        return self.channel


class Portless(Odd):
    """Does not know its ports."""

    @property
    def ports(self) -> Sequence[int]:
        raise RuntimeError("the patch panel is dark")


def test_what_a_property_raises_is_logged_as_well(caplog: pytest.LogCaptureFixture) -> None:
    with (
        scistream.ControlServer(
            listener_ip="127.0.1.1",
            port=0,
            port_range=PORTS,
            data_server=OddServer(Portless((), scistream.Traffic())),
        ) as server,
        scistream.UserClient(roots=server.certificate) as client,
        caplog.at_level(logging.ERROR, "scistream"),
        pytest.raises(scistream.ScistreamError, match="the patch panel is dark"),
    ):
        client.request(server.endpoint, server.endpoint, prod_app=["127.0.0.1:9"], transport="tcp")
    said = {record.message for record in caplog.records if record.exc_info}
    assert said == {"ports of Portless has failed"}


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (70000, "ports: 70000 is not from 0 to 65535"),
        (21205.7, "ports: 21205.7 is no whole number"),
        ("21205", "ports: '21205' is no whole number"),
        (None, "ports: None is no whole number"),
    ],
)
def test_what_is_no_port_is_named(port: Any, words: str) -> None:
    with (
        scistream.ControlServer(
            listener_ip="127.0.1.1",
            port=0,
            port_range=PORTS,
            data_server=OddServer(Odd([port], scistream.Traffic())),
        ) as server,
        scistream.UserClient(roots=server.certificate) as client,
    ):
        with pytest.raises(scistream.ScistreamError, match=words):
            client.request(
                server.endpoint, server.endpoint, prod_app=["127.0.0.1:9"], transport="tcp"
            )
        assert client.info(server.endpoint).sessions == 0


@pytest.mark.parametrize("expires", [0, -1.0, float("nan"), float("inf"), "tomorrow"])
def test_a_time_that_is_none_is_refused(expires: Any) -> None:
    with pytest.raises(scistream.InvalidRequest, match="seconds since 1970"):
        scistream.Identity("alice", expires=expires)


def request_as(token: str, server: scistream.ControlServer) -> None:
    with (
        listening() as (_, endpoint),
        scistream.UserClient(roots=server.certificate, token=token) as client,
        client.request(server.endpoint, server.endpoint, prod_app=[endpoint]),
    ):
        pass


def test_an_authenticator_in_python_knows_users(caplog: pytest.LogCaptureFixture) -> None:
    badges = Badges()
    with scistream.ControlServer(
        listener_ip="127.0.1.1", port=0, port_range=PORTS, authenticator=badges
    ) as server:
        request_as("badge-of-alice", server)
        asked = len(badges.asked)
        request_as("badge-of-alice", server)
        assert len(badges.asked) == asked, "it is remembered"
        with pytest.raises(scistream.AuthError) as refused:
            request_as("stolen-token-of-somebody", server)
        assert "stolen" not in str(refused.value)
        with (
            scistream.UserClient(roots=server.certificate, token="broken-reader") as client,
            pytest.raises(scistream.Unavailable) as broken,
        ):
            client.info(server.endpoint)
        assert "burns" not in str(broken.value)
        assert "the badge reader burns" in caplog.text
        with pytest.raises(scistream.Unavailable, match="who you are"):
            request_as("broken-reader", server)
        with pytest.raises(scistream.Unavailable, match="who you are"):
            request_as("badge-that-is-torn", server)
        assert "pybind11" not in caplog.text.lower()
        with pytest.raises(scistream.AuthError, match="expired"):
            request_as("badge-of-last-year", server)
        with pytest.raises(scistream.AuthError):
            request_as("", server)


def test_its_users_have_the_rights_of_the_policy() -> None:
    policy = scistream.Policy(
        '[[rule]]\nname = "beamline"\nissuer = "own"\ngroup = "beamline"\nmax_connections = 1\n'
    )
    with scistream.ControlServer(
        listener_ip="127.0.1.1", port=0, port_range=PORTS, authenticator=Badges(), policy=policy
    ) as server:
        request_as("badge-of-alice", server)
        with pytest.raises(scistream.PermissionDenied):
            request_as("badge-of-bob", server)


@pytest.mark.parametrize("token", ["two words", "line\n", "tab\t", "caf\u00e9", "\x7f"])
def test_a_token_that_is_none_is_refused_before_it_is_sent(token: str) -> None:
    with (
        scistream.UserClient(token=token, tls=False) as client,
        pytest.raises(scistream.InvalidRequest, match="one word") as refused,
    ):
        client.info("127.0.0.1:9")
    assert token not in str(refused.value)


def test_a_policy_can_be_asked(tmp_path: Path) -> None:
    rule = 'name = "beamline"\nissuer = "own"\ngroup = "beamline"\nports = "5100-5109"'
    text = f"[[rule]]\n{rule}\nmax_rate = 100\n"
    (tmp_path / "policy.toml").write_text(text)
    policy = scistream.Policy.read(tmp_path / "policy.toml")
    assert policy == scistream.Policy(text)
    assert policy == pickle.loads(pickle.dumps(policy))
    (words,) = policy.rules
    assert words.startswith("beamline: ")
    rights = policy.rights_of(scistream.Identity("alice", groups=("beamline",)))
    assert (rights.ports, rights.max_rate, rights.max_connections) == ("5100-5109", 100, None)
    assert not rights.administer
    with pytest.raises(scistream.PermissionDenied):
        policy.rights_of(scistream.Identity("bob"))
    with pytest.raises(scistream.InvalidRequest, match="line 1"):
        scistream.Policy("what = ")
    with pytest.raises(scistream.NotFound):
        scistream.Policy.read(tmp_path / "none.toml")


def test_the_secret_of_a_request_is_not_shown() -> None:
    request = scistream.ForwardRequest((), "tls", b"k" * 32, 0, False, 0, lambda host, port: True)
    assert "kkk" not in repr(request)


HANGING = """
import threading, scistream
class Hanging(scistream.DataServer):
    kind = "Hanging"
    def listen(self, request):
        entered.set()
        threading.Event().wait()
entered = threading.Event()
server = scistream.ControlServer(listener_ip="127.0.1.1", port=0, port_range="21220-21229",
                                 data_server=Hanging())
server.start()
client = scistream.UserClient(roots=server.certificate)
session = client.request(server.endpoint, server.endpoint, prod_app=["127.0.0.1:9"],
                         transport="tcp", wait=False)
assert entered.wait(10)
print("asked")
"""


def test_one_that_hangs_does_not_keep_python_from_ending() -> None:
    assert python(HANGING, timeout=55) == "asked\n"


def test_many_sessions_are_served_at_once(sides: tuple[scistream.UserClient, str, str]) -> None:
    client, prod, cons = sides
    with listening() as (server, endpoint):

        def serve() -> None:
            for _ in range(8):
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"data")

        serving = threading.Thread(target=serve)
        serving.start()
        sessions = [
            client.request(prod, cons, prod_app=[endpoint], transport="tcp") for _ in range(8)
        ]
        for session in sessions:
            with socket.create_connection(address(session.listeners[0]), timeout=20) as consumer:
                assert consumer.recv(16) == b"data"
        serving.join()
        for session in sessions:
            session.release()
