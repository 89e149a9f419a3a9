"""docs/extending.md: its programs run; its data server, and the notebook's, keep its promises."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import scistream
from binding import address, closed_port, eventually, is_free, listening, python, stream
from guides import ROOT, of_language, page, program

PORTS = "21240-21249"
NOTEBOOK = ROOT / "notebooks/7-extending.ipynb"
POLICY, SERVER, FACILITY, BADGES = range(4)
# How long each call has, and where that stands.
LIMITS = {
    "`listen` | a session begins | 30 s": "answer{30'000};  ///< `listen` and `forward`",
    "`forward` | the targets are known, and when they or the rate change | 30 s": "answer{30'000}",
    "`traffic` | every 0.5 s, and once after the end | 2 s": "traffic{2'000}",
    "as `traffic`, when somebody asks for them | 2 s": "`traffic` and `connections`",
    "`cut` | the session is released or fails | 2.5 s": "cut{2'500}",
    "does not return within 2 s counts as failed": "hurry{2'000}",
    "`traffic` | every 0.5 s": "between_looks{500}",
    "nothing for 10 s": "answer_limit{10}",
    "up to 64 at once": "most_checks = 64",
}


def test_limits_are_those_of_the_code() -> None:
    files = ("dataserver/custom_forwarding", "auth/custom_authenticator")
    source = "".join(
        (ROOT / f"cpp/{name}.{end}").read_text() for name in files for end in ("hpp", "cpp")
    )
    text = re.sub(r"\s+", " ", page("extending"))
    for said, meant in LIMITS.items():
        assert said in text
        assert meant in source, said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (POLICY, r"users of own, in group beamline: .*\n4\n"),
        (FACILITY, r"b'a frame'\nForwarder\n"),
        (
            BADGES,
            r"free ports: \d+\n"
            r"PermissionDenied: the policy of this facility does not let 'bob' .*\n"
            r"AuthError: .*this badge has expired\n"
            r"AuthError: .*this badge was not signed here\n",
        ),
    ],
)
def test_the_programs_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    blocks = of_language("extending", "python")
    assert len(blocks) == 4
    (tmp_path / "forwarder.py").write_text(program("extending", "forwarder.py"))
    assert program("extending", "forwarder.py") == blocks[SERVER]
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("SCISTREAM_STATE_DIR", str(tmp_path / "s"))
    # Not of this folder, which has a module of that name.
    script = f"import sys\nsys.path.remove('')\n{blocks[number]}"
    assert re.fullmatch(said, python(script))


def forwarder() -> Any:
    """The data server of the page."""
    names: dict[str, Any] = {"__name__": "forwarder"}
    exec(program("extending", "forwarder.py"), names)
    return names["Forwarder"]()


def tap() -> Any:
    """The data server of the notebook, with the imports of its first cell."""
    names: dict[str, Any] = {"__name__": "tap"}
    cells = ["".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text())["cells"]]
    (imports,) = (cell for cell in cells if cell.startswith("import asyncio"))
    exec(imports.partition("\nimport matplotlib")[0] + "\nimport scistream\n", names)
    for start in ("class Tap(", "TO_CONSUMER, TO_PRODUCER"):
        (source,) = (cell for cell in cells if cell.startswith(start))
        exec(source, names)
    return names["Tap"](lambda connection, block: None)


class Side:
    """A facility with such a data server, as both sides of sessions."""

    def __init__(self, facility: scistream.ControlServer, client: scistream.UserClient) -> None:
        self.facility = facility
        self.client = client

    def request(self, *targets: str, **options: Any) -> scistream.Session:
        options = {"transport": "tcp", "num_conn": len(targets), **options}
        end = self.facility.endpoint
        return self.client.request(end, end, prod_app=targets, **options)

    def nothing_is_left(self) -> bool:
        info = self.client.info(self.facility.endpoint)
        return info.sessions == 0 and info.ports_free == info.ports_total


@pytest.fixture(params=[forwarder, tap], ids=["page", "notebook"])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    make: Callable[[], Any] = request.param
    own = make()
    with (
        scistream.ControlServer(
            listener_ip="127.0.5.4", port=0, port_range=PORTS, data_server=own
        ) as facility,
        scistream.UserClient(roots=facility.certificate, state_dir=tmp_path / "state") as client,
    ):
        yield Side(facility, client)
    assert own.taken == set()
    own.close()
    assert not own.thread.is_alive()


def test_bytes_arrive_and_are_counted(side: Side) -> None:
    with listening() as (server, endpoint):
        with side.request(endpoint, endpoint) as session:
            sent, received = stream(server, session.listeners[1], 5_000_000)
            assert sent == received
            assert eventually(lambda: session.stats().bytes_to_consumer == 5_000_000)
            assert eventually(lambda: session.stats().connections_active == 0)
            assert (session.stats().connections_total, session.stats().errors) == (1, 0)
        assert all(map(is_free, session.listeners))
    assert side.nothing_is_left()


def test_one_side_may_end_before_the_other(side: Side) -> None:
    with listening() as (server, endpoint), side.request(endpoint) as session:
        with socket.create_connection(address(session.listeners[0]), timeout=20) as consumer:
            producer, _ = server.accept()
            with producer:
                consumer.sendall(b"a question")
                consumer.shutdown(socket.SHUT_WR)
                producer.settimeout(20)
                assert producer.makefile("rb").read() == b"a question"
                producer.sendall(b"an answer")
                producer.shutdown(socket.SHUT_WR)
                assert consumer.makefile("rb").read() == b"an answer"
        assert eventually(lambda: session.stats().bytes_to_producer == 10)
        assert session.stats().errors == 0


def fill(connection: socket.socket) -> int:
    """Writes until nothing more is taken: how much."""
    written = 0
    with contextlib.suppress(socket.timeout):
        while written < 500_000_000:
            written += connection.send(bytes(1 << 16))
    return written


def test_a_slow_reader_holds_its_writer_up(side: Side) -> None:
    with (
        listening() as (server, endpoint),
        side.request(endpoint) as session,
        socket.create_connection(address(session.listeners[0]), timeout=20) as consumer,
    ):
        producer, _ = server.accept()
        with producer:
            producer.settimeout(0.5)
            written = fill(producer)
            producer.shutdown(socket.SHUT_WR)
            assert written < 500_000_000
            received = 0
            while block := consumer.recv(1 << 20):
                received += len(block)
            assert received == written


def test_what_broke_is_no_end(side: Side) -> None:
    """A producer that is reset, and one that a release cuts off."""
    for by_release in (False, True):
        with listening() as (server, endpoint):
            session = side.request(endpoint)
            with socket.create_connection(address(session.listeners[0]), timeout=20) as consumer:
                producer, _ = server.accept()
                producer.sendall(b"half")
                assert consumer.recv(10) == b"half"
                if by_release:
                    session.release()
                else:
                    producer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    producer.close()
                with pytest.raises(ConnectionResetError):
                    consumer.recv(10)
                producer.close()
            if not by_release:
                assert eventually(lambda: session.stats().errors == 1)  # noqa: B023  # asked here
            session.release()
            assert is_free(session.listeners[0])
    assert side.nothing_is_left()


def test_a_stop_waits_for_what_is_alive(side: Side) -> None:
    with listening() as (server, endpoint):
        session = side.request(endpoint)
        with socket.create_connection(address(session.listeners[0]), timeout=20) as consumer:
            producer, _ = server.accept()
            producer.sendall(b"more")
            assert consumer.recv(10) == b"more"
            stopping = threading.Thread(target=side.facility.stop, args=(30.0,))
            stopping.start()
            assert eventually(lambda: is_free(session.listeners[0]))
            time.sleep(0.2)
            producer.sendall(b" to come")
            producer.close()
            assert consumer.makefile("rb").read() == b" to come"
        stopping.join(20)
        assert not stopping.is_alive()


def test_no_two_sessions_get_the_same_port(side: Side) -> None:
    with listening() as (server, endpoint):
        sessions = [side.request(endpoint) for _ in range(5)]
        for session in sessions:
            sent, received = stream(server, session.listeners[0], 1000)
            assert sent == received
        for session in sessions:
            session.release()
    assert side.nothing_is_left()


def test_ports_of_other_programs_are_left_alone(side: Side) -> None:
    host, _ = address(side.facility.endpoint)
    first, last = map(int, PORTS.split("-"))
    with contextlib.ExitStack() as others, listening() as (server, endpoint):
        for port in range(first, last - 1):
            others.enter_context(socket.create_server((host, port)))
        with side.request(endpoint) as session:  # a port for each of its sides
            sent, received = stream(server, session.listeners[0], 1000)
            assert sent == received
        with pytest.raises(scistream.Exhausted, match=r"2 ports wanted, [012] are free"):
            side.request(endpoint, endpoint)
    assert side.nothing_is_left()


def is_reset(listener: str) -> bool:
    """Whether who connects there is reset, and not told an end."""
    with socket.create_connection(address(listener), timeout=20) as connection:
        try:
            connection.recv(10)
        except ConnectionResetError:
            return True
        return False


def test_where_nobody_listens_is_an_error(side: Side) -> None:
    with side.request(closed_port()) as session:
        assert is_reset(session.listeners[0])
        assert eventually(lambda: session.stats().errors > 0)


def test_where_a_name_leads_is_asked_before_it_is_dialled(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may come to be that of the control port, which is never a target."""
    resolve = socket.getaddrinfo
    host, port = address(side.facility.endpoint)

    def elsewhere(name: str, *rest: Any, **options: Any) -> Any:
        return resolve(host if name == "localhost" else name, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", elsewhere)
    with side.request(f"localhost:{port}") as session:
        assert is_reset(session.listeners[0]), "a server of TLS would wait for us"
        assert eventually(lambda: session.stats().errors > 0)


@pytest.mark.parametrize("options", [{"rate": 10}, {"proxy_protocol": True}, {"protocol": "udp"}])
def test_what_it_cannot_do_it_refuses(side: Side, options: dict[str, Any]) -> None:
    with listening() as (_, endpoint), pytest.raises(scistream.InvalidRequest):
        side.request(endpoint, **options)
    assert side.nothing_is_left()
