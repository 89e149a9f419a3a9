"""The facility's clock is set an hour forward and back while it runs, and across a restart."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from applications import application, connect, digest, payload, receive, receive_all
from facility import Client, Facility
from gate import Gate

HOUR = 3600


class Calendar:
    """What a facility's programs take for the time of day."""

    def __init__(self, root: Path, folder: Path) -> None:
        library = root / "build/release/tests/cpp/libshifted_clock.so"
        assert library.exists(), "./dev test builds it"
        self._file = folder / "calendar"
        self._file.write_bytes(struct.pack("=q", 0))
        # A copy: the build may replace it meanwhile.
        copy = shutil.copy(library, folder)
        self.env = {"LD_PRELOAD": str(copy), "SCISTREAM_CALENDAR_OFFSET": str(self._file)}

    def set(self, seconds: int) -> None:
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", seconds))


@pytest.mark.parametrize("steps", [(HOUR, -HOUR), (-HOUR, HOUR)], ids=["forward", "back"])
def test_a_calendar_that_is_set_ends_no_session(
    root: Path, tmp_path: Path, steps: tuple[int, int]
) -> None:
    calendar = Calendar(root, tmp_path)
    gate = Gate(payload(2_000_000))
    with (
        Facility(tmp_path, "--timeout", "60s", env=calendar.env) as facility,
        application(gate) as app,
    ):
        user = Client(tmp_path, facility, facility)
        long = user.request("--prod-app", app.endpoint)
        gone = user.request("--prod-app", app.endpoint)
        with connect(long["listeners"][0]) as connection, user.waiting() as waiting:
            first = receive(connection, len(gate.data) // 2)
            waiting.listening()
            for step in steps:
                calendar.set(step)
                user.release(gone["uid"])  # the first time, and as an id that was released
                for kill in (False, True):
                    if kill:
                        facility.command.kill()
                        facility.restart()
                    views = user.sessions(long["uid"])
                    assert [view["phase"] for view in views] == ["ready", "ready"]
                    user.release(user.request("--prod-app", app.endpoint)["uid"])
                waiting.listening()
            for role, flags, key in (
                ("PROD", ["--listen", app.endpoint], waiting.prod_key),
                ("CONS", [], waiting.cons_key),
            ):
                words = ("hello", waiting.uid, facility.endpoint, "--role", role)
                done = user.appctrl(*words, *flags, "--key-file", key)
                assert done.rc == 0, done.err
            assert waiting.wait() == 0, waiting.err
            user.release(waiting.uid)
            gate.opened.set()
            assert digest(first + receive_all(connection)) == digest(gate.data)
        user.release(long["uid"])
        assert user.leased(facility) == 0
