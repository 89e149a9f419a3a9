"""`s2uc login`: on another device, or with a browser of the same machine."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import signal
import socket
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from applications import Application, echo
from facility import LIMIT, Client, Facility, eventually
from logins import (
    CODE_LINE,
    SCOPE,
    Gates,
    configure,
    in_a_browser,
    info,
    kept_login,
    kept_logins,
    log_in,
    login_words,
    on_a_device,
    visit,
)
from openid import NATIVE, OpenIdProvider, subject_of

INVALID_ARGUMENT = 2
UNAUTHENTICATED = 3
PERMISSION_DENIED = 4
UNAVAILABLE = 5
TIMEOUT = 6
NOT_FOUND = 7
CANCELLED = 11


@pytest.fixture
def user(tmp_path: Path, gates: Gates) -> Client:
    """One who has not logged in."""
    return Client(tmp_path, *gates)


# ---- who has not logged in ---------------------------------------------------------------------


# Protocol: login-device
def test_whoever_has_not_logged_in_is_told_how(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    """What is told can be said as it is, with what this provider needs besides."""
    hint = rf"\[s2uc (login --provider {openid_provider.issuer} --scope {SCOPE} --s2cs (\S+))\]"
    request = ["request", *user.places, "--prod-app", "127.0.0.1:9"]
    place = ["--s2cs", gates[0].endpoint]
    for words in (["status", "x"], ["release", "x"], ["rate", "x", 1], ["info"], request):
        done = user.s2uc(*words, *(place if words is not request else []))
        assert done.rc == UNAUTHENTICATED, words
        told = re.search(hint, done.err)
        assert told, done.err
        assert told[2] in [gate.endpoint for gate in gates]
    told = re.search(hint, info(user, gates[0]).err)
    assert told
    env = {
        **user.env,
        "SCISTREAM_NATIVE_CLIENT_ID": NATIVE,
        "SCISTREAM_IDENTITY_CA": str(openid_provider.ca_file),
    }
    with user.start("s2uc", *shlex.split(told[1]), env=env) as login:
        code = login.line(CODE_LINE)[1]
        openid_provider.approve_device(code, "alice")
        assert login.wait() == 0, login.err
    assert info(user, gates[0]).rc == 0
    assert info(user, gates[1]).rc == UNAUTHENTICATED, "it is for the one that was named"


# Protocol: login-announced
def test_a_server_says_itself_for_what_to_log_in(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    words = ["login", "--s2cs", gates[0].endpoint, "--device", "--client-id", NATIVE]
    authority = ["--identity-ca", openid_provider.ca_file]
    with user.start("s2uc", *words, *authority) as login:
        code = login.line(CODE_LINE)[1]
        openid_provider.approve_device(code, "alice")
        assert login.wait() == 0, login.err
    kept = kept_login(user).document
    assert kept["scope"] == SCOPE
    assert info(user, gates[0]).rc == 0


# Protocol: login-announced
def test_a_server_that_is_not_trusted_is_not_listened_to(tmp_path: Path, gates: Gates) -> None:
    stranger = Client(tmp_path)
    done = stranger.s2uc("login", "--s2cs", gates[0].endpoint, "--client-id", NATIVE)
    assert done.rc == UNAUTHENTICATED
    assert "is not trusted" in done.err
    assert not kept_logins(stranger)


# ---- on another device -------------------------------------------------------------------------


# Protocol: login-device
def test_after_a_login_everything_works_as_before(
    user: Client, gates: Gates, openid_provider: OpenIdProvider, echo_app: Application
) -> None:
    with on_a_device(user, openid_provider, *gates) as (login, code):
        assert f"authenticate with {openid_provider.issuer} here" in login.out
        assert f"{openid_provider.issuer}/device" in login.out
        openid_provider.approve_device(code, "alice")
        assert login.wait() == 0, login.err
        assert login.err == ""
        last = login.out.splitlines()[-1]
        assert re.fullmatch(r"Logged in as alice; expires in \d+ min, then renewed", last)

    done = user.s2uc("request", "--json", *user.places, "--prod-app", echo_app.endpoint)
    assert done.rc == 0, done.err
    uid = done.json["uid"]
    assert echo(done.json["listeners"][0]) == b"ping"
    for words in (["status", uid], ["list"], ["rate", uid, 100]):
        done = user.s2uc(*words)
        assert done.rc == 0, done.err
        assert uid in done.out
    assert user.s2uc("release", uid).out == "Release completed\n"


# Protocol: login-device
@pytest.mark.parametrize("flags", [[], ["--no-browser"]], ids=" ".join)
def test_without_a_browser_it_is_another_device(
    user: Client, gates: Gates, openid_provider: OpenIdProvider, flags: list[str]
) -> None:
    words = [*login_words(openid_provider, *gates), *flags]
    with user.start("s2uc", *words, env={"DISPLAY": ":0"}) as login:
        code = login.line(CODE_LINE)[1]
        openid_provider.approve_device(code, "bob")
        login.line("^Logged in as bob; ")
        assert login.wait() == 0


def test_with_json_a_login_is_one_document(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    with on_a_device(user, openid_provider, *gates, flags=["--json"]) as (login, code):
        openid_provider.approve_device(code, "alice")
        assert login.wait() == 0, login.err
    document = json.loads(login.out)
    assert document.pop("expires").endswith("Z")
    assert document == {
        "scope": SCOPE,
        "issuer": openid_provider.issuer,
        "user": "alice",
        "subject": subject_of("alice"),
        "s2cs": [gate.endpoint for gate in gates],
        "logged_in": True,
        "renewable": True,
        "sealed": False,
    }


# Protocol: login-device
def test_a_user_who_says_no_is_not_logged_in(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    with on_a_device(user, openid_provider, *gates) as (login, code):
        openid_provider.approve_device(code, "alice", allow=False)
        assert login.wait() == PERMISSION_DENIED
    assert "access_denied" in login.err
    assert openid_provider.issuer in login.err
    assert "Logged in" not in login.out
    assert kept_logins(user) == []


# Protocol: login-device
def test_nobody_is_waited_for_longer_than_the_code_lasts(tmp_path: Path, user: Client) -> None:
    with OpenIdProvider(tmp_path, settings={"OIDC_DEVICE_TTL": 2}) as provider:
        with on_a_device(user, provider) as (login, _):
            assert login.wait() == TIMEOUT
        assert f"nobody has agreed at {provider.issuer}/device in time; log in again" in login.err
    assert kept_logins(user) == []


# Protocol: login-device
def test_a_provider_that_stumbles_ends_no_login(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    with on_a_device(user, openid_provider, *gates) as (login, code):
        before = openid_provider.counts()["/token"]
        with openid_provider.trouble(lambda: openid_provider.fail(503, under="/token")):
            eventually(lambda: openid_provider.counts()["/token"] > before, "it has asked")
        openid_provider.approve_device(code, "alice")
        assert login.wait() == 0, login.err


def test_whoever_interrupts_a_login_has_withdrawn(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    with on_a_device(user, openid_provider, *gates) as (login, _):
        login.signal(signal.SIGINT)
        assert login.wait() == CANCELLED
    assert kept_logins(user) == []


def test_where_nobody_asks_for_a_login_there_is_none(tmp_path: Path, user: Client) -> None:
    with Facility(tmp_path) as facility:
        user.trust(facility.certificate)
        done = user.s2uc("login", "--s2cs", facility.endpoint)
    assert done.rc == 10
    assert f"{facility.endpoint} asks for no login" in done.err
    assert kept_logins(user) == []


# Protocol: login-device
def test_the_last_login_counts(user: Client, gates: Gates, openid_provider: OpenIdProvider) -> None:
    log_in(user, openid_provider, "alice", gates[0])
    log_in(user, openid_provider, "bob", gates[1])
    assert kept_login(user).document["name"] == "bob"
    assert [info(user, gate).rc for gate in gates] == [0, 0], "still for the first as well"


# ---- with a browser of this machine ------------------------------------------------------------


def parameters(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


# Protocol: login-browser
def test_the_browser_brings_the_login_back(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    with in_a_browser(user, openid_provider, *gates) as (login, address):
        assert address in login.out, "for those whose browser is another"
        asked = parameters(address)
        assert asked["client_id"] == NATIVE
        assert asked["code_challenge_method"] == "S256"
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/callback", asked["redirect_uri"])
        redirect = openid_provider.log_in(address, "carol")
        assert redirect.startswith(asked["redirect_uri"])
        status, page = visit(redirect)
        assert (status, "You may close this window." in page) == (200, True)
        assert login.wait() == 0, login.out
        login.line("^Logged in as carol; ")
    assert info(user, gates[0]).rc == 0


# Protocol: login-browser
def test_nobody_else_ends_a_login(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    """Any program of this machine can connect to where the browser is awaited."""
    with in_a_browser(user, openid_provider, *gates) as (login, address):
        asked = parameters(address)
        where = asked["redirect_uri"]
        place = ("127.0.0.1", urlsplit(where).port)
        with contextlib.ExitStack() as idle:
            for _ in range(20):
                idle.enter_context(socket.create_connection(place, LIMIT))
            for said in (b"", b"\0\xff" * 9000, b"GET", b"GET /callback?state HTTP/1.1\r\n\r\n"):
                visitor = idle.enter_context(socket.create_connection(place, LIMIT))
                with contextlib.suppress(OSError):
                    visitor.sendall(said)
                visitor.close()
            right = f"code=stolen&state={asked['state']}"
            for url, status in (
                (f"{where}?code=stolen&state=guessed", 400),
                (f"{where}?code=stolen", 400),
                (f"{where}?{right}&state=guessed", 400),
                (f"{where}?error=access_denied&state=", 400),
                (where, 404),
                (where.replace("callback", f"elsewhere?{right}"), 404),
            ):
                answer, page = visit(url)
                assert answer == status, url
                assert "stolen" not in page
            assert login.process.poll() is None, login.out
            assert visit(openid_provider.log_in(address, "carol"))[0] == 200
        assert login.wait() == 0, login.out
        login.line("^Logged in as carol; ")


# Protocol: login-browser
def test_a_user_who_says_no_in_the_browser_is_not_logged_in(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    with in_a_browser(user, openid_provider, *gates) as (login, address):
        redirect = openid_provider.log_in(address, "carol", allow=False)
        assert "You are not logged in." in visit(redirect)[1]
        assert login.wait() == PERMISSION_DENIED
        login.line("gives no login: you, or it, did not agree")
    assert kept_logins(user) == []


# Protocol: login-browser
def test_the_answer_of_another_provider_is_none(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    with in_a_browser(user, openid_provider, *gates) as (login, address):
        redirect = openid_provider.log_in(address, "carol")
        mixed = re.sub(r"iss=[^&]*", "iss=https://elsewhere.example", redirect)
        assert mixed != redirect
        visit(mixed)
        assert login.wait() == UNAUTHENTICATED
        login.line("another one answered")
    assert kept_logins(user) == []


# ---- what a login needs ------------------------------------------------------------------------


def test_under_which_id_is_said_once(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    words = login_words(openid_provider, *gates)
    at = words.index("--client-id")
    words = [*words[:at], *words[at + 2 :]]
    done = user.s2uc(*words)
    assert done.rc == INVALID_ARGUMENT
    assert f'client_id of [provider."{openid_provider.issuer}"]' in done.err
    configure(user, f'[provider."{openid_provider.issuer}"]\nclient_id = "{NATIVE}"\n')
    with user.start("s2uc", *words) as login:
        code = login.line(CODE_LINE)[1]
        openid_provider.approve_device(code, "alice")
        assert login.wait() == 0, login.err


@pytest.mark.parametrize(
    ("instead", "code", "why"),
    [
        ({"--provider": "nonsense"}, INVALID_ARGUMENT, "--provider is globus, or an issuer"),
        ({"--provider": "{issuer}/realms/none"}, UNAVAILABLE, "is it the issuer?"),
        ({"--identity-ca": "/nowhere/at/all.pem"}, NOT_FOUND, "/nowhere/at/all.pem"),
        ({"--identity-ca": "{other}"}, UNAUTHENTICATED, "certificate"),
        ({"--scope": "two words"}, INVALID_ARGUMENT, "--scope is one word"),
        ({"--client-id": "somebody"}, UNAUTHENTICATED, "invalid_client"),
        ({"--s2cs": "no-port"}, INVALID_ARGUMENT, "no-port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_what_is_wrong_with_a_login_is_said(
    user: Client,
    gates: Gates,
    openid_provider: OpenIdProvider,
    instead: dict[str, str],
    code: int,
    why: str,
) -> None:
    words = login_words(openid_provider, *gates)
    for name, value in instead.items():
        place = {"issuer": openid_provider.issuer, "other": gates[0].certificate}
        words[words.index(name) + 1] = value.format(**place)
    done = user.s2uc(*words, "--device")
    assert (done.rc, why in done.err) == (code, True), done.err
    assert kept_logins(user) == []


def test_a_scope_that_is_not_granted_is_no_login(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    with on_a_device(user, openid_provider, *gates, scope="unknown") as (login, code):
        openid_provider.approve_device(code, "alice")
        assert login.wait() == PERMISSION_DENIED
    assert "does not grant the scope 'unknown'" in login.err
    assert kept_logins(user) == []
