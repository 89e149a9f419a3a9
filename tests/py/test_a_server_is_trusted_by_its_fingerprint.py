"""`s2uc trust`: certificates that a user accepts once, as ssh keeps host keys."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from applications import Application, echo
from facility import BIN, LIMIT, Client, Facility

CANCELLED = 11
NOT_FOUND = 7
UNAUTHENTICATED = 3
FAILED_PRECONDITION = 10


@pytest.fixture
def facility(tmp_path: Path) -> Iterator[Facility]:
    with Facility(tmp_path) as one:
        yield one


@pytest.fixture
def user(tmp_path: Path) -> Client:
    """One who was given no certificate."""
    return Client(tmp_path)


def fingerprint(certificate: Path) -> str:
    words = ("openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256")
    said = subprocess.run([*map(str, words)], capture_output=True, text=True, check=True).stdout
    return said.strip().split("=")[1]


def renew(facility: Facility) -> None:
    """Another certificate of its own making, at the same address."""
    facility.stop()
    facility.certificate.unlink()
    (facility.state / "server.key").unlink()
    facility.restart()


# Protocol: trust-pin
def test_whom_the_user_has_confirmed_is_trusted(
    facility: Facility, user: Client, echo_app: Application
) -> None:
    before = user.s2uc("info", "--s2cs", facility.endpoint)
    assert before.rc == UNAUTHENTICATED
    print_ = fingerprint(facility.certificate)
    # As people write it down.
    spelled = print_.replace(":", " ").lower()
    done = user.s2uc("trust", facility.endpoint, "--fingerprint", spelled)
    assert done.rc == 0, done.err
    assert print_ in done.out
    assert facility.host in done.out
    hello = user.appctrl("hello", "x", facility.endpoint, "--role", "CONS")
    assert hello.rc == NOT_FOUND, hello.err
    assert "trusted from now on" in done.out
    assert user.s2uc("info", "--s2cs", facility.endpoint).rc == 0
    assert "trusted already" in user.s2uc("trust", facility.endpoint).out
    (pin,) = (user.state / "trusted").iterdir()
    assert pin.stat().st_mode & 0o077 == 0
    user.places = ["--prod", facility.endpoint, "--cons", facility.endpoint]
    with user.session("--prod-app", echo_app.endpoint) as document:
        assert echo(document["listeners"][0]) == b"ping"


# Protocol: trust-pin
def test_without_anybody_to_ask_nothing_is_trusted(facility: Facility, user: Client) -> None:
    done = user.s2uc("trust", facility.endpoint)
    assert done.rc == FAILED_PRECONDITION
    assert f"--fingerprint {fingerprint(facility.certificate)}" in done.err
    assert user.s2uc("info", "--s2cs", facility.endpoint).rc == UNAUTHENTICATED
    assert user.s2uc("trust", facility.endpoint, "--yes", "--json").json["was_known"] is False
    assert user.s2uc("info", "--s2cs", facility.endpoint).rc == 0


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", CANCELLED), ("", CANCELLED)])
def test_on_a_terminal_the_user_is_asked(
    facility: Facility, user: Client, answer: str, code: int
) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(
            [str(BIN / "s2uc"), "trust", facility.endpoint],
            stdin=theirs,
            capture_output=True,
            text=True,
            env=user.env,
            cwd=user.folder,
            timeout=LIMIT,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == code, done.stderr
    assert "[yes/no]" in done.stderr
    assert fingerprint(facility.certificate) in done.stdout
    known = code == 0
    assert (user.s2uc("info", "--s2cs", facility.endpoint).rc == 0) is known


# Protocol: trust-pin
def test_another_fingerprint_than_the_one_that_was_said_pins_nothing(
    facility: Facility, user: Client
) -> None:
    other = ":".join(["AB"] * 32)
    done = user.s2uc("trust", facility.endpoint, "--fingerprint", other)
    assert done.rc == UNAUTHENTICATED
    assert fingerprint(facility.certificate) in done.err
    assert not (user.state / "trusted").exists()
    # Nor does a part of the right one.
    part = fingerprint(facility.certificate)[:8]
    for none in (part, "zz", f"{part}" * 7):
        done = user.s2uc("trust", facility.endpoint, "--fingerprint", none)
        assert (done.rc, "is no SHA-256 fingerprint" in done.err) == (2, True)
    # Nor is one that is trusted the one that it should be by now.
    assert user.s2uc("trust", facility.endpoint, "--yes").rc == 0
    assert user.s2uc("trust", facility.endpoint, "--fingerprint", other).rc == UNAUTHENTICATED


# Protocol: trust-changed
def test_a_changed_certificate_stops_everything_and_says_why(
    facility: Facility, user: Client
) -> None:
    old = fingerprint(facility.certificate)
    assert user.s2uc("trust", facility.endpoint, "--yes").rc == 0
    renew(facility)
    new = fingerprint(facility.certificate)
    assert new != old
    done = user.s2uc("info", "--s2cs", facility.endpoint)
    assert done.rc == UNAUTHENTICATED
    assert "has changed" in done.err
    assert old in done.err
    assert new in done.err
    assert f"s2uc trust --replace {facility.endpoint}" in done.err
    for flags in (("--yes",), ("--fingerprint", new)):
        again = user.s2uc("trust", facility.endpoint, *flags)
        assert again.rc == UNAUTHENTICATED
        assert "has changed" in again.err
    assert user.s2uc("info", "--s2cs", facility.endpoint).rc == UNAUTHENTICATED
    assert user.s2uc("trust", facility.endpoint, "--replace", "--fingerprint", new).rc == 0
    assert user.s2uc("info", "--s2cs", facility.endpoint).rc == 0


# Protocol: trust-pin
def test_a_pin_is_for_its_server_alone(tmp_path: Path, facility: Facility, user: Client) -> None:
    assert user.s2uc("trust", facility.endpoint, "--yes").rc == 0
    # Another server at the same address, which shows the same certificate.
    same = ("--server_crt", facility.certificate, "--server_key", facility.state / "server.key")
    with Facility(tmp_path, *same, host=facility.host) as twin:
        assert user.s2uc("info", "--s2cs", twin.endpoint).rc == UNAUTHENTICATED
    with Facility(tmp_path) as other:
        done = user.s2uc("info", "--s2cs", other.endpoint)
        assert done.rc == UNAUTHENTICATED
        # Nor does what is named on the command line give way to it.
        user.trust(other.certificate)
        assert user.s2uc("info", "--s2cs", other.endpoint).rc == 0
        assert user.s2uc("info", "--s2cs", facility.endpoint).rc == UNAUTHENTICATED


def test_those_that_are_trusted_are_listed_and_forgotten(facility: Facility, user: Client) -> None:
    assert user.s2uc("trust").out == "no server is pinned\n"
    assert user.s2uc("trust", facility.endpoint, "--yes").rc == 0
    table = user.s2uc("trust").out
    assert re.search(
        rf"^{re.escape(facility.endpoint)} +\d{{4}}-\d\d-\d\d +[0-9A-F:]{{95}}$", table, re.M
    )
    (one,) = user.s2uc("trust", "--json").json["trusted"]
    assert one["s2cs"] == facility.endpoint
    assert one["fingerprint"] == fingerprint(facility.certificate)
    assert facility.host in one["names"]
    assert "no more" in user.s2uc("trust", facility.endpoint, "--forget").out
    assert "was not pinned" in user.s2uc("trust", facility.endpoint, "--forget").out
    assert user.s2uc("info", "--s2cs", facility.endpoint).rc == UNAUTHENTICATED


# Protocol: trust-changed
def test_a_damaged_pin_trusts_nobody(facility: Facility, user: Client) -> None:
    assert user.s2uc("trust", facility.endpoint, "--yes").rc == 0
    (pin,) = (user.state / "trusted").iterdir()
    # Nor does an empty one, which is none to others.
    for damaged in ("nonsense", ""):
        pin.write_text(damaged)
        done = user.s2uc("info", "--s2cs", facility.endpoint)
        assert done.rc == UNAUTHENTICATED
        assert f"is damaged: say s2uc trust {facility.endpoint}" in done.err
    assert user.s2uc("trust", facility.endpoint, "--yes").rc == 0
    assert user.s2uc("info", "--s2cs", facility.endpoint).rc == 0


def test_whom_there_is_nobody_to_trust_is_said(user: Client) -> None:
    done = user.s2uc("trust", "127.0.0.1:1", "--yes")
    assert done.rc == 5
    assert "is the server running?" in done.err
    assert user.s2uc("trust", "[::1%../../x]:5000", "--yes").rc == 2
