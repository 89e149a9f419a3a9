"""`--facility-key`: a state folder that others can read gives no key of a session away."""

from __future__ import annotations

import secrets
import shutil
import stat
from pathlib import Path

import pytest

from callers import Caller, set_up
from facility import BIN, Facility, clean_environment, run

INVALID_ARGUMENT = 2
PERMISSION_DENIED = 4
FAILED_PRECONDITION = 10


class Sealing(Facility):
    """A control server with a key for its store, which is not there before its first start."""

    def __init__(self, folder: Path) -> None:
        self.key = folder / "facility.key"
        super().__init__(folder, "--facility-key", self.key)

    def __enter__(self) -> Sealing:
        return self

    def store(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self.state.glob("sessions.db*")))


# Protocol: store-sealed
def test_the_store_shows_no_key_and_sessions_outlive_their_control_server(tmp_path: Path) -> None:
    app_key, data_key = secrets.token_bytes(32), secrets.token_bytes(32)
    with Sealing(tmp_path) as facility:
        assert stat.S_IMODE(facility.key.stat().st_mode) == 0o600
        made = facility.key.read_text()
        with Caller(facility) as caller:
            set_up(caller, "a", "CONS", ["127.0.0.1:9"], app_key=app_key, data_key=data_key)
        facility.kill()
        for secret in (app_key.hex(), data_key.hex(), "127.0.0.1:9", made.strip()):
            assert secret.encode() not in facility.store()
        assert b"sealed:" in facility.store()
        facility.restart()
        with Caller(facility) as caller:
            (session,) = caller("status", uid="a").sessions
            assert session.state == "idle"
            caller("release", uid="a")
        assert facility.key.read_text() == made


# Protocol: store-sealed
@pytest.mark.parametrize("how", ["another", "none"])
def test_with_another_key_nothing_is_lost(tmp_path: Path, how: str) -> None:
    with Sealing(tmp_path) as facility:
        with Caller(facility) as caller:
            set_up(caller, "a", "CONS", ["127.0.0.1:9"])
        facility.kill()
        kept = shutil.move(facility.key, tmp_path / "kept")
        flags = facility.flags
        if how == "none":
            facility.flags = [
                flag for flag in flags if flag not in ("--facility-key", facility.key)
            ]
        command = facility.try_start()
        assert command.wait() == FAILED_PRECONDITION
        assert "the session store is sealed with another facility key" in command.err
        shutil.move(kept, facility.key)
        facility.flags = flags
        facility.restart()
        with Caller(facility) as caller:
            assert len(caller("list", uids=["a"]).sessions) == 1
            caller("release", uid="a")


@pytest.mark.parametrize(
    ("content", "mode", "code", "said"),
    [
        ("short\n", 0o600, INVALID_ARGUMENT, "a key is 64 hexadecimal digits"),
        ("", 0o600, INVALID_ARGUMENT, "does not hold one word"),
        ("0" * 64, 0o640, PERMISSION_DENIED, "can be read by others; say chmod 600"),
    ],
)
def test_a_key_that_is_none_is_named(
    tmp_path: Path, content: str, mode: int, code: int, said: str
) -> None:
    path = tmp_path / "facility.key"
    path.write_text(content)
    path.chmod(mode)
    flags = ("--listener_ip", "127.0.0.1", "--state-dir", tmp_path / "state", "--port", 0)
    done = run(BIN / "s2cs", *flags, "--facility-key", path, env=clean_environment(tmp_path))
    assert done.rc == code
    assert said in done.err
    assert str(path) in done.err
