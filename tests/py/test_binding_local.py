"""What a newcomer tries first: two facilities in a process, addresses, `python -m scistream`."""

from __future__ import annotations

import contextlib
import copy
import functools
import pickle
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import scistream
from facility import LIMIT, run


def test_two_facilities_stream_and_leave_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as producer:
        application = f"127.0.0.1:{producer.getsockname()[1]}"
        with scistream.LocalFacilities(ports=4) as both:
            places = both.prod.endpoint, both.cons.endpoint
            with both.request(prod_app=[application]) as session:
                assert session.transport == "tls"
                with socket.create_connection(session.listeners[0].address, LIMIT) as consumer:
                    connection, _ = producer.accept()
                    with connection:
                        connection.sendall(b"data")
                    assert consumer.makefile("rb").read() == b"data"
            assert both.client.info(places[0]).ports_total == 4
        for place in places:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(place.address, LIMIT)
    with pytest.raises(scistream.InvalidState, match="not running"):
        both.client.info(places[0])


def test_several_pairs_live_beside_each_other() -> None:
    with scistream.LocalFacilities() as one, scistream.LocalFacilities() as other:
        places = {one.prod.endpoint, one.cons.endpoint, other.prod.endpoint, other.cons.endpoint}
        assert len(places) == 4
        one.start()
        with one.request(wait=False) as session:
            prod = one.controller(session, "PROD", ["127.0.0.1:9"])
            cons = one.controller(session, "CONS")
            with prod, cons:
                session.wait_ready(LIMIT)
            assert cons.listeners == session.listeners


def test_a_controller_may_decorate_what_it_announces() -> None:
    with scistream.LocalFacilities() as both:
        calls: list[bool] = []
        for _ in range(2):
            with both.request(wait=False) as session:

                @both.controller(session, "PROD", ["127.0.0.1:9"])
                def serve(word: str, session: scistream.Session = session) -> str:
                    """Serves."""
                    with both.controller(session, "CONS"):
                        session.wait_ready(LIMIT)
                    calls.append(session.ready)
                    return word

                assert not session.ready
                assert serve("served") == "served"
                assert serve("again") == "again", "each call says hello"
                assert (serve.__name__, serve.__doc__) == ("serve", "Serves.")
        assert calls == [True] * 4


def test_generators_are_not_decorated() -> None:
    """Their calls run nothing of them: hello and close would come before all of it."""
    controller = scistream.AppController("any", "127.0.0.1:1", role="CONS", roots="x")

    def generate() -> Iterator[int]:
        yield 1

    async def generate_later() -> AsyncIterator[int]:
        yield 1

    for function in (generate, generate_later, functools.partial(generate)):
        with pytest.raises(TypeError, match="generator function"):
            controller(function)
    controller.close()


def test_pairs_are_where_no_other_pair_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        pairs = [stack.enter_context(scistream.LocalFacilities(ports=1)) for _ in range(18)]
        hosts = {each.host for both in pairs for each in (both.prod.endpoint, both.cons.endpoint)}
        assert len(hosts) == 36
    first, second = random.SystemRandom().sample(range(1 << 22), 2)
    places = [first, first, second, first, second]
    monkeypatch.setattr("random.SystemRandom.randrange", lambda *_: places.pop(0))
    with scistream.LocalFacilities() as one:
        others = []
        for left in (2, 0):
            with scistream.LocalFacilities() as other:
                others.append(other.prod.endpoint.host)
                assert len(places) == left, "what is taken is not taken again"
        assert others[0] == others[1] != one.prod.endpoint.host, "and it is given back"


def test_threads_that_start_a_pair_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    init = scistream.UserClient.__init__

    def slow(self: scistream.UserClient, **options: Any) -> None:
        made.append(self)
        time.sleep(0.05)
        init(self, **options)

    monkeypatch.setattr(scistream.UserClient, "__init__", slow)
    both = scistream.LocalFacilities()
    threads = [threading.Thread(target=both.start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert len(made) == 1
    place = both.prod.endpoint
    both.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place.address, LIMIT)


def test_a_facility_that_was_started_again_is_trusted() -> None:
    with scistream.LocalFacilities() as both:
        for server in (both.prod, both.cons):
            server.stop(drain=0)
            with pytest.raises(scistream.InvalidState, match="not running"):
                both.request(prod_app=["127.0.0.1:9"])
            server.start()
            with both.request(prod_app=["127.0.0.1:9"]) as session:
                assert session.ready


FOLDERS = """
import gc, glob, os, sys, tempfile
import scistream
tempfile.tempdir = sys.argv[1]
def left():
    return [each for each in os.listdir(sys.argv[1]) if each.startswith("scistream-")]
"""


@pytest.mark.parametrize("end", ["", "both.close()", "del both; gc.collect(); assert not left()"])
def test_nothing_is_left_of_them_and_nothing_warned_of(end: str, tmp_path: Path) -> None:
    script = f"{FOLDERS}both = scistream.LocalFacilities()\nboth.start()\nassert left()\n{end}"
    words = [sys.executable, "-X", "dev", "-c", script, str(tmp_path)]
    done = run(*words)
    assert (done.rc, done.err) == (0, "")
    assert [each for each in tmp_path.iterdir() if each.name.startswith("scistream-")] == []


def test_pictures_of_what_was_stopped_say_so() -> None:
    with scistream.LocalFacilities() as both:
        both.prod.stop(drain=0)
        place = both.cons.endpoint
        assert repr(both) == f"<scistream.LocalFacilities not running to {place}>"
        assert "<td>PROD</td><td>not running</td>" in both._repr_html_()
        assert f"<td>{place}</td><td>100 of 100</td><td>0</td>" in both._repr_html_()
        both.client.close()
        assert f"<td>{place}</td><td>it is closed</td>" in both._repr_html_()


def test_a_picture_waits_for_no_facility(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, scistream.LocalFacilities() as both:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr("scistream._local.PATIENCE", 0.1)
        monkeypatch.setattr(scistream.ControlServer, "endpoint", scistream.Endpoint(place))
        began = time.monotonic()
        assert f"<td>{place}</td><td>it did not answer within 0.1 s</td>" in both._repr_html_()
        assert time.monotonic() - began < 3


def test_ports_are_checked() -> None:
    for ports in (0, 10_001):
        with pytest.raises(scistream.InvalidRequest, match=f"ports: {ports} "):
            scistream.LocalFacilities(ports=ports)
    for odd in ("x", None, 2.5):
        with pytest.raises(TypeError, match="ports: an int is wanted"):
            scistream.LocalFacilities(ports=odd)  # type: ignore[arg-type]


def test_pictures_of_them_say_no_secret_and_escape_the_rest() -> None:
    with socket.create_server(("127.0.0.1", 0)) as producer:
        application = f"127.0.0.1:{producer.getsockname()[1]}"
        with scistream.LocalFacilities() as both:
            assert both.prod.endpoint in both._repr_html_()
            with both.request(prod_app=[application], uid="picture") as session:
                picture = session._repr_html_()
                assert session.listeners[0] in picture
                assert application in picture
                for role in ("PROD", "CONS"):
                    assert session.app_key(role).hex() not in picture
            assert "released" in session._repr_html_()
            waiting = both.request(wait=False)
            assert "being set up" in waiting._repr_html_()
            waiting.release()
    assert "not running" in both._repr_html_()
    assert repr(both) == "<scistream.LocalFacilities not running>"


def test_an_address_is_a_text_with_parts() -> None:
    place = scistream.Endpoint("[::1]:5000")
    assert (place.host, place.port, place.address) == ("::1", 5000, ("::1", 5000))
    assert place == "[::1]:5000"
    assert repr(place) == "'[::1]:5000'"
    for again in (pickle.loads(pickle.dumps(place)), copy.deepcopy(place)):
        assert (type(again), again) == (scistream.Endpoint, place)
    for text in ("nowhere", "host:0", "::1:5000", "a\0b:5", ""):
        with pytest.raises(scistream.InvalidRequest):
            scistream.Endpoint(text)


def test_live_objects_are_not_copied() -> None:
    both = scistream.LocalFacilities()
    with pytest.raises(TypeError, match="live LocalFacilities"):
        pickle.dumps(both)
    both.close()


@pytest.mark.parametrize("words", [[], ["--version"], ["--help"]])
def test_the_package_says_what_it_is(words: list[str]) -> None:
    done = run(sys.executable, "-m", "scistream", *words)
    assert (done.rc, done.err) == (0, "")
    assert done.out.startswith(f"SciStream {scistream.__version__}, Python ")
    assert "s2uc --help" in done.out


def test_the_package_may_be_tried() -> None:
    done = run(sys.executable, "-m", "scistream", "try")
    assert (done.rc, done.err) == (0, "")
    greeting, facts = done.out.splitlines()
    assert greeting == "hello from the producer"
    assert facts.startswith("through 127.")


def test_what_the_package_does_not_know_is_a_usage_error() -> None:
    done = run(sys.executable, "-m", "scistream", "dance")
    assert (done.rc, done.out) == (2, "")
    assert "'dance' is nothing that this knows" in done.err


def test_trying_needs_no_address_that_others_hold() -> None:
    """Several at once, as notebooks of one machine are."""
    words = [sys.executable, "-m", "scistream", "try"]
    started = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, out.splitlines()[0]) == (0, "hello from the producer")
