"""Tokens that somebody has made, changed, stolen, guessed or kept, and providers in trouble."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import http2
from callers import Caller, ended, knows, proven, stranger
from deployed_peer import new_uid
from facility import Facility, Json, eventually
from openid import CALLBACK, NATIVE, RESOURCE_SERVER, OpenIdProvider, Pkce

INTROSPECTION = "/token/introspection"


@pytest.fixture(scope="module")
def provider(openid_provider: OpenIdProvider) -> OpenIdProvider:
    return openid_provider


@pytest.fixture(scope="module")
def facility(
    tmp_path_factory: pytest.TempPathFactory, provider: OpenIdProvider
) -> Iterator[Facility]:
    """It takes tokens of both forms."""
    folder = tmp_path_factory.mktemp("facility")
    with Facility(folder, *knows(provider, "opaque", "signed")) as facility:
        yield facility


@pytest.fixture(scope="module")
def alice(facility: Facility, provider: OpenIdProvider) -> Iterator[Caller]:
    with Caller(facility, provider.mint("alice", jwt=True)) as alice:
        alice("info")
        yield alice


def refused(facility: Facility, token: str) -> str:
    """The status name that a token has, shown from an address of its own."""
    with stranger(facility, token) as caller:
        return caller.code("info")


# ---- signed tokens that were not signed so -----------------------------------------------------


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parts(token: str) -> tuple[Json, Json]:
    header, claims, _ = token.split(".")
    return json.loads(decode(header)), json.loads(decode(claims))


def token_of(header: Json, claims: Json, sign: Callable[[bytes], bytes]) -> str:
    text = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
    return f"{text}.{encode(sign(text.encode()))}"


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + body


def pem(key: Json) -> bytes:
    """The public RSA key of a JWK as everybody can write it down."""
    numbers = [der(2, b"\0" + decode(key["n"])), der(2, decode(key["e"]))]
    kind = der(0x30, bytes.fromhex("06092a864886f70d010101"), der(5))
    text = base64.encodebytes(der(0x30, kind, der(3, b"\0", der(0x30, *numbers)))).decode()
    lines = text.replace("\n", "")
    wrapped = "\n".join(lines[at : at + 64] for at in range(0, len(lines), 64))
    return f"-----BEGIN PUBLIC KEY-----\n{wrapped}\n-----END PUBLIC KEY-----\n".encode()


def keys_of(provider: OpenIdProvider) -> list[Json]:
    keys: list[Json] = provider.fetch(provider.discovery["jwks_uri"]).json["keys"]
    return keys


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", None])
def test_a_token_that_nobody_signed_is_none(
    facility: Facility, provider: OpenIdProvider, alg: str | None
) -> None:
    header, claims = parts(provider.mint("alice", jwt=True))
    assert refused(facility, token_of({**header, "alg": alg}, claims, bytes)) == "UNAUTHENTICATED"
    good = provider.mint("alice", jwt=True)
    signature = decode(good.split(".")[2])
    forged = token_of({**header, "alg": alg}, claims, lambda _: signature)
    assert refused(facility, forged) == "UNAUTHENTICATED"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512", "RS256"])
def test_a_public_key_is_no_secret_to_sign_with(
    facility: Facility, provider: OpenIdProvider, alg: str
) -> None:
    header, claims = parts(provider.mint("alice", jwt=True))
    (key,) = [key for key in keys_of(provider) if key["kid"] == header["kid"]]
    digest = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(alg, hashlib.sha256)
    for secret in (pem(key), pem(key).strip(), json.dumps(key).encode(), decode(key["n"]), b""):
        sign = partial(hmac.digest, secret, digest=digest)
        forged = token_of({**header, "alg": alg}, claims, sign)
        assert refused(facility, forged) == "UNAUTHENTICATED"


@pytest.mark.parametrize("change", ["claims", "header", "signature", "another key's id"])
def test_nothing_that_is_signed_can_be_changed(
    facility: Facility, provider: OpenIdProvider, change: str
) -> None:
    good = provider.mint("alice", jwt=True)
    assert refused(facility, good) == "OK"
    header, claims, signature = good.split(".")
    other = provider.mint("mallory", jwt=True, alg="ES256")
    forged = {
        "claims": f"{header}.{other.split('.')[1]}.{signature}",
        "header": f"{other.split('.')[0]}.{claims}.{signature}",
        "signature": f"{header}.{claims}.{other.split('.')[2]}",
        "another key's id": token_of(
            {**parts(good)[0], "kid": parts(other)[0]["kid"]},
            parts(good)[1],
            lambda _: decode(signature),
        ),
    }[change]
    assert refused(facility, forged) == "UNAUTHENTICATED"


# Protocol: token-signed
@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_both_kinds_of_signature_are_good(
    facility: Facility, provider: OpenIdProvider, alg: str
) -> None:
    assert refused(facility, provider.mint("alice", jwt=True, alg=alg)) == "OK"


WRONG: dict[str, Mapping[str, Any]] = {
    "expired": {"lifetime": -10},
    "without an end": {"claims": {"exp": None}},
    "with an end that is a text": {"claims": {"exp": "never"}},
    "not valid yet": {"claims": {"nbf": 4_000_000_000}},
    "issued in the future": {"claims": {"iat": 4_000_000_000}},
    "of nobody": {"claims": {"sub": None}},
    "for another": {"audience": "another-service"},
    "for others": {"claims": {"aud": ["another-service", "a-third"]}},
    "for nobody": {"claims": {"aud": []}},
    "of another issuer": {"claims": {"iss": "https://elsewhere.example"}},
    "of an issuer much like it": {"claims": {"iss": "https://127.0.0.1"}},
    "of no issuer": {"claims": {"iss": None}},
    "for something else than access": {"header": {"typ": "JWT"}},
}


@pytest.mark.parametrize("what", WRONG)
def test_a_signed_token_must_say_the_right_things(
    facility: Facility, provider: OpenIdProvider, what: str
) -> None:
    token = provider.mint("alice", jwt=True, **WRONG[what])
    assert refused(facility, token) == "UNAUTHENTICATED"


@pytest.mark.parametrize("what", ["expired", "for another"])
def test_so_must_what_is_said_of_an_opaque_one(
    facility: Facility, provider: OpenIdProvider, what: str
) -> None:
    assert refused(facility, provider.mint("alice", **WRONG[what])) == "UNAUTHENTICATED"


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("scope", ["", "openid", "scistream.read", "notscistream", "SCISTREAM"])
def test_a_scope_that_is_much_like_it_is_another(
    facility: Facility, provider: OpenIdProvider, signed: bool, scope: str
) -> None:
    token = provider.mint("alice", jwt=signed, scope=scope)
    assert refused(facility, token) == "PERMISSION_DENIED"


def id_token(provider: OpenIdProvider) -> str:
    """Of alice's login at the native client."""
    pkce = Pkce.fresh()
    url = provider.authorization_url(pkce, "openid profile scistream", nonce="n")
    code = parse_qs(urlsplit(provider.log_in(url, "alice")).query)["code"][0]
    form = {"code": code, "redirect_uri": CALLBACK, "code_verifier": pkce.verifier}
    token: str = provider.exchange(grant_type="authorization_code", **form).json["id_token"]
    return token


def test_a_login_is_no_access(tmp_path: Path, facility: Facility, provider: OpenIdProvider) -> None:
    """An ID token is refused even where its audience is the one that is asked for, and where
    tokens need not say that they are for access.
    """
    token = id_token(provider)
    assert parts(token)[1]["aud"] == NATIVE
    assert refused(facility, token) == "UNAUTHENTICATED"
    flags = ["--issuer", provider.issuer, "--audience", NATIVE, "--identity-ca", provider.ca_file]
    with Facility(tmp_path, *flags, "--plain-tokens") as plain:
        assert refused(plain, token) == "UNAUTHENTICATED"
        access = provider.mint("alice", jwt=True, audience=NATIVE, header={"typ": "JWT"})
        assert refused(plain, access) == "OK"


# ---- what is no token at all -------------------------------------------------------------------


@pytest.mark.parametrize("size", [4_000, 12_000, 20_000])
def test_a_long_token_harms_nobody(facility: Facility, alice: Caller, size: int) -> None:
    for token in ("x" * size, "a.b." + "c" * size):
        assert refused(facility, token) in ("UNAUTHENTICATED", "RESOURCE_EXHAUSTED")
    assert alice.code("info") == "OK"


# Protocol: token-signed
def test_a_token_may_name_many_groups(facility: Facility, provider: OpenIdProvider) -> None:
    provider.set_person("member", groups=[secrets.token_hex(16) for _ in range(200)])
    token = provider.mint("member", jwt=True)
    assert 8_192 < len(token) < 16_384
    assert refused(facility, token) == "OK"


@pytest.mark.parametrize(
    "token",
    [b"a\nb", b"a\r\nauthorization: x", b"a\0b", b"\x1b[31mred", b"\xff\xfe", b"tab\there", b" "],
)
def test_a_token_with_control_characters_is_none(
    facility: Facility, alice: Caller, token: bytes
) -> None:
    answer = http2.call(facility, "info", b"", [(b"authorization", b"Bearer " + token)])
    assert answer in ("UNAUTHENTICATED", "INTERNAL", "UNKNOWN", "reset", "closed")
    assert alice.code("info") == "OK"


def test_the_same_by_hand_is_a_call(facility: Facility, provider: OpenIdProvider) -> None:
    """So that what is refused above is refused for its token."""
    token = provider.mint("alice").encode()
    assert http2.call(facility, "info", b"", [(b"authorization", b"Bearer " + token)]) == "OK"
    assert http2.call(facility, "info", b"") == "UNAUTHENTICATED"


def test_of_two_tokens_none_counts_as_somebody_elses(
    facility: Facility, provider: OpenIdProvider
) -> None:
    both = [(b"authorization", b"made-up"), (b"authorization", provider.mint("alice").encode())]
    assert http2.call(facility, "info", b"", both) != "OK"
    assert http2.call(facility, "info", b"", both[::-1]) in ("OK", "UNAUTHENTICATED")


# ---- floods ------------------------------------------------------------------------------------


def test_made_up_key_ids_do_not_reach_the_provider(
    facility: Facility, provider: OpenIdProvider, alice: Caller
) -> None:
    """However many tokens name keys that nobody knows, its keys are asked for once, if at all."""
    header, claims = parts(provider.mint("alice", jwt=True))
    before = provider.counts()
    codes = set()
    for _ in range(5):
        with stranger(facility) as caller:
            for _ in range(15):
                unknown = {**header, "kid": secrets.token_hex(8)}
                caller.show(token_of(unknown, claims, lambda _: bytes(256)))
                codes.add(caller.code("info"))
    assert codes == {"UNAUTHENTICATED"}
    asked = provider.counts() - before
    assert asked["/jwks"] <= 1, asked
    assert asked[INTROSPECTION] == 0
    assert alice.code("info") == "OK"


# Protocol: failed-logins
def test_guessing_is_slowed_down_by_address(facility: Facility, provider: OpenIdProvider) -> None:
    """Whoever was known before is served still, at the same address, too."""
    good = provider.mint("alice")
    before = provider.counts()
    with stranger(facility, good) as caller:
        assert caller.code("info") == "OK"
        codes = []
        for _ in range(40):
            caller.show("guess-" + new_uid())
            codes.append(caller.code("info"))
        assert codes[:20] == ["UNAUTHENTICATED"] * 20
        assert "RESOURCE_EXHAUSTED" in codes[20:]
        asked = (provider.counts() - before)[INTROSPECTION]
        assert asked == 1 + codes.count("UNAUTHENTICATED"), "what is turned away is not asked for"
        caller.show(good)
        assert caller.code("info") == "OK"
        # From elsewhere a token that is new is looked at.
        assert refused(facility, provider.mint("bob")) == "OK"


# Protocol: requests-a-user
def test_one_user_has_so_many_requests_a_second(
    facility: Facility, provider: OpenIdProvider
) -> None:
    with (
        Caller(facility, provider.mint("hasty")) as hasty,
        Caller(facility, provider.mint("bob")) as bob,
    ):
        assert bob.code("info") == "OK"
        calls = [hasty.later("info") for _ in range(1_000)]
        codes = {ended(call).code for call in calls}
        assert codes == {"OK", "RESOURCE_EXHAUSTED"}
        assert bob.code("info") == "OK"
        eventually(lambda: hasty.code("info") == "OK", "a rest helps")


# ---- what is remembered ------------------------------------------------------------------------


# Protocol: token-cached
def test_a_token_is_asked_for_once(facility: Facility, provider: OpenIdProvider) -> None:
    with Caller(facility, provider.mint("alice")) as caller:
        before = provider.counts()
        assert {caller.code("info") for _ in range(20)} == {"OK"}
        assert (provider.counts() - before)[INTROSPECTION] == 1


# Protocol: token-cached
def test_a_token_is_asked_for_once_by_all_who_show_it_at_a_time(
    facility: Facility, provider: OpenIdProvider
) -> None:
    token = provider.mint("alice")
    with Caller(facility, token) as one, Caller(facility, token) as other:
        before = provider.counts()
        with provider.trouble(lambda: provider.hang(INTROSPECTION)):
            calls = [caller.later("info") for caller in (one, other) for _ in range(10)]
            eventually(lambda: (provider.counts() - before)[INTROSPECTION], "it is asked")
        assert {ended(call).code for call in calls} == {"OK"}
        assert (provider.counts() - before)[INTROSPECTION] == 1


def revoke(provider: OpenIdProvider, token: str) -> None:
    form = {"client_id": NATIVE, "token": token}
    assert provider.fetch(provider.discovery["revocation_endpoint"], form=form).status == 200


# Protocol: token-cached
def test_a_revoked_token_is_good_until_it_is_asked_for_again(
    facility: Facility, provider: OpenIdProvider
) -> None:
    """That is when its own time is over, at the latest; far sooner than it would be otherwise."""
    token = provider.mint("alice", lifetime=3)
    with stranger(facility, token) as caller:
        before = provider.counts()
        assert caller.code("info") == "OK"
        revoke(provider, token)
        assert caller.code("info") == "OK"
        assert (provider.counts() - before)[INTROSPECTION] == 1
        eventually(lambda: caller.code("info") == "UNAUTHENTICATED", "it is over")
        assert (provider.counts() - before)[INTROSPECTION] == 2


def test_a_revoked_token_that_nobody_showed_before_is_refused(
    facility: Facility, provider: OpenIdProvider
) -> None:
    token = provider.mint("alice")
    revoke(provider, token)
    assert refused(facility, token) == "UNAUTHENTICATED"


@pytest.mark.parametrize("signed", [False, True])
def test_a_token_ends_while_it_is_used(
    facility: Facility, provider: OpenIdProvider, signed: bool
) -> None:
    # Clocks may be three seconds apart, but of what the provider says itself.
    lifetime = 1 if signed else 3
    with stranger(facility, provider.mint("alice", lifetime=lifetime, jwt=signed)) as caller:
        assert caller.code("info") == "OK"
        eventually(lambda: caller.code("info") == "UNAUTHENTICATED", "it is over")


# ---- a provider in trouble ---------------------------------------------------------------------


@contextmanager
def away(provider: OpenIdProvider) -> Iterator[None]:
    provider.stop()
    try:
        yield
    finally:
        provider.start()


TROUBLES: dict[str, Callable[[OpenIdProvider], Any]] = {
    "hangs": lambda provider: provider.trouble(lambda: provider.hang(INTROSPECTION)),
    "fails": lambda provider: provider.trouble(lambda: provider.fail(500, INTROSPECTION)),
    "knows nobody": lambda provider: provider.trouble(lambda: provider.fail(401, INTROSPECTION)),
    "redirects": lambda provider: provider.trouble(lambda: provider.fail(302, INTROSPECTION)),
    "is away": away,
}


# Protocol: provider-down
@pytest.mark.parametrize("trouble", TROUBLES)
def test_while_the_provider_is_in_trouble_nobody_new_gets_in(
    facility: Facility, provider: OpenIdProvider, trouble: str
) -> None:
    """But whoever is known, and as soon as it is back, who has a good token."""
    token = provider.mint("alice")
    with Caller(facility, provider.mint("bob")) as bob:
        assert bob.code("info") == "OK"
        with TROUBLES[trouble](provider):
            with stranger(facility, token) as caller:
                outcome = caller.outcome("info")
                assert outcome.code == "UNAVAILABLE", outcome
                assert provider.origin in outcome.details
                assert token not in outcome.details
            with stranger(facility, "made-up") as caller:
                assert caller.code("info") == "UNAVAILABLE"
            assert bob.code("info") == "OK"
        # Those of a provider that went away went with it.
        token = provider.mint("alice") if trouble == "is away" else token
        assert refused(facility, token) == "OK"


# Protocol: provider-down
@pytest.mark.parametrize("under", ["/.well-known", "/jwks"])
def test_without_the_keys_of_the_issuer_no_signature_is_good(
    tmp_path: Path, provider: OpenIdProvider, under: str
) -> None:
    token = provider.mint("alice", jwt=True)
    with Facility(tmp_path, *knows(provider, "signed")) as fresh, Caller(fresh, token) as caller:
        with provider.trouble(lambda: provider.fail(503, under)):
            assert caller.code("info") == "UNAVAILABLE"
        if under == "/jwks":
            eventually(lambda: caller.code("info") == "OK", "it asks again")
            # What it has, it has.
            with provider.trouble(provider.hang):
                assert caller.code("info") == "OK"


# Protocol: provider-down
def test_an_issuer_that_hangs_holds_nobody_for_long(
    tmp_path: Path, provider: OpenIdProvider
) -> None:
    token = provider.mint("alice", jwt=True)
    other = provider.mint("bob", jwt=True)
    with Facility(tmp_path, *knows(provider, "signed")) as fresh:
        with provider.trouble(provider.hang):
            assert refused(fresh, token) == "UNAVAILABLE"
        with Facility(tmp_path, *knows(provider, "signed")) as another:
            assert refused(another, token) == "OK"
            with provider.trouble(provider.hang):
                assert refused(another, other) == "OK", "it has the keys"


def test_tokens_that_the_provider_cannot_judge_are_slowed_down_as_well(
    facility: Facility, provider: OpenIdProvider
) -> None:
    """Of a signed token of somebody else it says that it is none that it knows (HTTP 400)."""
    header, claims = parts(provider.mint("alice", jwt=True))
    before = provider.counts()
    with stranger(facility) as caller:
        codes = []
        for number in range(60):
            elsewhere = {**claims, "iss": "https://elsewhere.example", "jti": number}
            caller.show(token_of(header, elsewhere, lambda _: bytes(256)))
            codes.append(caller.code("info"))
    assert (provider.counts() - before)[INTROSPECTION] < 40
    assert "RESOURCE_EXHAUSTED" in codes


# Protocol: token-introspected
def test_an_issuer_may_have_a_path(tmp_path: Path) -> None:
    """As those of Keycloak have."""
    with (
        OpenIdProvider(tmp_path, mount="/realms/one") as provider,
        Facility(tmp_path, *knows(provider, "opaque", "signed")) as fresh,
    ):
        assert refused(fresh, provider.mint("alice", jwt=True)) == "OK"
        assert refused(fresh, provider.mint("alice")) == "OK"
        with stranger(fresh) as caller:
            hint = caller.outcome("info").trailing["scistream-login-issuer"]
            assert hint == provider.issuer


# Protocol: hello-by-key
@pytest.mark.parametrize("token", ["", "made-up"], ids=["no token", "a bad token"])
def test_a_hello_with_its_key_needs_no_token(facility: Facility, alice: Caller, token: str) -> None:
    uid, key = new_uid(), secrets.token_bytes(32)
    request = alice.later("req", uid=uid, role="PROD", num_conn=1, app_key=key)
    with stranger(facility, token) as application:
        hello = proven(key, uid, "PROD", ["127.0.0.1:9"])
        assert application.code("hello", **hello) == "OK"
        assert list(request.result().prod_listeners) == ["127.0.0.1:9"]
        assert application.code("hello", **hello) == "UNAUTHENTICATED", "it was seen before"
        # It proves nothing else.
        for rpc in ("status", "release", "update"):
            assert application.code(rpc, uid=uid) == "UNAUTHENTICATED"
    alice("release", uid=uid)


# Protocol: hello-by-key, provider-down
def test_nor_does_it_while_nobody_can_say_whose_its_token_is(
    facility: Facility, provider: OpenIdProvider, alice: Caller
) -> None:
    uid, key = new_uid(), secrets.token_bytes(32)
    request = alice.later("req", uid=uid, role="PROD", num_conn=1, app_key=key)
    token = provider.mint("alice")
    with (
        provider.trouble(lambda: provider.fail(500, INTROSPECTION)),
        stranger(facility, token) as application,
    ):
        hello = proven(key, uid, "PROD", ["127.0.0.1:9"])
        assert application.code("hello", **hello) == "OK"
    request.result()
    alice("release", uid=uid)


def test_keys_that_are_no_longer_published_sign_nothing(
    tmp_path: Path, provider: OpenIdProvider
) -> None:
    token = provider.mint("alice", jwt=True)
    provider.rotate_keys()
    with Facility(tmp_path, *knows(provider, "signed")) as fresh:
        assert refused(fresh, token) == "UNAUTHENTICATED"
        assert refused(fresh, provider.mint("alice", jwt=True)) == "OK"


def test_the_audience_is_the_client_id_where_nothing_else_is_said(
    tmp_path: Path, provider: OpenIdProvider
) -> None:
    flags = ["--issuer", provider.issuer, "--identity-ca", provider.ca_file]
    with Facility(tmp_path, *flags, "--client-id", RESOURCE_SERVER) as fresh:
        assert refused(fresh, provider.mint("alice", jwt=True)) == "OK"
        other = provider.mint("alice", jwt=True, audience="another-service")
        assert refused(fresh, other) == "UNAUTHENTICATED"
