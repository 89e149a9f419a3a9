"""Where a user has a keyring, nobody reads their tokens without it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import scistream
from facility import Client, run
from keyring import desktop
from logins import SCOPE, Gates, info, on_a_device
from openid import OpenIdProvider

FAILED_PRECONDITION = 10


@pytest.fixture(scope="module")
def session() -> Iterator[dict[str, str]]:
    """The environment of a desktop with a keyring."""
    with desktop() as env:
        yield env


@pytest.fixture
def user(tmp_path: Path, gates: Gates, session: dict[str, str]) -> Client:
    """One who is at that desktop."""
    user = Client(tmp_path, *gates)
    user.env.update(session)
    return user


# The same user, logged in from another machine.
ELSEWHERE = {"DBUS_SESSION_BUS_ADDRESS": "", "XDG_RUNTIME_DIR": ""}


def log_in(user: Client, provider: OpenIdProvider, gates: Gates, scope: str = SCOPE) -> str:
    """What is said on stderr meanwhile."""
    with on_a_device(user, provider, *gates, scope=scope) as (command, code):
        provider.approve_device(code, "alice")
        assert command.wait() == 0, command.err
        return command.err


def kept(user: Client) -> list[str]:
    return [path.read_text() for path in sorted((user.state / "logins").glob("*.json"))]


def is_sealed(user: Client) -> bool:
    (login,) = user.s2uc("check_auth", "--json").json["logins"]
    sealed: bool = login["sealed"]
    return sealed


# Protocol: login-sealed
def test_what_is_kept_says_nothing_without_the_keyring(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    assert "keyring" not in log_in(user, openid_provider, gates)
    (text,) = kept(user)
    assert text.startswith('{"sealed":"')
    for said in ("alice", openid_provider.issuer, "access_token", "127.0.0"):
        assert said not in text
    assert is_sealed(user)
    assert info(user, gates[0]).rc == 0
    program = (
        "import scistream, sys\n"
        "client = scistream.UserClient(server_cert=sys.argv[1], state_dir=sys.argv[2])\n"
        "print(client.info(sys.argv[3]).version)"
    )
    trusted = user.env["SCISTREAM_SERVER_CERT"]
    words = (sys.executable, "-c", program, trusted, user.state, gates[0].endpoint)
    done = run(*words, cwd=user.folder, env=user.env)
    assert (done.rc, done.out) == (0, f"{scistream.__version__}\n"), done.err

    done = info(user, gates[0], env=ELSEWHERE)
    assert done.rc == FAILED_PRECONDITION
    assert "is sealed with a key of the system keyring" in done.err
    assert "log in again" in done.err
    done = user.s2uc("logout", env=ELSEWHERE)
    assert done.rc == 0
    assert "removed, and not revoked" in done.err
    assert kept(user) == []


def test_a_sealed_login_is_renewed_and_revoked_as_any_other(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    log_in(user, openid_provider, gates)
    before = openid_provider.counts()["/token/revocation"]
    assert user.s2uc("logout").rc == 0
    assert openid_provider.counts()["/token/revocation"] == before + 2
    assert kept(user) == []


def test_two_logins_at_once_have_one_key(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    other = openid_provider.globus_scope
    with (
        on_a_device(user, openid_provider, gates[0]) as (first, first_code),
        on_a_device(user, openid_provider, gates[1], scope=other) as (second, second_code),
    ):
        openid_provider.approve_device(first_code, "alice")
        openid_provider.approve_device(second_code, "bob")
        assert (first.wait(), second.wait()) == (0, 0)
    logins = user.s2uc("check_auth", "--json").json["logins"]
    assert {login["user"]: login["sealed"] for login in logins} == {"alice": True, "bob": True}


def test_each_state_folder_has_a_key_of_its_own(
    user: Client, gates: Gates, openid_provider: OpenIdProvider, tmp_path: Path
) -> None:
    log_in(user, openid_provider, gates)
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (user.state / "logins").rename(other / "logins")
    done = user.s2uc("check_auth", env={"SCISTREAM_STATE_DIR": str(other)})
    assert (done.rc, "locked, or another one" in done.err) == (FAILED_PRECONDITION, True)


# Protocol: login-sealed
@pytest.mark.parametrize("way", ["off", "none"])
def test_without_one_a_login_is_a_file_of_its_user(
    user: Client, gates: Gates, openid_provider: OpenIdProvider, way: str
) -> None:
    if way == "off":
        user.env["SCISTREAM_KEYRING"] = "off"
        assert "keyring" not in log_in(user, openid_provider, gates)
    else:
        with desktop(keyring=False) as env:
            user.env.update(env)
            said = log_in(user, openid_provider, gates)
            assert "the system keyring cannot be used: " in said
            assert "the login is in a file that only you can read" in said
            assert not is_sealed(user)
    assert '"access_token"' in kept(user)[0]
    # As soon as there is one, the next login is sealed.
    user.env.pop("SCISTREAM_KEYRING", None)
    with desktop() as env:
        user.env.update(env)
        assert not is_sealed(user)
        log_in(user, openid_provider, gates)
        assert is_sealed(user)
