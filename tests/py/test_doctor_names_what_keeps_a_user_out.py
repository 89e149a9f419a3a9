"""`s2uc doctor`: one fault at a time, each named with its remedy."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from facility import Client, Done, Facility, free_port
from openid import RESOURCE_SERVER, OpenIdProvider

UNAUTHENTICATED = 3
UNAVAILABLE = 5
FAILED_PRECONDITION = 10


def bad(done: Done) -> dict[str, Any]:
    """The last check, which is the only one that is not good."""
    checks = done.json["checks"]
    assert all(check["good"] for check in checks[:-1]), checks
    assert not checks[-1]["good"], checks
    last: dict[str, Any] = checks[-1]
    return last


def doctor(user: Client, server: str, *flags: object, **more: Any) -> Done:
    return user.s2uc("doctor", server, "--json", *flags, **more)


# Protocol: trust-doctor
def test_all_is_well(tmp_path: Path) -> None:
    with Facility(tmp_path) as facility:
        done = doctor(Client(tmp_path, facility), facility.endpoint)
        assert done.rc == 0, done.out
        checks = done.json["checks"]
        names = ["name", "network", "TLS", "certificate's name", "certificate's time", "trust"]
        assert [check["check"] for check in checks] == [*names, "clock", "login", "service"]
        assert all(check["good"] for check in checks)
        shown = Client(tmp_path, facility).s2uc("doctor", facility.endpoint)
        assert shown.out.count("good  ") == len(checks)


# Protocol: trust-doctor
@pytest.mark.parametrize(
    ("server", "check", "said"),
    [
        ("nosuch.invalid:5000", "name", "'nosuch.invalid' is not known"),
        ("127.0.0.1:{free}", "network", "is the server running?"),
    ],
)
def test_a_name_and_a_port_that_are_not_there(
    tmp_path: Path, server: str, check: str, said: str
) -> None:
    done = doctor(Client(tmp_path), server.format(free=free_port()))
    assert done.rc == UNAVAILABLE
    assert bad(done)["check"] == check
    assert said in bad(done)["message"]


# Protocol: trust-doctor
def test_certificates(tmp_path: Path) -> None:
    with Facility(tmp_path) as facility:
        untrusted = doctor(Client(tmp_path), facility.endpoint)
        assert untrusted.rc == UNAUTHENTICATED
        assert bad(untrusted)["check"] == "trust"
        assert f"s2uc trust {facility.endpoint}" in bad(untrusted)["message"]

        user = Client(tmp_path)
        assert user.s2uc("trust", facility.endpoint, "--yes").rc == 0
        assert doctor(user, facility.endpoint).rc == 0
        facility.stop()
        facility.certificate.unlink()
        facility.restart()
        changed = doctor(user, facility.endpoint)
        assert changed.rc == UNAUTHENTICATED
        assert "has changed" in bad(changed)["message"]
        assert "--replace" in bad(changed)["message"]


# Protocol: trust-doctor
def test_a_certificate_for_other_names(tmp_path: Path) -> None:
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=site"
    files = ["-keyout", str(tmp_path / "site.key"), "-out", str(tmp_path / "site.crt")]
    names = ["-addext", "subjectAltName=DNS:gateway.example.org"]
    subprocess.run([*words.split(), *files, *names], capture_output=True, check=True)
    given = ("--server_crt", tmp_path / "site.crt", "--server_key", tmp_path / "site.key")
    with Facility(tmp_path, *given) as facility:
        done = doctor(Client(tmp_path), facility.endpoint, "--server_cert", tmp_path / "site.crt")
        assert done.rc == UNAUTHENTICATED
        assert bad(done)["check"] == "certificate's name"
        assert "gateway.example.org" in bad(done)["message"]


# Protocol: trust-doctor
def test_tls_where_there_is_none(tmp_path: Path) -> None:
    with Facility(tmp_path, tls=False) as facility:
        user = Client(tmp_path)
        done = doctor(user, facility.endpoint)
        assert bad(done)["check"] == "TLS"
        assert "--ssl=False" in bad(done)["message"]
        assert doctor(user, facility.endpoint, "--ssl=False").rc == 0
    with Facility(tmp_path) as facility:
        done = doctor(user, facility.endpoint, "--ssl=False")
        assert bad(done)["check"] == "plaintext"


# Protocol: trust-doctor
def test_a_clock_that_is_wrong(tmp_path: Path, root: Path) -> None:
    clock = root / "build/release/tests/cpp/libshifted_clock.so"
    offset = tmp_path / "offset"
    offset.write_bytes(struct.pack("=q", -3600))
    shifted = {"LD_PRELOAD": str(clock), "SCISTREAM_CALENDAR_OFFSET": str(offset)}
    with Facility(tmp_path, env=shifted) as facility:
        done = doctor(Client(tmp_path, facility), facility.endpoint)
        checks = {check["check"]: check for check in done.json["checks"]}
        assert done.rc == FAILED_PRECONDITION
        assert not checks["clock"]["good"]
        assert "60 min" in checks["clock"]["message"]
        assert "behind" in checks["clock"]["message"]


# Protocol: trust-doctor
def test_a_login_that_is_missing(tmp_path: Path, openid_provider: OpenIdProvider) -> None:
    secret = openid_provider.secret_file
    users = (
        *("--client_id", RESOURCE_SERVER, "--client-secret-file", secret, "--scope", "scistream"),
        *("--introspection-url", openid_provider.introspection_url),
        *("--identity-ca", openid_provider.ca_file),
    )
    with Facility(tmp_path, *users) as facility:
        user = Client(tmp_path, facility)
        done = doctor(user, facility.endpoint)
        assert done.rc == UNAUTHENTICATED
        assert bad(done)["check"] == "login"
        assert f"s2uc login --provider {openid_provider.origin}" in bad(done)["message"]
        wrong = doctor(user, facility.endpoint, env={"SCISTREAM_TOKEN": "made-up"})
        assert "is not active" in bad(wrong)["message"]
        token = openid_provider.mint("alice")
        good = doctor(user, facility.endpoint, env={"SCISTREAM_TOKEN": token})
        assert good.rc == 0, good.out
        assert token not in good.out + good.err
