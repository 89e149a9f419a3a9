"""Whose certificate a client trusts: the one that is named, else the nearest there is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conftest import Pair
from facility import BIN, Client, Done, run

SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")


class User(Client):
    """One who has been told of no certificate, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.state.mkdir()

    def asks(self, pair: Pair, *flags: object) -> int:
        return self.s2uc("info", "--s2cs", pair.prod.endpoint, *flags).rc


# Protocol: trust-system
def test_without_any_nobody_is_trusted(pair: Pair, tmp_path: Path) -> None:
    assert User(tmp_path).asks(pair) == 3


# Protocol: trust-working-folder, trust-pinned
def test_the_working_folder_comes_first_then_what_is_pinned(pair: Pair, tmp_path: Path) -> None:
    user = User(tmp_path)
    pinned = user.state / "pinned.pem"
    pinned.write_bytes(pair.prod.certificate.read_bytes())
    assert user.asks(pair) == 0
    here = user.folder / "server.crt"
    here.write_bytes(pair.cons.certificate.read_bytes())
    assert user.asks(pair) == 3, "the other facility's is nearer, and is the only one"
    here.write_bytes(pair.prod.certificate.read_bytes())
    pinned.unlink()
    assert user.asks(pair) == 0


# Protocol: trust-named
@pytest.mark.parametrize("spelling", ["--server_cert", "--server-cert"])
def test_what_is_named_stands_for_itself(pair: Pair, tmp_path: Path, spelling: str) -> None:
    user = User(tmp_path)
    (user.folder / "server.crt").write_bytes(pair.cons.certificate.read_bytes())
    assert user.asks(pair, spelling, pair.prod.certificate) == 0
    assert user.asks(pair, spelling, pair.cons.certificate) == 3
    assert user.asks(pair, spelling, tmp_path / "none.crt") == 7


# Protocol: trust-system
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.skipif(not SYSTEM.exists(), reason="no authorities are installed")
def test_the_authorities_of_the_system_come_last(pair: Pair, tmp_path: Path) -> None:
    """Here the system has one: the facility itself."""
    user = User(tmp_path)

    def with_system_of(certificate: Path) -> Done:
        script = f'mount --bind {certificate} {SYSTEM} && exec "$@"'
        words = [BIN / "s2uc", "info", "--s2cs", pair.prod.endpoint]
        return run(
            *("unshare", "--mount", "sh", "-c", script, "-", *words),
            cwd=user.folder,
            env=user.env,
        )

    assert with_system_of(pair.prod.certificate).rc == 0
    assert with_system_of(pair.cons.certificate).rc == 3
    (user.folder / "server.crt").write_bytes(pair.cons.certificate.read_bytes())
    assert with_system_of(pair.prod.certificate).rc == 3, "what is nearer stands for itself"
