"""A control server's certificate changes while it runs, and nobody who is connected notices."""

from __future__ import annotations

import shutil
import signal
import ssl
import subprocess
from pathlib import Path

import pytest

from facility import Client, Facility, eventually, own_address, split


def make(folder: Path, host: str, days: int = 2) -> None:
    """`site.crt` and `site.key`, another pair each time."""
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=site"
    files = ("-keyout", folder / "new.key", "-out", folder / "new.crt", "-days", days)
    names = ("-addext", f"subjectAltName=IP:{host},IP:127.0.0.1,DNS:localhost")
    subprocess.run([*words.split(), *map(str, (*files, *names))], capture_output=True, check=True)
    for kind in ("key", "crt"):
        shutil.move(folder / f"new.{kind}", folder / f"site.{kind}")


def shown(facility: Facility) -> str:
    return ssl.get_server_certificate(split(facility.endpoint))


@pytest.fixture
def site(tmp_path: Path) -> tuple[Path, str]:
    """A folder with a site's certificate, and the address that it is for."""
    host = own_address()
    make(tmp_path, host)
    return tmp_path, host


def of_site(folder: Path, host: str) -> Facility:
    given = ("--server_crt", folder / "site.crt", "--server_key", folder / "site.key")
    return Facility(folder, *given, host=host)


# Protocol: certificate-reload
def test_new_connections_get_the_new_one_and_open_ones_stay(site: tuple[Path, str]) -> None:
    folder, host = site
    with of_site(folder, host) as facility:
        user = Client(folder)
        user.trust(folder / "site.crt")
        user.places = ["--prod", facility.endpoint, "--cons", facility.endpoint]
        # A request that waits for its hellos holds a call open all the while.
        with user.waiting() as waiting:
            waiting.listening()
            before = shown(facility)
            make(folder, host)
            facility.command.signal(signal.SIGHUP)
            facility.command.line("serving with another certificate", "err")
            eventually(lambda: shown(facility) != before, "it shows the new one")
            assert shown(facility) == ssl.DER_cert_to_PEM_cert(
                ssl.PEM_cert_to_DER_cert((folder / "site.crt").read_text())
            )
            assert waiting.process.poll() is None
        old = user.s2uc("info", "--s2cs", facility.endpoint)
        assert old.rc == 3, "who trusts the old one alone"
        user.trust(folder / "site.crt")
        assert user.s2uc("info", "--s2cs", facility.endpoint).rc == 0


# Protocol: certificate-reload
def test_one_that_is_not_good_is_not_taken(site: tuple[Path, str]) -> None:
    folder, host = site
    with of_site(folder, host) as facility:
        before = shown(facility)
        kept = (folder / "site.key").read_text()
        make(folder, host)
        (folder / "site.key").write_text(kept)  # which belongs to the one before
        facility.command.signal(signal.SIGHUP)
        facility.command.line("the certificate stays as it was.*does not belong", "err")
        assert shown(facility) == before
        (folder / "site.crt").unlink()
        facility.command.signal(signal.SIGHUP)
        facility.command.line("the certificate stays as it was.*site.crt", "err")
        assert shown(facility) == before
        make(folder, host)
        facility.command.signal(signal.SIGHUP)
        facility.command.line("serving with another certificate", "err")
        eventually(lambda: shown(facility) != before, "it shows the good one")


# Protocol: certificate-reload
def test_it_is_found_without_a_signal_as_well(site: tuple[Path, str]) -> None:
    folder, host = site
    with of_site(folder, host) as facility:
        before = shown(facility)
        make(folder, host)
        eventually(lambda: shown(facility) != before, "it looks by itself", limit=30)


# Protocol: certificate-renewed
def test_its_own_is_made_again_before_it_expires(tmp_path: Path) -> None:
    with Facility(tmp_path) as facility:
        make(facility.state, facility.host, days=29)
        for kind in ("key", "crt"):
            shutil.move(facility.state / f"site.{kind}", facility.state / f"server.{kind}")
        before = facility.certificate.read_text()
        facility.command.signal(signal.SIGHUP)
        facility.command.line("it is about to expire", "err")
        facility.command.line("serving with another certificate", "err")
        assert facility.certificate.read_text() != before
        user = Client(tmp_path, facility)
        eventually(
            lambda: user.s2uc("info", "--s2cs", facility.endpoint).rc == 0, "it shows that one"
        )


def test_nothing_of_it_stays_behind(site: tuple[Path, str]) -> None:
    folder, host = site
    with of_site(folder, host) as facility:
        (served,) = facility.state.glob("serving*")
        assert served.stat().st_mode & 0o077 == 0
    assert not list(facility.state.glob("serving*"))
