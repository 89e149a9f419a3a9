"""Ctrl-C ends every call that waits, and takes back what the call had reserved."""

from __future__ import annotations

from pathlib import Path

import pytest

import scistream
from binding import python
from facility import eventually

SCRIPT = """
import socket, sys
import scistream
from binding import CtrlC, address, eventually, facilities, listening
from pathlib import Path

def request(both):
    both.client.request(both.prod.endpoint, both.cons.endpoint)

def wait_ready(both):
    with both.client.request(both.prod.endpoint, both.cons.endpoint, wait=False) as session:
        session.wait_ready()

def patient_hello(both):
    place = both.cons.endpoint
    controller = scistream.AppController("nobody", place, role="CONS", roots=both.roots)
    controller.hello(patience=60)

def silent_server(both):
    # Closing the client waits for the call: it must not go on to its deadline.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with scistream.UserClient(roots=both.roots) as client:
            client.info("127.0.0.1:%d" % silent.getsockname()[1])

def silent_sessions(both):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = "127.0.0.1:%d" % silent.getsockname()[1]
        book = Path(sys.argv[2]) / "silent" / "sessions"
        book.mkdir(parents=True)
        (book / "one.json").write_text('{"uid": "one", "prod": "%s"}' % place)
        with scistream.UserClient(roots=both.roots, state_dir=book.parent) as client:
            client.sessions()

def drain(both):
    with listening() as (server, app):
        session = both.client.request(both.prod.endpoint, both.cons.endpoint, prod_app=[app])
        with socket.create_connection(address(session.listeners[0])), server.accept()[0]:
            both.cons.stop(drain=60)

def drained_session(both):
    with listening() as (server, app):
        ends = both.prod.endpoint, both.cons.endpoint
        with both.client.request(*ends, prod_app=[app]) as session:
            with socket.create_connection(address(session.listeners[0])), server.accept()[0]:
                session.release(drain=True)

def relay(both):
    with listening() as (server, target):
        with scistream.Relay([("127.0.0.1:0", target)]) as relay:
            with socket.create_connection(address(relay.listeners[0])), server.accept()[0]:
                relay.close(drain=60)

with facilities(Path(sys.argv[2])) as both:
    with CtrlC() as ctrl_c:
        globals()[sys.argv[1]](both)
    if sys.argv[1] == "drain":
        assert eventually(lambda: not both.cons.running)
    else:
        assert eventually(both.nothing_reserved, 0.2), "something is still reserved"
    print(ctrl_c.outcome)
"""


@pytest.mark.parametrize(
    "call",
    [
        "request",
        "wait_ready",
        "patient_hello",
        "silent_server",
        "silent_sessions",
        "drain",
        "drained_session",
        "relay",
    ],
)
def test_ctrl_c_ends_the_wait(call: str, tmp_path: Path) -> None:
    assert python(SCRIPT, call, tmp_path) == "interrupted\n"


def test_other_threads_run_while_one_waits(tmp_path: Path) -> None:
    script = """
import sys, threading, time
from binding import facilities
from pathlib import Path
with facilities(Path(sys.argv[1])) as both:
    session = both.client.request(both.prod.endpoint, both.cons.endpoint, wait=False)
    waiting = threading.Thread(target=lambda: session.wait_ready(0.5) )
    threading.excepthook = lambda _: None
    waiting.start()
    rounds = 0
    while waiting.is_alive():
        rounds += 1
    print("ran" if rounds > 1000 else rounds)
"""
    assert python(script, tmp_path) == "ran\n"


@pytest.mark.parametrize("how", [{"progress": False}, {"progress": True}, {"wait": False}])
def test_a_session_that_nobody_got_is_released(
    how: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes when the call has returned, and its session has no name yet."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with scistream.LocalFacilities() as both:
        monkeypatch.setattr("scistream._client.Session", interrupted)
        # With pytest.raises its traceback would hold what nobody has.
        try:
            both.request(prod_app=["127.0.0.1:9"], **how)
        except KeyboardInterrupt:
            pass
        else:
            pytest.fail("it was not interrupted")
        for facility in (both.prod, both.cons):
            eventually(lambda f=facility: both.client.info(f.endpoint).sessions == 0, "released")  # type: ignore[misc]
