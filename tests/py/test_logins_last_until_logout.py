"""What a user is told of a login, how it is kept and renewed, and how it ends."""

from __future__ import annotations

import re
import stat
from contextlib import ExitStack
from pathlib import Path

import pytest

from applications import Application, echo
from facility import Client, eventually, split
from logins import (
    SCOPE,
    Gates,
    gates_of,
    info,
    kept_login,
    kept_logins,
    log_in,
)
from openid import NATIVE, OpenIdProvider, subject_of

FAILURE = 1
UNAUTHENTICATED = 3
PERMISSION_DENIED = 4
UNAVAILABLE = 5


@pytest.fixture
def user(tmp_path: Path, gates: Gates) -> Client:
    """One who has not logged in."""
    return Client(tmp_path, *gates)


def requests_for_tokens(provider: OpenIdProvider) -> int:
    return provider.counts()["/token"]


# ---- told --------------------------------------------------------------------------------------


# Protocol: login-shown
@pytest.mark.parametrize("command", ["check_auth", "check-auth"])
def test_a_user_sees_as_whom_they_are_known_and_where(
    user: Client, gates: Gates, openid_provider: OpenIdProvider, command: str
) -> None:
    login = log_in(user, openid_provider, "alice", *gates)
    places = [gate.endpoint for gate in gates]
    done = user.s2uc(command)
    assert (done.rc, done.err) == (0, "")
    heads, row = done.out.splitlines()
    assert heads.split() == ["SCOPE", "USER", "ISSUER", "S2CS", "EXPIRES"]
    shown = [SCOPE, "alice", openid_provider.issuer, ", ".join(places)]
    assert re.fullmatch(" +".join(map(re.escape, shown)) + r" +in \d+ min, then renewed", row)

    done = user.s2uc(command, "--json")
    (document,) = done.json["logins"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document.pop("expires"))
    assert document == {
        "scope": SCOPE,
        "issuer": openid_provider.issuer,
        "user": "alice",
        "subject": subject_of("alice"),
        "s2cs": places,
        "logged_in": True,
        "renewable": True,
        "sealed": False,
    }
    for secret in (login.access, login.refresh):
        assert secret not in done.out + user.s2uc(command, "--verbose").out


# Protocol: login-shown
def test_it_is_asked_for_one_scope_or_one_server(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    log_in(user, openid_provider, "alice", gates[0])
    log_in(user, openid_provider, "bob", gates[1], scope=openid_provider.globus_scope)
    assert user.s2uc("check_auth").out.count("\n") == 3

    def who(*flags: str) -> list[str]:
        return [login["user"] for login in user.s2uc("check_auth", *flags, "--json").json["logins"]]

    assert who("--scope", SCOPE) == ["alice"]
    assert who("--scope", openid_provider.globus_scope) == ["bob"]
    for gate, name in zip(gates, ("alice", "bob")):
        assert who("--ip", gate.endpoint) == [name]
        assert who("--ip", gate.host) == [name]
    host, port = split(gates[0].endpoint)
    for flags, named in (
        (["--ip", "127.0.0.9"], "for 127.0.0.9"),
        (["--ip", f"{host}:{port + 1}"], f"for {host}:{port + 1}"),
        (["--scope", "other"], "for other: s2uc login --scope other"),
    ):
        done = user.s2uc("check_auth", *flags)
        assert (done.rc, done.out) == (UNAUTHENTICATED, "")
        assert f"you are not logged in {named}" in done.err


# Protocol: login-shown
def test_who_is_not_logged_in_hears_so(user: Client) -> None:
    done = user.s2uc("check_auth")
    assert (done.rc, done.out) == (UNAUTHENTICATED, "")
    assert "you are not logged in: s2uc login --scope SCOPE" in done.err
    assert user.s2uc("check_auth", "--json").json["error"]["cause"] == "unauthenticated"


# Protocol: login-shown
def test_a_login_that_is_over_is_shown_as_such(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    login = log_in(user, openid_provider, "alice", *gates)
    login.expires_in(-5)
    done = user.s2uc("check_auth")
    assert (done.rc, "renewed at its next use" in done.out) == (0, True)
    login.write(refresh_token="")
    done = user.s2uc("check_auth")
    assert done.rc == UNAUTHENTICATED
    assert done.out.splitlines()[1].endswith("  expired")
    again = f"log in again: s2uc login --scope {SCOPE} --provider {openid_provider.issuer}"
    assert again in done.err
    done = info(user, gates[0])
    assert (done.rc, again in done.err) == (UNAUTHENTICATED, True)


# ---- kept --------------------------------------------------------------------------------------


def test_a_login_is_for_its_user_alone(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    login = log_in(user, openid_provider, "alice", *gates)
    folder = user.state / "logins"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    login.path.chmod(0o640)
    done = info(user, gates[0])
    assert done.rc == PERMISSION_DENIED
    assert f"'{login.path}' can be read by others; say chmod 600" in done.err


def test_a_damaged_login_is_named(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    login = log_in(user, openid_provider, "alice", *gates)
    token = login.access
    whole = login.path.read_text()
    for damaged in (whole[:-20], whole.replace("https://", "ftp://"), "[]", ""):
        login.path.write_text(damaged)
        for words in (["info", "--s2cs", gates[0].endpoint], ["check_auth"]):
            done = user.s2uc(*words)
            assert done.rc == FAILURE, words
            assert f"'{login.path}' is damaged: remove the file and log in again" in done.err
            assert token not in done.out + done.err
    log_in(user, openid_provider, "alice", *gates)
    assert info(user, gates[0]).rc == 0
    login.path.write_text("nonsense")
    assert user.s2uc("logout").rc == 0
    assert kept_logins(user) == []


# ---- renewed -----------------------------------------------------------------------------------


# Protocol: login-renewed
def test_every_command_renews_what_has_expired(tmp_path: Path, echo_app: Application) -> None:
    with (
        OpenIdProvider(tmp_path, settings={"OIDC_ACCESS_TTL": 2}) as provider,
        gates_of(tmp_path, provider) as gates,
    ):
        user = Client(tmp_path, *gates)
        login = log_in(user, provider, "alice", *gates)
        first = login.access
        eventually(lambda: not provider.introspect(first)["active"], "it has expired")
        document = user.request("--prod-app", echo_app.endpoint)
        uid = document["uid"]
        assert echo(document["listeners"][0]) == b"ping"
        place = ["--s2cs", gates[0].endpoint]
        for words in (["status", uid], ["list"], ["info", *place], ["rate", uid, 5]):
            before = login.access
            done = user.s2uc(*words)
            assert done.rc == 0, (words, done.err)
            assert login.access != before, "it would not have lasted"
        user.release(uid)
        assert login.document["name"] == "alice"


# Protocol: login-renewed
def test_a_request_may_wait_for_longer_than_its_token_lasts(
    tmp_path: Path, echo_app: Application
) -> None:
    """An application may come minutes later; what is done then is still of the same user."""
    with (
        OpenIdProvider(tmp_path, settings={"OIDC_ACCESS_TTL": 3}) as provider,
        gates_of(tmp_path, provider) as gates,
    ):
        user, host = Client(tmp_path, *gates), Client(tmp_path, *gates)
        login = log_in(user, provider, "alice", *gates)
        with user.waiting() as request:
            request.listening()
            token = login.access
            eventually(lambda: not provider.introspect(token)["active"], "it has expired")
            for gate, role, key, more in (
                (gates[0], "PROD", request.prod_key, ["--listen", echo_app.endpoint]),
                (gates[1], "CONS", request.cons_key, []),
            ):
                words = [request.uid, gate.endpoint, "--role", role, "--key-file", key]
                done = host.appctrl("hello", *words, *more)
                assert done.rc == 0, done.err
            assert request.wait() == 0, request.err
        user.release(request.uid)


# Protocol: login-renewed
def test_commands_that_come_together_renew_once(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    """Providers take the second use of what renews for a theft, and end the login."""
    login = log_in(user, openid_provider, "alice", *gates)
    used_up = login.refresh
    login.expires_in(-1)
    lock = login.path.with_suffix(".lock")
    before = requests_for_tokens(openid_provider)
    words = ["info", "--s2cs", gates[0].endpoint]
    with ExitStack() as stack:
        with openid_provider.trouble(lambda: openid_provider.hang(under="/token")):
            one, two = (stack.enter_context(user.start("s2uc", *words)) for _ in range(2))

            def both_wait() -> bool:
                return all(
                    any(link.resolve() == lock for link in Path(f"/proc/{each.pid}/fd").iterdir())
                    for each in (one, two)
                )

            eventually(both_wait, "both want to renew it")
        assert [each.wait() for each in (one, two)] == [0, 0], one.err + two.err
    assert requests_for_tokens(openid_provider) == before + 1
    assert login.refresh != used_up
    assert info(user, gates[1]).rc == 0
    assert requests_for_tokens(openid_provider) == before + 1


# Protocol: login-renewed
def test_without_its_provider_a_login_lasts_as_long_as_it_is_good(tmp_path: Path) -> None:
    with (
        OpenIdProvider(tmp_path, access_tokens="RS256") as provider,
        gates_of(tmp_path, provider, "signed") as gates,
    ):
        user = Client(tmp_path, *gates)
        login = log_in(user, provider, "alice", *gates)
        assert info(user, gates[0]).rc == 0
        provider.stop()
        login.expires_in(30)  # about to be renewed
        assert info(user, gates[0]).rc == 0
        login.expires_in(-5)
        done = info(user, gates[0])
        assert done.rc == UNAVAILABLE
        assert f"the login for {SCOPE} has expired and cannot be renewed now" in done.err
        assert provider.issuer in done.err
        provider.start()  # it has forgotten everybody
        done = info(user, gates[0])
        assert done.rc == UNAUTHENTICATED
        assert f"log in again: s2uc login --scope {SCOPE} --provider {provider.issuer}" in done.err


# Protocol: login-renewed
def test_a_login_that_was_taken_back_says_to_log_in_again(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    login = log_in(user, openid_provider, "alice", *gates)
    url = openid_provider.discovery["revocation_endpoint"]
    form = {"client_id": NATIVE, "token": login.refresh}
    assert openid_provider.fetch(url, form=form).status == 200
    done = info(user, gates[0])
    assert done.rc == UNAUTHENTICATED
    assert f"s2uc login --provider {openid_provider.issuer} --scope {SCOPE}" in done.err
    login.expires_in(5)
    assert info(user, gates[0]).rc == UNAUTHENTICATED
    login.expires_in(-5)
    again = f"log in again: s2uc login --scope {SCOPE} --provider {openid_provider.issuer}"
    done = info(user, gates[0])
    assert (done.rc, again in done.err) == (UNAUTHENTICATED, True)
    log_in(user, openid_provider, "alice")
    assert info(user, gates[0]).rc == 0, "it is still for the same servers"


# ---- ended -------------------------------------------------------------------------------------


# Protocol: logout-revokes
def test_after_a_logout_nothing_is_left_of_a_login(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    login = log_in(user, openid_provider, "alice", *gates)
    secrets = [login.access, login.refresh]
    assert info(user, gates[0]).rc == 0
    done = user.s2uc("logout")
    assert (done.rc, done.err) == (0, "")
    assert done.out == f"Logged out of {SCOPE} at {openid_provider.issuer}\n"
    assert openid_provider.introspect(secrets[0]) == {"active": False}
    fresh = openid_provider.exchange(grant_type="refresh_token", refresh_token=secrets[1])
    assert fresh.json["error"] == "invalid_grant"
    for path in user.state.rglob("*"):
        assert path.is_dir() or not any(word in path.read_text() for word in secrets), path
    assert kept_logins(user) == []
    done = info(user, gates[0])
    assert done.rc == UNAUTHENTICATED
    assert f"s2uc login --provider {openid_provider.issuer} --scope {SCOPE}" in done.err
    assert user.s2uc("logout").out == "You are not logged in\n"
    assert user.s2uc("logout", "--json").json == {"logged_out": []}


# Protocol: logout-revokes
def test_one_scope_is_logged_out_of_or_all(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    both = (SCOPE, openid_provider.globus_scope)
    logins = [log_in(user, openid_provider, "alice", scope=each) for each in both]
    tokens = [login.access for login in logins]

    def active() -> list[bool]:
        return [openid_provider.introspect(token)["active"] for token in tokens]

    done = user.s2uc("logout", "--scope", "other")
    assert (done.rc, done.out) == (0, "You are not logged in for other\n")
    done = user.s2uc("logout", "--scope", SCOPE, "--json")
    issuer = openid_provider.issuer
    assert done.json == {"logged_out": [{"scope": SCOPE, "issuer": issuer, "revoked": True}]}
    assert active() == [False, True]
    assert kept_login(user).path == logins[1].path
    assert user.s2uc("logout", "--all").rc == 0
    assert active() == [False, False]
    assert kept_logins(user) == []


# Protocol: logout-revokes
def test_a_logout_without_the_provider_says_what_is_left(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    token = log_in(user, openid_provider, "alice", *gates).access
    away = openid_provider.trouble(lambda: openid_provider.fail(503, under="/token/revocation"))
    with away:
        done = user.s2uc("logout", "--json")
    assert done.rc == UNAVAILABLE
    assert [each["revoked"] for each in done.json["logged_out"]] == [False]
    assert "the token is removed here, but good until it expires" in done.err
    assert openid_provider.introspect(token)["active"] is True
    assert kept_logins(user) == []
    assert info(user, gates[0]).rc == UNAUTHENTICATED
