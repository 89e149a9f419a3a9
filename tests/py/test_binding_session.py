"""A whole session between two facilities of one process."""

from __future__ import annotations

import socket
import threading
from functools import partial
from pathlib import Path

import pytest

import scistream
from binding import facilities, is_free, listening, stream
from facility import eventually


def test_a_session_streams_every_byte(tmp_path: Path) -> None:
    with (
        facilities(tmp_path) as both,
        listening() as (server, app),
        both.client.request(
            both.prod.endpoint, both.cons.endpoint, prod_app=[app], labels={"job": "7"}
        ) as session,
    ):
        (listener,) = session.listeners
        sent, received = stream(server, listener, 20_000_000)
        assert sent == received
        assert listener.startswith("127.0.2.1:")
        assert session.prod_listeners[0].startswith("127.0.1.1:")
        assert session.targets == (app,)
        assert [change.state for change in session.states] == [
            "reserving",
            "provisioning",
            "updating",
            "idle",
        ]
        assert 0 < session.setup_ms < 10_000
        views = session.status()
        assert {view.role for view in views} == {"PROD", "CONS"}
        assert all(view.bytes_to_consumer == 20_000_000 for view in views)
        assert all(view.labels == {"job": "7"} for view in views)


def test_leaving_the_context_frees_every_port(tmp_path: Path) -> None:
    with facilities(tmp_path) as both:
        with both.client.request(
            both.prod.endpoint, both.cons.endpoint, num_conn=4, prod_app=["127.0.0.1:9"]
        ) as session:
            ports = session.listeners + session.prod_listeners
            assert len(ports) == 8
            assert not any(map(is_free, ports))
        assert all(map(is_free, ports))
        assert both.nothing_reserved()
        session.release()
        with pytest.raises(scistream.NotFound):
            session.status()
        endpoints = both.prod.endpoint, both.cons.endpoint
    assert all(map(is_free, endpoints))


def test_a_drain_ends_with_the_last_connection(tmp_path: Path) -> None:
    with facilities(tmp_path) as both, listening() as (server, app):
        with both.client.request(both.prod.endpoint, both.cons.endpoint, prod_app=[app]) as session:
            with socket.create_connection(session.listeners[0].address, 15) as consumer:
                producer, _ = server.accept()
                draining = threading.Thread(target=session.release, kwargs={"drain": True})
                draining.start()
                eventually(partial(is_releasing, session), "it takes no more")
                with producer:
                    producer.sendall(b"rest")
                    assert consumer.recv(4, socket.MSG_WAITALL) == b"rest", "it lives"
                assert draining.is_alive()
            draining.join(15)
            assert not draining.is_alive()
            assert both.nothing_reserved()
        with pytest.raises(scistream.NotFound):
            both.client.release("never-requested", drain=True)


def test_a_release_ends_a_drain(tmp_path: Path) -> None:
    with facilities(tmp_path) as both, listening() as (server, app):
        with (
            both.client.request(both.prod.endpoint, both.cons.endpoint, prod_app=[app]) as session,
            socket.create_connection(session.listeners[0].address, 15),
            server.accept()[0],
        ):
            draining = threading.Thread(
                target=both.client.release, args=[session.uid], kwargs={"drain": True}
            )
            draining.start()
            eventually(partial(is_releasing, session), "it takes no more")
            session.release()
            draining.join(15)
            assert not draining.is_alive()
        assert both.nothing_reserved()


def is_releasing(session: scistream.Session) -> bool:
    return {side.state for side in session.status()} == {"releasing"}


def test_an_error_in_the_context_releases_too(tmp_path: Path) -> None:
    with facilities(tmp_path) as both:
        with (
            pytest.raises(ZeroDivisionError),
            both.client.request(both.prod.endpoint, both.cons.endpoint, prod_app=["127.0.0.1:9"]),
        ):
            _ = 1 / 0
        assert both.nothing_reserved()


def test_a_failed_release_does_not_hide_the_error(tmp_path: Path) -> None:
    def fail(client: scistream.UserClient, session: scistream.Session) -> None:
        with session:
            client.close()
            _ = 1 / 0

    with facilities(tmp_path) as both:
        session = both.client.request(
            both.prod.endpoint, both.cons.endpoint, prod_app=["127.0.0.1:9"]
        )
        with pytest.warns(ResourceWarning, match="not released"), pytest.raises(ZeroDivisionError):
            fail(both.client, session)


def test_controllers_of_both_sides_complete_a_waiting_request(tmp_path: Path) -> None:
    with facilities(tmp_path) as both, listening() as (server, app):
        session = both.client.request(both.prod.endpoint, both.cons.endpoint, wait=False)
        assert not session.ready
        with pytest.raises(scistream.InvalidState):
            _ = session.listeners
        with pytest.raises(scistream.Timeout):
            session.wait_ready(0.05)
        with (
            session,
            scistream.AppController(
                session.uid,
                both.prod.endpoint,
                role="PROD",
                listeners=[app],
                key=session.app_key("PROD"),
                roots=both.roots,
            ),
            scistream.AppController(
                session.uid,
                both.cons.endpoint,
                role="cons",
                key=session.app_key("CONS").hex(),
                roots=both.roots,
            ) as consumer,
        ):
            session.wait_ready(20)
            assert consumer.listeners == session.listeners
            assert consumer.hello(wait_ready=True, timeout=10) == session.listeners
            sent, received = stream(server, consumer.listeners[0], 1_000_000)
            assert sent == received
        assert both.nothing_reserved()


def test_releasing_a_session_that_waits_cancels_it(tmp_path: Path) -> None:
    with facilities(tmp_path) as both:
        with both.client.request(both.prod.endpoint, both.cons.endpoint, wait=False) as session:
            pass
        assert both.nothing_reserved()
        with pytest.raises(scistream.Cancelled):
            session.wait_ready()


# Protocol: holder-unharmed
def test_asking_for_a_held_id_leaves_its_holder_alone(tmp_path: Path) -> None:
    with facilities(tmp_path) as both:
        places = both.prod.endpoint, both.cons.endpoint
        with both.client.request(*places, uid="held", prod_app=["127.0.0.1:9"]) as session:
            for _ in range(10):
                with pytest.raises(scistream.AlreadyExists):
                    both.client.request(*places, uid="held", prod_app=["127.0.0.1:9"])
                assert {view.role for view in session.status()} == {"PROD", "CONS"}
        assert both.nothing_reserved()


def test_the_client_remembers_where_its_sessions_live(tmp_path: Path) -> None:
    with facilities(tmp_path) as both:
        session = both.client.request(
            both.prod.endpoint, both.cons.endpoint, prod_app=["127.0.0.1:9"], rate=100
        )
        with scistream.UserClient(roots=both.roots, state_dir=tmp_path) as other:
            assert {view.rate for view in other.status(session.uid)} == {100}
            assert len(other.status(session.uid, [both.prod.endpoint])) == 1
            other.release(session.uid)
        assert both.nothing_reserved()


def test_many_threads_use_one_client(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    with facilities(tmp_path) as both:

        def rounds() -> None:
            try:
                for _ in range(5):
                    with both.client.request(
                        both.prod.endpoint, both.cons.endpoint, prod_app=["127.0.0.1:9"]
                    ) as session:
                        assert len(session.status()) == 2
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=rounds) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert both.nothing_reserved()
