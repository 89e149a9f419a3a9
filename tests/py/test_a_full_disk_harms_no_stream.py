"""No space left for the session store: new sessions are refused, what there is goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from applications import application, connect, digest, payload, receive, receive_all
from facility import Client, Facility
from gate import Gate

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not a byte is left, until the end of `with`."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"." * 4096):
            pass
    try:
        yield
    finally:
        filler.unlink()


def test_a_full_disk_refuses_what_is_new_and_harms_no_stream(small: Path, tmp_path: Path) -> None:
    gate = Gate(payload(2_000_000))
    with Facility(small) as facility, application(gate) as app:
        user = Client(tmp_path, facility, facility)
        kept = user.request("--prod-app", app.endpoint)
        released = user.request("--prod-app", app.endpoint)
        held = user.leased(facility)
        with connect(kept["listeners"][0]) as connection:
            first = receive(connection, len(gate.data) // 2)
            with filled(small):
                refused = user.s2uc("request", *user.places, "--prod-app", app.endpoint)
                assert refused.rc == 8
                assert "full" in refused.err
                assert str(facility.state / "sessions.db") in refused.err
                assert user.leased(facility) == held, "nothing of it is left"
                user.release(released["uid"])
                assert user.leased(facility) == held - 2
                assert user.s2uc("status", kept["uid"]).rc == 0
            gate.opened.set()
            assert digest(first + receive_all(connection)) == digest(gate.data)

        user.release(user.request("--prod-app", app.endpoint)["uid"])
        user.release(kept["uid"])


def test_a_session_released_on_a_full_disk_stays_released(small: Path, tmp_path: Path) -> None:
    with Facility(small, ports=50) as facility:
        user = Client(tmp_path, facility, facility)
        address = ("--prod-app", "127.0.0.1:9")
        kept = user.request(*address)["uid"]
        released = [user.request(*address)["uid"] for _ in range(20)]
        with filled(small):
            for uid in released:
                user.release(uid)
            facility.kill()
        facility.restart()
        assert user.s2uc("status", kept).rc == 0
        assert user.leased(facility) == 2, "and nothing else has come back"
        user.release(kept)
