"""The provider that other tests rely on does what a real one does, and what a test tells it."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from facility import Json, eventually
from https import Answer, basic
from openid import (
    CALLBACK,
    NATIVE,
    RESOURCE_SERVER,
    WORKFLOW,
    OpenIdProvider,
    Pkce,
    resource,
    subject_of,
)

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture
def provider(openid_provider: OpenIdProvider) -> OpenIdProvider:
    return openid_provider


def part(token: str, number: int) -> Json:
    """The header (0) or the claims (1) of a signed token."""
    text = token.split(".")[number]
    decoded: Json = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return decoded


def code_of(provider: OpenIdProvider, pkce: Pkce, user: str, scope: str, **more: str) -> str:
    end = provider.log_in(provider.authorization_url(pkce, scope, state="s", **more), user)
    assert end.startswith(CALLBACK)
    answer = parse_qs(urlsplit(end).query)
    assert answer["state"] == ["s"]
    assert answer["iss"] == [provider.issuer]
    return answer["code"][0]


def exchanged(provider: OpenIdProvider, code: str, pkce: Pkce) -> Answer:
    return provider.exchange(
        grant_type="authorization_code",
        code=code,
        redirect_uri=CALLBACK,
        code_verifier=pkce.verifier,
    )


def device_codes(provider: OpenIdProvider, scope: str) -> Json:
    url = provider.discovery["device_authorization_endpoint"]
    answer = provider.fetch(url, form={"client_id": NATIVE, "scope": scope})
    assert answer.status == 200, answer.text
    return answer.json


def poll(provider: OpenIdProvider, codes: Json) -> Answer:
    return provider.exchange(grant_type=DEVICE, device_code=codes["device_code"])


def test_it_says_where_everything_is(provider: OpenIdProvider) -> None:
    said = provider.discovery
    assert said["issuer"] == provider.issuer
    assert said["introspection_endpoint"] == provider.introspection_url
    assert "revocation_endpoint" in said
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert {"scistream", "offline_access", provider.globus_scope} <= set(said["scopes_supported"])


def test_nobody_who_does_not_know_its_ca_trusts_it(provider: OpenIdProvider) -> None:
    context = ssl.create_default_context()
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        urllib.request.urlopen(provider.origin, context=context)


def test_the_resource_server_hears_all_of_a_token(provider: OpenIdProvider) -> None:
    provider.set_person("alice", groups=["beamline", "staff"])
    answer = provider.introspect(provider.mint("alice", lifetime=60))
    assert answer["exp"] - answer["iat"] in (59, 60)
    said = {name: answer[name] for name in ("active", "iss", "sub", "aud", "scope", "username")}
    assert said == {
        "active": True,
        "iss": provider.issuer,
        "sub": subject_of("alice"),
        "aud": RESOURCE_SERVER,
        "scope": "scistream",
        "username": "alice",
    }
    assert answer["groups"] == ["beamline", "staff"]


def test_nobody_else_hears_of_it(provider: OpenIdProvider) -> None:
    token = provider.mint("alice")
    url = provider.introspection_url
    others = [
        provider.fetch(
            url, form={"token": token}, authorization=basic(WORKFLOW, provider.workflow_secret)
        ),
        provider.fetch(url, form={"token": token, "client_id": NATIVE}),
    ]
    assert [(answer.status, answer.json) for answer in others] == [(200, {"active": False})] * 2
    wrong = basic(RESOURCE_SERVER, "guessed")
    assert provider.fetch(url, form={"token": token}, authorization=wrong).status == 401
    assert provider.fetch(url, form={"token": token}).status == 400


@pytest.mark.parametrize("token", ["", "never-issued", "late"])
def test_what_is_no_token_is_not_active(provider: OpenIdProvider, token: str) -> None:
    token = provider.mint("alice", lifetime=-1) if token == "late" else token
    answer = provider.ask(token)
    assert answer.status == (200 if token else 400)
    assert answer.json.get("active", False) is False


def test_globus_auth_would_answer_so(provider: OpenIdProvider) -> None:
    name = "bob@example.org"
    provider.set_person(name, identities=["f7c1a0de-0000-4000-8000-000000000001"])
    token = provider.mint(name, scope=provider.globus_scope, lifetime=60)
    form = {"token": token, "include": "identity_set"}
    secret = basic(RESOURCE_SERVER, provider.secret)
    url = provider.globus_introspection_url
    answer = provider.fetch(url, form=form, authorization=secret).json
    assert answer["exp"] - answer.pop("iat") in (59, 60)
    assert answer.pop("nbf") < answer.pop("exp")
    assert answer == {
        "active": True,
        "scope": provider.globus_scope,
        "client_id": NATIVE,
        "sub": subject_of(name),
        "username": name,
        "name": "bob",
        "email": name,
        "aud": [RESOURCE_SERVER],
        "iss": provider.issuer,
        "identity_set": [subject_of(name), "f7c1a0de-0000-4000-8000-000000000001"],
    }
    assert (
        "identity_set" not in provider.fetch(url, form={"token": token}, authorization=secret).json
    )
    gone = provider.fetch(url, form={"token": "never-issued"}, authorization=secret)
    assert gone.json == {"active": False}
    assert provider.fetch(url, form=form, authorization=basic(RESOURCE_SERVER, "x")).status == 401


def test_a_user_logs_in_with_a_browser(provider: OpenIdProvider) -> None:
    pkce = Pkce.fresh()
    scope = "openid profile email groups offline_access scistream"
    code = code_of(provider, pkce, "carol", scope, prompt="consent", nonce="n")
    assert exchanged(provider, code, Pkce.fresh()).json["error"] == "invalid_grant"
    tokens = exchanged(provider, code, pkce).json
    assert tokens["scope"] == "scistream"
    assert provider.introspect(tokens["access_token"])["username"] == "carol"
    identity = part(tokens["id_token"], 1)
    assert identity["sub"] == subject_of("carol")
    assert identity["preferred_username"] == "carol"
    assert identity["email"] == "carol@example.org"
    assert identity["email_verified"] is True
    assert (identity["nonce"], identity["aud"]) == ("n", NATIVE)

    fresh = provider.exchange(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert provider.introspect(fresh.json["access_token"])["sub"] == subject_of("carol")


def test_a_login_without_pkce_is_refused(provider: OpenIdProvider) -> None:
    url = provider.authorization_url(Pkce.fresh(), "scistream")
    end = provider.log_in(url.replace("code_challenge", "ignored"), "carol")
    assert parse_qs(urlsplit(end).query)["error"] == ["invalid_request"]


def test_a_user_may_say_no(provider: OpenIdProvider) -> None:
    url = provider.authorization_url(Pkce.fresh(), "scistream")
    end = provider.log_in(url, "carol", allow=False)
    assert parse_qs(urlsplit(end).query)["error"] == ["access_denied"]


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_a_client_may_choose_signed_tokens(provider: OpenIdProvider, alg: str) -> None:
    pkce = Pkce.fresh()
    code = code_of(provider, pkce, "dave", "openid scistream", resource=resource(alg))
    token = exchanged(provider, code, pkce).json["access_token"]
    header = part(token, 0)
    assert (header["typ"], header["alg"]) == ("at+jwt", alg)
    assert header["kid"] in provider.key_ids()
    claims = part(token, 1)
    assert claims["iss"] == provider.issuer
    assert claims["sub"] == subject_of("dave")
    assert claims["aud"] == RESOURCE_SERVER
    assert claims["scope"] == "scistream"
    assert provider.ask(token).json["error"] == "unsupported_token_type"


def test_a_device_acts_for_a_user_who_approves(provider: OpenIdProvider) -> None:
    codes = device_codes(provider, "openid offline_access scistream")
    assert codes["interval"] == 1
    assert poll(provider, codes).json["error"] == "authorization_pending"
    provider.approve_device(codes["user_code"], "erin")
    tokens = poll(provider, codes).json
    assert provider.introspect(tokens["access_token"])["username"] == "erin"
    assert "refresh_token" in tokens
    assert poll(provider, codes).json["error"] == "invalid_grant"


def test_a_device_that_is_refused_hears_so(provider: OpenIdProvider) -> None:
    codes = device_codes(provider, "scistream")
    provider.approve_device(codes["user_code"], "erin", allow=False)
    assert poll(provider, codes).json["error"] == "access_denied"


def test_a_workflow_acts_for_itself(provider: OpenIdProvider) -> None:
    secret = basic(WORKFLOW, provider.workflow_secret)
    form = {"grant_type": "client_credentials", "scope": "scistream"}
    token = provider.exchange(secret, **form).json["access_token"]
    for answer in (provider.introspect(token), provider.introspect(provider.mint(None))):
        assert (answer["sub"], answer["aud"]) == (WORKFLOW, RESOURCE_SERVER)
    assert provider.exchange(basic(WORKFLOW, "guessed"), **form).status == 401


def test_a_token_that_is_revoked_is_not_active(provider: OpenIdProvider) -> None:
    token = provider.mint("frank")
    url = provider.discovery["revocation_endpoint"]
    assert provider.introspect(token)["active"] is True
    assert provider.fetch(url, form={"client_id": NATIVE, "token": token}).status == 200
    assert provider.introspect(token) == {"active": False}


def test_minted_tokens_are_as_wrong_as_asked_for(provider: OpenIdProvider) -> None:
    wrong = provider.mint("alice", audience="another", scope="openid")
    answer = provider.introspect(wrong)
    assert (answer["aud"], answer["scope"]) == ("another", "openid")
    changes = {"iss": "https://elsewhere.example", "exp": None, "nbf": 5}
    token = provider.mint("alice", jwt=True, claims=changes, header={"typ": "JWT", "kid": None})
    claims = part(token, 1)
    assert (claims["iss"], claims["nbf"]) == (changes["iss"], 5)
    assert "exp" not in claims
    assert part(token, 0) == {"typ": "JWT", "alg": "RS256"}


def test_keys_rotate(provider: OpenIdProvider) -> None:
    first = provider.key_ids()
    provider.rotate_keys(keep=True)
    second = provider.key_ids()
    assert (len(first), len(second)) == (2, 4)
    assert set(first) < set(second)
    assert part(provider.mint("alice", jwt=True), 0)["kid"] not in first
    opaque = provider.mint("alice")
    provider.rotate_keys()
    third = provider.key_ids()
    assert len(third) == 2
    assert not set(third) & set(second)
    assert provider.introspect(opaque)["active"] is True


def test_it_counts_what_it_is_asked(provider: OpenIdProvider) -> None:
    token = provider.mint("alice")
    before = provider.counts()
    provider.introspect(token)
    provider.introspect(token)
    provider.key_ids()
    assert provider.counts() - before == {
        "/token/introspection": 2,
        "/jwks": 1,
        "/.well-known/openid-configuration": 1,
    }


def test_it_fails_and_recovers(provider: OpenIdProvider) -> None:
    token = provider.mint("alice")
    with provider.trouble(lambda: provider.fail(503, under="/token")):
        assert provider.ask(token).status == 503
        assert provider.discovery
    assert provider.introspect(token)["active"] is True


def test_it_hangs_and_answers_later(provider: OpenIdProvider) -> None:
    token = provider.mint("alice")
    before = provider.counts()
    answers: list[Json] = []
    with provider.trouble(provider.hang):
        asking = threading.Thread(target=lambda: answers.append(provider.introspect(token)))
        asking.start()
        eventually(lambda: provider.counts() - before, "the question has come")
        asking.join(0.2)
        assert answers == []
    asking.join(10)
    assert [answer["active"] for answer in answers] == [True]


def test_it_may_be_below_a_path_and_sign_all_tokens(tmp_path: Path) -> None:
    """As Keycloak's issuers are, and its tokens."""
    with OpenIdProvider(tmp_path, mount="/realms/one", access_tokens="ES256") as provider:
        assert provider.issuer == f"{provider.origin}/realms/one"
        assert provider.discovery["issuer"] == provider.issuer
        assert provider.discovery["introspection_endpoint"] == provider.introspection_url
        assert provider.fetch(f"{provider.origin}/jwks").status == 404
        pkce = Pkce.fresh()
        token = exchanged(provider, code_of(provider, pkce, "gina", "scistream"), pkce).json
        assert part(token["access_token"], 0)["alg"] == "ES256"
        codes = device_codes(provider, "scistream")
        provider.approve_device(codes["user_code"], "gina")
        assert part(poll(provider, codes).json["access_token"], 1)["sub"] == subject_of("gina")
        assert provider.introspect(provider.mint("gina"))["active"] is True


def test_lifetimes_are_settings(tmp_path: Path) -> None:
    with OpenIdProvider(tmp_path, settings={"OIDC_ACCESS_TTL": 7}) as provider:
        secret = basic(WORKFLOW, provider.workflow_secret)
        tokens = provider.exchange(secret, grant_type="client_credentials", scope="scistream").json
        assert tokens["expires_in"] == 7


def test_it_comes_back_at_the_same_place(tmp_path: Path) -> None:
    provider = OpenIdProvider(tmp_path)
    with provider:
        issuer, token = provider.issuer, provider.mint("alice")
    with pytest.raises(urllib.error.URLError, match="refused"):
        provider.ask(token)
    with provider:
        assert provider.issuer == issuer
        assert provider.introspect(token) == {"active": False}


def test_it_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """Its standard input closes when they end, however they do."""
    with OpenIdProvider(tmp_path) as provider:
        assert provider.command
        assert provider.command.process.stdin
        provider.command.process.stdin.close()
        assert provider.command.wait() == 0
