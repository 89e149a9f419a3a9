"""The interpreter ends although things are open; servers start and stop as they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

import scistream
from binding import is_free, python

EXIT = """
import contextlib, socket, sys, threading
import scistream
from binding import address, listening
from pathlib import Path

server, app = listening().__enter__()
prod = scistream.ControlServer(listener_ip="127.0.1.1", port=0)
cons = scistream.ControlServer(listener_ip="127.0.2.1", port=0)
prod.start(), cons.start()
client = scistream.UserClient(roots=prod.certificate + cons.certificate, state_dir=sys.argv[1])
session = client.request(prod.endpoint, cons.endpoint, prod_app=[app])
pending = client.request(prod.endpoint, cons.endpoint, wait=False)
places = prod.endpoint, cons.endpoint

def wait(client=client):
    with contextlib.suppress(scistream.ScistreamError):
        client.request(*places)

waiting = threading.Thread(target=wait, daemon=True)
waiting.start()
relay = scistream.Relay([("127.0.0.1:0", app)])
connection = socket.create_connection(address(relay.listeners[0]))
print(prod.endpoint, cons.endpoint, *relay.listeners, flush=True)
"""


@pytest.mark.parametrize("how", ["", "sys.exit(0)", "del wait, waiting, client, prod, cons, relay"])
def test_the_interpreter_ends_with_everything_open(how: str, tmp_path: Path) -> None:
    endpoints = python(EXIT + how, tmp_path, timeout=20).split()
    assert len(endpoints) == 3
    assert all(map(is_free, endpoints))


def test_a_server_starts_again_after_a_stop() -> None:
    facility = scistream.ControlServer(listener_ip="127.0.1.1", port=0)
    facility.stop()
    assert not facility.running
    for _ in range(2):
        facility.start()
        assert facility.endpoint.startswith("127.0.1.1:")
        assert len(facility.fingerprint.replace(":", "")) == 64
        assert "BEGIN CERTIFICATE" in facility.certificate
        facility.stop(drain=0)
    with facility:
        assert facility.running
    assert not facility.running
    with pytest.raises(scistream.InvalidState, match="closed"):
        facility.start()
    facility.close()


def test_plaintext_has_no_certificate(tmp_path: Path) -> None:
    with (
        scistream.ControlServer(listener_ip="127.0.1.1", port=0, tls=False) as facility,
        scistream.UserClient(tls=False, state_dir=tmp_path) as client,
    ):
        assert facility.certificate == facility.fingerprint == ""
        assert client.info(facility.endpoint).sessions == 0


def test_a_failed_start_leaves_nothing(tmp_path: Path) -> None:
    with scistream.ControlServer(listener_ip="127.0.1.1", port=0, state_dir=tmp_path):
        second = scistream.ControlServer(listener_ip="127.0.1.1", port=0, state_dir=tmp_path)
        with pytest.raises(scistream.AlreadyExists):
            second.start()
        assert not second.running
    with second:
        assert second.running


def test_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError):
        scistream.ControlServer(lister_ip="127.0.1.1")  # type: ignore[call-arg]
    with pytest.raises(scistream.InvalidRequest, match="2-1"):
        scistream.ControlServer(port_range="2-1")
    with pytest.raises(scistream.InvalidRequest, match="port 70000"):
        scistream.ControlServer(port=70000)
