"""Every exception, from a cause that really happens."""

from __future__ import annotations

import pickle
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import scistream
from binding import Facilities, closed_port, eventually, facilities

KINDS = {
    scistream.ScistreamError: "failure",
    scistream.InvalidRequest: "invalid_argument",
    scistream.AuthError: "unauthenticated",
    scistream.PermissionDenied: "permission_denied",
    scistream.Unavailable: "unavailable",
    scistream.Timeout: "timeout",
    scistream.NotFound: "not_found",
    scistream.AlreadyExists: "already_exists",
    scistream.Exhausted: "exhausted",
    scistream.InvalidState: "failed_precondition",
    scistream.Cancelled: "cancelled",
}


def stranger(both: Facilities) -> None:
    with scistream.UserClient(roots=both.cons.certificate, state_dir="/nonexistent") as client:
        client.info(both.prod.endpoint)


def too_many_ports(both: Facilities) -> None:
    both.client.request(
        both.prod.endpoint, both.cons.endpoint, num_conn=60, prod_app=["127.0.0.1:9"]
    )


def other_values(both: Facilities) -> None:
    places = both.prod.endpoint, both.cons.endpoint
    with both.client.request(*places, uid="twice", prod_app=["127.0.0.1:9"]):
        both.client.request(*places, uid="twice", num_conn=2, prod_app=["127.0.0.1:9"])


def wrong_key(both: Facilities) -> None:
    places = both.prod.endpoint, both.cons.endpoint
    with (
        both.client.request(*places, uid="locked", wait=False) as session,
        scistream.AppController(
            session.uid,
            both.prod.endpoint,
            role="PROD",
            listeners=["127.0.0.1:9"],
            key=bytes(32),
            roots=both.roots,
        ),
    ):
        pass


CAUSES: dict[str, tuple[type[scistream.ScistreamError], str, Callable[[Facilities], object]]] = {
    "endpoint": (
        scistream.InvalidRequest,
        "server: .*nowhere",
        lambda both: both.client.info("nowhere"),
    ),
    "number of listeners": (
        scistream.InvalidRequest,
        "num_conn",
        lambda both: both.client.request(both.prod.endpoint, both.cons.endpoint, num_conn=0),
    ),
    "time": (
        scistream.InvalidRequest,
        "timeout: .*seconds",
        lambda both: both.client.request(both.prod.endpoint, both.cons.endpoint, timeout=-1),
    ),
    "server type": (
        scistream.InvalidRequest,
        "not known; known: Native",
        lambda _: scistream.ControlServer(type="Nothing", port=0).start(),
    ),
    "certificate": (scistream.AuthError, "certificate", stranger),
    "application key": (scistream.AuthError, ".", wrong_key),
    "not this machine": (
        scistream.PermissionDenied,
        "insecure-no-auth",
        lambda _: scistream.ControlServer(listener_ip="192.0.2.1", port=0).start(),
    ),
    "refused": (scistream.Unavailable, ".", lambda both: both.client.info(closed_port())),
    "no hello": (
        scistream.Timeout,
        ".",
        lambda both: both.client.request(both.prod.endpoint, both.cons.endpoint, timeout=0.3),
    ),
    "unknown session": (
        scistream.NotFound,
        ".",
        lambda both: both.client.status("nobody", [both.prod.endpoint]),
    ),
    "held port": (
        scistream.AlreadyExists,
        ".",
        lambda both: scistream.ControlServer(
            listener_ip="127.0.1.1", port=int(both.prod.endpoint.split(":")[1]), state_dir=""
        ).start(),
    ),
    "held id": (scistream.AlreadyExists, ".", other_values),
    "ports": (scistream.Exhausted, "50", too_many_ports),
    "not started": (
        scistream.InvalidState,
        "not running",
        lambda _: scistream.ControlServer(port=0).endpoint,
    ),
    "started twice": (scistream.InvalidState, "running", lambda both: both.prod.start()),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_raises_its_exception(
    cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCISTREAM_STATE_DIR", str(tmp_path / "state"))
    kind, text, provoke = CAUSES[cause]
    with facilities(tmp_path) as both:
        with pytest.raises(kind, match=text) as raised:
            provoke(both)
        assert type(raised.value) is kind
        assert raised.value.code == KINDS[kind]
        assert raised.value.details == str(raised.value) != ""
        assert both.nothing_reserved()


def test_closing_the_client_cancels_what_waits(tmp_path: Path) -> None:
    caught: list[BaseException] = []
    with facilities(tmp_path) as both:

        def wait() -> None:
            try:
                both.client.request(both.prod.endpoint, both.cons.endpoint, uid="mine")
            except BaseException as error:
                caught.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        with scistream.UserClient(roots=both.roots, state_dir=tmp_path) as other:
            assert eventually(lambda: other.info(both.cons.endpoint).sessions == 1)
            both.client.close()
            waiting.join()
            (error,) = caught
            assert type(error) is scistream.Cancelled
            assert error.uid == "mine"
            both.client = other
            assert both.nothing_reserved()


def test_a_closed_client_says_so(tmp_path: Path) -> None:
    client = scistream.UserClient(roots="none", state_dir=tmp_path)
    client.close()
    client.close()
    with pytest.raises(scistream.InvalidState, match="closed"):
        client.info("127.0.0.1:1")


def test_python_knows_two_of_them_by_its_own_names() -> None:
    assert issubclass(scistream.Timeout, TimeoutError)
    assert issubclass(scistream.InvalidRequest, ValueError)


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_survives_pickling(kind: type[scistream.ScistreamError]) -> None:
    error = kind("why", uid="an-id")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.details, again.uid, again.code, str(again)) == (
        "why",
        "an-id",
        KINDS[kind],
        "why",
    )


def test_only_what_may_succeed_later_is_retryable() -> None:
    assert {kind for kind in KINDS if kind.retryable} == {
        scistream.Unavailable,
        scistream.Timeout,
        scistream.Exhausted,
    }


def test_every_documented_cause_has_an_exception(root: Path) -> None:
    table = (root / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \d+ \| `(\w+)`", table, re.M)) == set(KINDS.values())
    assert all(kind.code == code for kind, code in KINDS.items())
