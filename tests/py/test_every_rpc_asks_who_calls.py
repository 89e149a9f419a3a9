"""A control server that knows its users lets nobody else do anything, whatever the rpc."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from callers import RPCS, Caller, Outcome, ended, knows, set_up, stranger
from deployed_peer import new_uid
from facility import Command, Facility, eventually, free_port
from openid import RESOURCE_SERVER, OpenIdProvider
from outside import needs_root

# What each rpc is called with here. An rpc that is not among them fails below.
FIELDS: Mapping[str, Mapping[str, Any]] = {
    "req": {"role": "PROD", "num_conn": 1},
    "update": {"role": "PROD", "remote_listeners": ["127.0.0.1:9"]},
    "release": {},
    "hello": {"role": "PROD", "prod_listeners": ["127.0.0.1:9"]},
    "rate": {"rate_mbps": 5},
    "info": {},
    "status": {},
    "list": {},
    "watch": {"period_ms": 100},
}


def call_of(rpc: str, uid: str) -> dict[str, Any]:
    """The fields of a call that is about this session."""
    about = {"info": {}, "list": {"uids": [uid]}, "watch": {"uids": [uid]}}
    return {**FIELDS[rpc], **about.get(rpc, {"uid": uid})}


def test_every_rpc_is_tried_here() -> None:
    assert sorted(FIELDS) == RPCS


@dataclass
class Known:
    """A facility that takes tokens of one form."""

    facility: Facility
    provider: OpenIdProvider
    signed: bool

    def token(self, user: str = "alice", **more: Any) -> str:
        return self.provider.mint(user, jwt=self.signed, **more)

    def bad_token(self, what: str) -> str:
        if what == "made up":
            good = self.token()
            return good[:-8] + ("A" * 8 if good[-8:] != "A" * 8 else "B" * 8)
        changes: dict[str, dict[str, Any]] = {
            "expired": {"lifetime": -10},
            "wrong scope": {"scope": "openid"},
            "another audience": {"audience": "another-service"},
        }
        return self.token(**changes[what]) if what in changes else ""


@pytest.fixture(scope="module", params=["opaque", "signed"])
def known(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    openid_provider: OpenIdProvider,
) -> Iterator[Known]:
    folder = tmp_path_factory.mktemp("known")
    with Facility(folder, *knows(openid_provider, request.param)) as facility:
        yield Known(facility, openid_provider, request.param == "signed")


REFUSED = {
    "none": "UNAUTHENTICATED",
    "expired": "UNAUTHENTICATED",
    "wrong scope": "PERMISSION_DENIED",
    "another audience": "UNAUTHENTICATED",
    "made up": "UNAUTHENTICATED",
}


@pytest.fixture(scope="module")
def strangers(known: Known) -> Iterator[Mapping[str, Caller]]:
    """One for each kind of bad token, each from an address of their own."""
    with ExitStack() as stack:
        yield {
            what: stack.enter_context(stranger(known.facility, known.bad_token(what)))
            for what in REFUSED
        }


# Protocol: token-missing, login-hint
@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("what", REFUSED)
def test_whoever_has_no_good_token_is_refused_and_told_where_to_get_one(
    known: Known, strangers: Mapping[str, Caller], rpc: str, what: str
) -> None:
    outcome = strangers[what].outcome(rpc, **call_of(rpc, new_uid()))
    assert outcome.code == REFUSED[what], outcome
    assert outcome.trailing["scistream-login-issuer"] == known.provider.issuer
    assert outcome.trailing["scistream-login-scope"] == "scistream"


# Protocol: token-introspected, token-signed, token-both-spellings
@pytest.mark.parametrize("spelling", ["", "Bearer ", "bearer ", "BEARER "])
def test_a_good_token_is_one_bare_or_behind_bearer(known: Known, spelling: str) -> None:
    with Caller(known.facility, known.token(), spelling=spelling) as alice:
        info = alice("info")
        assert info.product == "scistream"
        assert (info.login_issuer, info.login_scope) == (known.provider.issuer, "scistream")
        uid = new_uid()
        assert alice.code("status", uid=uid) == "NOT_FOUND"


@pytest.mark.parametrize("token", ["INVALID_TOKEN", "-"])
def test_words_for_no_token_are_none(known: Known, token: str) -> None:
    with stranger(known.facility, token, spelling="") as caller:
        outcome = caller.outcome("info")
        assert outcome.code == "UNAUTHENTICATED"
        assert "log in" in outcome.details


@pytest.mark.parametrize("spelling", ["Basic ", "Token ", "Bearer"])
def test_another_scheme_is_no_token(known: Known, spelling: str) -> None:
    with stranger(known.facility, known.token(), spelling=spelling) as caller:
        assert caller.code("info") == "UNAUTHENTICATED"


# ---- another user ------------------------------------------------------------------------------


@dataclass
class Two:
    """Alice has a session that is set up; mallory is a user like her and knows its id."""

    alice: Caller
    mallory: Caller
    uid: str


@pytest.fixture(scope="module", params=["without a key", "with a key"])
def two(request: pytest.FixtureRequest, known: Known) -> Iterator[Two]:
    more = {"app_key": bytes(range(32))} if request.param == "with a key" else {}
    with (
        Caller(known.facility, known.token("alice")) as alice,
        Caller(known.facility, known.token("mallory")) as mallory,
    ):
        uid = "a" + new_uid()
        set_up(alice, uid, "PROD", ["127.0.0.1:9"], **more)
        yield Two(alice, mallory, uid)
        assert alice.code("release", uid=uid) == "OK"


def said_of(caller: Caller, rpc: str, uid: str) -> Any:
    """The answer, or the status, without the id in it."""
    call = caller.later(rpc, **call_of(rpc, uid))
    outcome = ended(call)
    if outcome.code == "OK":
        return call.result()
    assert uid in outcome.details
    return Outcome(outcome.code, outcome.details.replace(uid, "UID"), outcome.trailing)


# Protocol: sessions-have-owners, strangers-learn-nothing
@pytest.mark.parametrize("rpc", sorted({*RPCS} - {"req", "info", "watch"}))
def test_another_users_session_is_like_one_that_is_not_there(two: Two, rpc: str) -> None:
    of_alice = said_of(two.mallory, rpc, two.uid)
    of_nobody = said_of(two.mallory, rpc, "a" + new_uid())
    assert of_alice == of_nobody
    if rpc == "list":
        assert list(of_alice.sessions) == []
    else:
        assert of_alice.code == "NOT_FOUND"
    assert [each.phase for each in two.alice("status", uid=two.uid).sessions] == ["ready"]


# Protocol: sessions-have-owners, strangers-learn-nothing
@pytest.mark.parametrize("role", ["PROD", "CONS"])
def test_another_users_id_is_in_use(two: Two, role: str) -> None:
    outcome = two.mallory.outcome("req", uid=two.uid, role=role, num_conn=1)
    assert outcome.code == "ALREADY_EXISTS"
    assert outcome.details == f"the id {two.uid} is in use; choose another one"
    assert len(two.alice("status", uid=two.uid).sessions) == 1


# Protocol: strangers-learn-nothing
def test_a_watch_shows_nothing_of_another_users_session(two: Two) -> None:
    """It shows what mallory's own session does after alice's has changed, and nothing before."""
    mine, hers = "z" + new_uid(), "a" + new_uid()
    set_up(two.mallory, mine, "PROD", ["127.0.0.1:9"])
    watch = two.mallory.later("watch", uids=[two.uid, hers, mine], period_ms=100)
    first = next(watch)
    assert (first.kind, first.session.uid) == ("state", mine)
    set_up(two.alice, hers, "PROD", ["127.0.0.1:9"])
    assert two.alice("release", uid=hers) is not None
    two.mallory("release", uid=mine)
    events = [first, *watch]
    assert events[-1].kind == "gone"
    assert {event.session.uid for event in events} == {mine}


def test_info_is_for_every_user(two: Two) -> None:
    assert two.mallory("info").sessions >= 1


# ---- as Globus Auth does it --------------------------------------------------------------------


# Protocol: token-introspected, login-hint
def test_an_endpoint_like_globus_auths_is_asked_and_its_scope_is_the_default(
    tmp_path: Path, openid_provider: OpenIdProvider
) -> None:
    provider = openid_provider
    flags = [
        *("--client_id", RESOURCE_SERVER, "--client-secret-file", provider.secret_file),
        *("--introspection-url", provider.globus_introspection_url),
        *("--identity-ca", provider.ca_file),
    ]
    before = provider.counts()
    with Facility(tmp_path, *flags) as facility:
        with Caller(facility, provider.mint("bob@example.org", scope=provider.globus_scope)) as bob:
            info = bob("info")
            assert (info.login_issuer, info.login_scope) == (provider.issuer, provider.globus_scope)
        with stranger(facility, provider.mint("bob@example.org", scope="scistream")) as caller:
            outcome = caller.outcome("info")
            assert outcome.code == "PERMISSION_DENIED"
            assert provider.globus_scope in outcome.details
            assert outcome.trailing["scistream-login-scope"] == provider.globus_scope
    asked = provider.counts() - before
    assert asked["/v2/oauth2/token/introspect"] == 2


class AmongOtherHosts(Facility):
    """A facility for which names of hosts mean what a file says."""

    hosts = Path()

    def try_start(self) -> Command:
        words = [*self.flags, "--port", self.port]
        program = shutil.which("s2cs", path=self.env["PATH"])
        script = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
        return Command(
            *("unshare", "--mount", "sh", "-c", script, "sh", self.hosts, program, *words),
            cwd=self.folder,
            env=self.env,
        )


def certify(folder: Path, name: str) -> None:
    """`ca.pem`, and a certificate for a host of that name in `server.pem`."""
    common = ("openssl", "req", "-x509", "-days", "2", "-nodes", "-newkey", "ec")
    curve = ("-pkeyopt", "ec_paramgen_curve:P-256")
    of_server = ("-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-CA", "ca.pem")
    for which, more in (("ca", ()), ("server", (*of_server, "-CAkey", "ca.key"))):
        files = ("-subj", f"/CN={which}", "-keyout", f"{which}.key", "-out", f"{which}.pem")
        constraint = "critical,CA:TRUE" if which == "ca" else "critical,CA:FALSE"
        subprocess.run(
            [*common, *curve, "-addext", f"basicConstraints={constraint}", *files, *more],
            cwd=folder,
            capture_output=True,
            check=True,
        )


# Protocol: token-introspected, rights-over-others
@needs_root
def test_globus_auth_is_asked_for_all_identities_of_a_user(tmp_path: Path) -> None:
    """And their names, which it has verified, are addresses of a domain."""
    linked = "f7c1a0de-0000-4000-8000-000000000001"
    port = free_port()
    issuer = f"https://auth.globus.org:{port}"
    certify(tmp_path, "auth.globus.org")
    AmongOtherHosts.hosts = tmp_path / "hosts"
    AmongOtherHosts.hosts.write_text("127.0.0.1 localhost auth.globus.org\n")
    policy = tmp_path / "policy.toml"
    policy.write_text(
        f'[[rule]]\nissuer = "{issuer}"\nidentity = "{linked}"\nsee_others = true\n'
        f'[[rule]]\nissuer = "{issuer}"\ndomain = "Example.ORG"\n'
    )
    provider = OpenIdProvider(tmp_path, settings={"OIDC_ISSUER": issuer})
    provider.port = port
    with provider:
        provider.set_person("op@lab.example", identities=[linked])
        secret = provider.secret_file
        flags = [
            *("--client-id", RESOURCE_SERVER, "--client-secret-file", secret, "--policy", policy),
            *("--introspection-url", f"{issuer}/v2/oauth2/token/introspect"),
            *("--identity-ca", provider.ca_file),
        ]

        def token(user: str) -> str:
            return provider.mint(user, scope=provider.globus_scope)

        with (
            AmongOtherHosts(tmp_path, *flags) as facility,
            Caller(facility, token("bob@example.org")) as bob,
            Caller(facility, token("op@lab.example")) as operator,
            Caller(facility, token("eve@elsewhere.example")) as eve,
        ):
            uid = new_uid()
            set_up(bob, uid, "PROD", ["127.0.0.1:9"])
            assert operator.code("status", uid=uid) == "OK"
            assert eve.code("status", uid=uid) == "PERMISSION_DENIED"
            bob("release", uid=uid)
            eventually(lambda: bob("info").sessions == 0, "it is gone")
