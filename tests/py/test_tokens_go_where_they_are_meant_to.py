"""Who gets a user's token: the servers that the user has named, and nobody who only looks on."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from applications import Application
from facility import Client, Done
from logins import (
    SCOPE,
    Gates,
    GreedyServer,
    command_lines_with,
    configure,
    in_a_browser,
    info,
    log_in,
    on_a_device,
    visit,
)
from openid import WORKFLOW, OpenIdProvider

UNAUTHENTICATED = 3


@pytest.fixture
def user(tmp_path: Path, gates: Gates) -> Client:
    """One who has not logged in."""
    return Client(tmp_path, *gates)


@pytest.fixture
def greedy(openid_provider: OpenIdProvider) -> Iterator[GreedyServer]:
    with GreedyServer(openid_provider.issuer) as server:
        yield server


def call(user: Client, server: GreedyServer, *flags: object) -> Done:
    return info(user, server, "--ssl=False", *flags)


# ---- to whom -----------------------------------------------------------------------------------


# Protocol: token-destination
def test_a_server_that_announces_a_scope_gets_no_token_for_it(
    user: Client, gates: Gates, openid_provider: OpenIdProvider, greedy: GreedyServer
) -> None:
    log_in(user, openid_provider, "alice", *gates)
    for words in (["info"], ["status", "x"], ["release", "x"], ["rate", "x", 5]):
        done = user.s2uc(*words, "--s2cs", greedy.endpoint, "--ssl=False")
        assert done.rc == UNAUTHENTICATED, words
        told = f"s2uc login --provider {openid_provider.issuer} --scope {SCOPE}"
        assert f"[{told} --s2cs {greedy.endpoint}]" in done.err
        assert greedy.heard() == {""}
    done = user.s2uc("prod_req", "--s2cs", greedy.endpoint, "--ssl=False")
    assert (done.rc, greedy.heard()) == (UNAUTHENTICATED, {""})


# Protocol: token-destination
def test_it_gets_one_once_the_user_has_said_so(
    user: Client, gates: Gates, openid_provider: OpenIdProvider, greedy: GreedyServer
) -> None:
    login = log_in(user, openid_provider, "alice", *gates)
    call(user, greedy)
    assert greedy.heard() == {""}
    call(user, greedy, "--scope", SCOPE)
    assert greedy.heard() == {login.access}
    call(user, greedy)
    assert greedy.heard() == {login.access}, "from now on"
    assert greedy.endpoint in user.s2uc("check_auth").out
    with GreedyServer(openid_provider.issuer) as other:
        call(user, other)
        assert other.heard() == {""}, "another port is another server"


# Protocol: token-destination
def test_the_last_word_about_a_server_counts(
    user: Client, openid_provider: OpenIdProvider, greedy: GreedyServer
) -> None:
    scopes = (SCOPE, openid_provider.globus_scope)
    logins = [log_in(user, openid_provider, "alice", greedy, scope=each) for each in scopes]
    call(user, greedy)
    assert greedy.heard() == {logins[1].access}
    call(user, greedy, "--scope", scopes[0])
    call(user, greedy)
    assert greedy.heard() == {logins[0].access}
    user.s2uc("logout", "--scope", scopes[0])
    call(user, greedy)
    assert greedy.heard() == {""}, "the other one is no longer for it"


# Protocol: token-destination
def test_a_server_that_is_configured_gets_the_token_of_its_scope(
    user: Client, openid_provider: OpenIdProvider, greedy: GreedyServer
) -> None:
    issuer = openid_provider.issuer
    config = configure(
        user, f'[server."{greedy.endpoint}"]\nscope = "{SCOPE}"\nissuer = "{issuer}"\n'
    )
    done = call(user, greedy)
    assert done.rc == UNAUTHENTICATED
    assert f"log in: s2uc login --scope {SCOPE} --provider {issuer}" in done.err
    assert greedy.heard() == set(), "it would refuse"
    login = log_in(user, openid_provider, "alice")
    call(user, greedy)
    assert greedy.heard() == {login.access}
    config.write_text(config.read_text().replace("scope", "scoop"))
    done = call(user, greedy)
    assert (done.rc, greedy.heard()) == (2, set())
    assert f"'{config}', line 2: 'scoop' is none of scope, issuer" in done.err


# Protocol: token-destination
def test_a_workflow_shows_no_token_of_another_issuer(
    user: Client, openid_provider: OpenIdProvider, greedy: GreedyServer
) -> None:
    """A server that is for one issuer's tokens could use those of another elsewhere."""
    secret = user.folder / "secret"
    secret.write_text(openid_provider.workflow_secret)
    secret.chmod(0o600)
    configure(
        user,
        f'[workflow]\nclient_id = "{WORKFLOW}"\nclient_secret_file = "{secret}"\n'
        f'issuer = "{openid_provider.issuer}"\n'
        f'[server."{greedy.endpoint}"]\nscope = "{SCOPE}"\nissuer = "https://login.example.org"\n',
    )
    user.env["SCISTREAM_IDENTITY_CA"] = str(openid_provider.ca_file)
    assert call(user, greedy).rc == UNAUTHENTICATED
    assert greedy.heard() <= {""}


# Protocol: token-destination
def test_a_token_does_not_leave_this_machine_over_plaintext(
    user: Client, openid_provider: OpenIdProvider
) -> None:
    token = log_in(user, openid_provider, "alice").access
    done = user.s2uc("info", "--s2cs", "192.0.2.1:5000", "--ssl=False", "--scope", SCOPE)
    assert done.rc == 2
    assert "does not travel over plaintext" in done.err
    assert token not in done.err


# ---- and who must not see it -------------------------------------------------------------------


def challenge(verifier: str) -> str:
    """As RFC 7636 has it."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


# Protocol: token-not-shown
def test_no_command_shows_a_token(
    user: Client, gates: Gates, openid_provider: OpenIdProvider, echo_app: Application
) -> None:
    said = []
    with on_a_device(user, openid_provider, *gates, flags=["--verbose"]) as (login, code):
        openid_provider.approve_device(code, "alice")
        assert login.wait() == 0
        said += [login.out, login.err]
        assert not re.findall(r"[\w-]{40,}", login.out + login.err), "a device code is that long"
    kept = log_in(user, openid_provider, "alice", *gates)
    secrets = {kept.access, kept.refresh, openid_provider.secret}
    place = ["--s2cs", gates[0].endpoint]
    with user.waiting("--verbose") as request:
        request.listening()
        kept.expires_in(-5)
        words = [
            ["check_auth"],
            ["info", *place],
            ["list"],
            ["status", request.uid],
            ["status", "nothing", *place],
            ["inbound_request", "--mock", "--receiver_ports", "9", *place],
            ["info", "--scope", "other", *place],
        ]
        for json in ([], ["--json"]):
            for command in words:
                done = user.s2uc(*command, "--verbose", *json)
                said += [done.out, done.err]
        secrets |= {kept.access, kept.refresh}
        assert len(secrets) == 5, "it has been renewed"
        environment = {"SCISTREAM_APP_KEY": request.prod_key.read_text().strip()}
        user.appctrl(
            *("hello", request.uid, gates[0].endpoint, "--role", "PROD", "--verbose"),
            *("--listen", echo_app.endpoint),
            env=environment,
        )
        said += command_lines_with(gates[0].endpoint)
        user.appctrl(
            *("hello", request.uid, gates[1].endpoint, "--role", "CONS", "--verbose"),
            *("--key-file", request.cons_key),
        )
        assert request.wait() == 0
        said += [request.out, request.err]
    for command in (["release", request.uid], ["release", "4f8583bc-a4d3-11ee-9fd6-034d1fcbd7c3"]):
        done = user.s2uc(*command, "--verbose")
        assert done.rc == 0, done.err
        said += [done.out, done.err]
    done = user.s2uc("logout", "--verbose")
    said += [done.out, done.err]
    said += [gate.logs() for gate in gates]
    said += [(gate.state / "audit.jsonl").read_text() for gate in gates]
    for folder in (user.folder, *(gate.folder for gate in gates)):
        files = [path for path in folder.rglob("*") if path.is_file()]
        said += [path.read_bytes().decode(errors="replace") for path in files]
    assert all(len(secret) > 30 for secret in secrets)
    assert [secret for secret in secrets if any(secret in text for text in said)] == []


# Protocol: token-not-shown
def test_neither_code_nor_verifier_of_a_login_is_shown(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    with in_a_browser(user, openid_provider, *gates, flags=["--verbose"]) as (login, address):
        hidden = parse_qs(urlsplit(address).query)["code_challenge"][0]
        shown = command_lines_with(openid_provider.issuer)
        assert shown
        redirect = openid_provider.log_in(address, "carol")
        visit(redirect)
        assert login.wait() == 0, login.out
    shown += [login.out, login.err, address]
    code = parse_qs(urlsplit(redirect).query)["code"][0]
    assert [text for text in shown if code in text] == []
    words = [word for text in shown for word in re.findall(r"[\w.~-]{43,}", text)]
    assert hidden in words, "what is looked for would be found"
    assert [word for word in words if challenge(word) == hidden] == []
