"""What a newcomer tries first: two facilities in a process, addresses, `python -m scistream`."""

from __future__ import annotations

import copy
import pickle
import socket
import subprocess
import sys

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


def test_ports_are_checked() -> None:
    for ports in (0, 10_001):
        with pytest.raises(scistream.InvalidRequest, match=f"ports: {ports} "):
            scistream.LocalFacilities(ports=ports)


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
