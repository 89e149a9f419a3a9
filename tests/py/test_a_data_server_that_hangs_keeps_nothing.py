"""A stopped data server is asked to release until it answers: nothing it has stays open."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from applications import Application, echo
from facility import Client, Facility, eventually


# Protocol: release-repeated-inside
def test_a_release_is_carried_out_when_it_goes_on(tmp_path: Path, echo_app: Application) -> None:
    with Facility(tmp_path) as facility:
        user = Client(tmp_path, facility, facility)
        document = user.request("--prod-app", echo_app.endpoint)
        assert echo(document["listeners"][0]) == b"ping"
        os.kill(facility.data_server, signal.SIGSTOP)
        try:
            done = user.s2uc("release", document["uid"])
            assert done.rc == 6, "it is not said to be released while it is not"
            assert user.leased(facility) == 2
        finally:
            os.kill(facility.data_server, signal.SIGCONT)
        eventually(lambda: facility.taken == [], "its listeners are closed")
        eventually(lambda: user.leased(facility) == 0, "and its ports given back")
        user.release(document["uid"])


# Protocol: data-server-ends
def test_one_that_is_stopped_is_not_forgotten_by_the_next_start(tmp_path: Path) -> None:
    with Facility(tmp_path) as facility:
        pid = facility.data_server
        os.kill(pid, signal.SIGSTOP)
        facility.command.kill()
        try:
            facility.command = facility.try_start()
            assert facility.command.wait() == 5
            assert f"pid {pid}" in facility.command.err, "who holds the folder"
        finally:
            os.kill(pid, signal.SIGCONT)
        facility.restart()
        assert facility.data_server == pid
        facility.stop()
