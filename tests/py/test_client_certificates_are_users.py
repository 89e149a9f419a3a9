"""`s2cs --client-ca`: users who show a certificate of an authority instead of a token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from authorities import Authority
from callers import RPCS, Caller, knows, proven, set_up, stranger
from deployed_peer import Peer, new_uid
from facility import BIN, Client, Facility, Json, own_address, run
from openid import OpenIdProvider

HALF = ["127.0.0.1:9"]
UNAUTHENTICATED = 3
PERMISSION_DENIED = 4
URI = "spiffe://lab.example/alice"


@dataclass
class Site:
    """A facility that knows users by certificates only."""

    facility: Facility
    authority: Authority
    stack: ExitStack

    def user(self, name: str, names: str) -> Caller:
        certificate = self.authority.certify(name, names)
        return self.stack.enter_context(Caller(self.facility, certificate=certificate))

    def decided(self, session: str) -> list[Json]:
        lines = (self.facility.state / "audit.jsonl").read_text().splitlines()
        return [each for each in map(json.loads, lines) if each["session"] == session]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    authority = Authority(folder / "authority")
    with Facility(folder, "--client-ca", authority.file) as facility, ExitStack() as stack:
        yield Site(facility, authority, stack)


# Protocol: client-certificates
@pytest.mark.parametrize(
    ("names", "subject", "name"),
    [
        (f"URI:{URI}", f"URI:{URI}", URI),
        ("email:alice@lab.example", "email:alice@lab.example", "alice@lab.example"),
        ("DNS:daq.lab.example", "DNS:daq.lab.example", "daq.lab.example"),
        ("DNS:daq.lab.example,email:a@lab.example", "email:a@lab.example", "a@lab.example"),
        (f"DNS:daq.lab.example,email:a@lab.example,URI:{URI}", f"URI:{URI}", URI),
    ],
    ids=["URI", "email", "DNS", "email before DNS", "URI before all"],
)
def test_whoever_has_one_is_who_it_says(site: Site, names: str, subject: str, name: str) -> None:
    user = site.user(new_uid(), names)
    uid = new_uid()
    set_up(user, uid, "PROD", HALF)
    assert user.code("status", uid=uid) == "OK"
    for line in site.decided(uid):
        assert line["who"] == {"issuer": "certificate", "subject": subject, "name": name}
    user("release", uid=uid)


# Protocol: client-certificates, sessions-have-owners
def test_sessions_belong_to_the_name_and_not_to_the_certificate(site: Site) -> None:
    alice, again = (site.user(f"alice-{n}", f"URI:{URI}") for n in (1, 2))
    mallory = site.user("mallory", "URI:spiffe://lab.example/mallory")
    # Much like her, and somebody else.
    others = [
        mallory,
        site.user("dns", "DNS:alice"),
        site.user("mail", "email:alice@lab.example"),
        site.user("longer", f"URI:{URI}/admin"),
        site.user("upper", f"URI:{URI.upper()}"),
    ]
    uid = new_uid()
    set_up(alice, uid, "PROD", HALF)
    for other in others:
        assert other.code("status", uid=uid) == "NOT_FOUND"
        assert other.code("release", uid=uid) == "NOT_FOUND"
        assert other.code("req", uid=uid, role="PROD", num_conn=1) == "ALREADY_EXISTS"
    assert again.code("status", uid=uid) == "OK"
    assert again.code("release", uid=uid) == "OK"


# Protocol: client-certificates
def test_a_rule_names_a_user_by_any_name_of_their_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "site")
    policy = tmp_path / "policy.toml"
    denied = ["mal@lab.example", "node7.lab.example", "URI:urn:bad"]
    policy.write_text(
        f'[[rule]]\nissuer = "certificate"\nidentity = {denied}\ndeny = true\n'
        '[[rule]]\nissuer = "certificate"\n'
    )
    cases = {
        "email:mal@lab.example": "PERMISSION_DENIED",
        "email:mal@lab.example,URI:urn:x": "PERMISSION_DENIED",
        "email:other@lab.example,email:mal@lab.example": "PERMISSION_DENIED",
        "DNS:node7.lab.example": "PERMISSION_DENIED",
        "URI:urn:x,DNS:node7.lab.example": "PERMISSION_DENIED",
        "URI:urn:bad": "PERMISSION_DENIED",
        "URI:urn:good,email:alice@lab.example": "OK",
    }
    flags = ("--client-ca", authority.file, "--policy", policy)
    with Facility(tmp_path, *flags) as facility:
        for number, (names, code) in enumerate(cases.items()):
            certificate = authority.certify(f"user-{number}", names)
            with Caller(facility, certificate=certificate) as caller:
                assert caller.code("info") == code, names


def test_a_key_may_come_from_a_pipe(site: Site, tmp_path: Path) -> None:
    user = Client(tmp_path, site.facility)
    certificate, key = site.authority.certify("piped", f"URI:{URI}")
    shown = f"--client-cert {certificate} --client-key <(cat {key})"
    command = f"{BIN}/s2uc info --s2cs {site.facility.endpoint} {shown}"
    done = run("bash", "-c", command, env=user.env)
    assert (done.rc, done.err) == (0, "")


# Protocol: client-certificates
def test_why_a_certificate_is_not_taken_is_said(site: Site, tmp_path: Path) -> None:
    user = Client(tmp_path, site.facility)
    other = Authority(tmp_path / "other")
    for certificate, key in (
        other.certify("alice", f"URI:{URI}"),
        site.authority.certify("no-user", f"URI:{URI}", "serverAuth"),
    ):
        flags = ("--s2cs", site.facility.endpoint, "--client-cert", certificate)
        done = user.s2uc("info", *flags, "--client-key", key)
        assert done.rc == UNAUTHENTICATED
        assert "ended the connection when it was shown the certificate of --client-cert" in done.err
        key.chmod(0o644)
        done = user.s2uc("info", *flags, "--client-key", key)
        assert done.rc == PERMISSION_DENIED
        assert f"the key file '{key}' can be read by others; say chmod 600" in done.err


# Protocol: client-certificates
def test_a_certificate_of_another_authority_gets_no_connection(site: Site, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    for certificate in (
        other.certify("alice", f"URI:{URI}"),
        (other.file, other.folder / "ca.key"),
        (site.facility.certificate, site.facility.state / "server.key"),
    ):
        with Caller(site.facility, certificate=certificate) as caller:
            outcome = caller.outcome("info")
            assert outcome.code == "UNAVAILABLE"
            assert outcome.trailing == {}


# Protocol: client-certificates
def test_a_server_is_no_user(site: Site) -> None:
    """By what its certificate is for."""
    certificate = site.authority.certify("server", "DNS:daq.lab.example", "serverAuth")
    with Caller(site.facility, certificate=certificate) as caller:
        assert caller.code("info") == "UNAVAILABLE"


# Protocol: client-certificates
def test_one_that_names_nobody_is_none(site: Site) -> None:
    for names in ("", "IP:127.0.0.1"):
        caller = site.user(f"nobody-{len(names)}", names)
        outcome = caller.outcome("info")
        assert outcome.code == "UNAUTHENTICATED"
        assert "show a client certificate" in outcome.details


# Protocol: client-certificates, token-missing
@pytest.mark.parametrize("rpc", RPCS)
def test_without_one_nothing_is_allowed(site: Site, rpc: str) -> None:
    with stranger(site.facility) as nobody:
        outcome = nobody.outcome(rpc)
        assert outcome.code == "UNAUTHENTICATED"
        assert "scistream-login-issuer" not in outcome.trailing, "there is nowhere to log in"
        nobody.show("made-up")
        outcome = nobody.outcome(rpc)
        assert outcome.code == "UNAUTHENTICATED"
        assert "takes no tokens" in outcome.details


def test_a_deployed_client_without_one_is_refused_and_told_why(site: Site) -> None:
    user = Client(site.facility.folder, site.facility)
    done = user.s2uc("info", "--s2cs", site.facility.endpoint)
    assert done.rc == 3, done.err
    assert "client certificate" in done.err
    with Peer(site.facility.endpoint, site.facility.certificate) as peer:
        assert peer.req("some-id", "PROD").code().name == "UNAUTHENTICATED"


# Protocol: hello-by-key
def test_an_application_needs_none_where_it_has_the_key(site: Site) -> None:
    alice, uid, key = site.user("alice-3", f"URI:{URI}"), new_uid(), bytes(range(32))
    request = alice.later("req", uid=uid, role="PROD", num_conn=1, app_key=key)
    with stranger(site.facility) as application:
        assert application.code("hello", **proven(key, uid, "PROD", HALF)) == "OK"
    request.result()
    alice("release", uid=uid)


# Protocol: client-certificates, policy-issuer
def test_a_policy_says_who_of_them_may_do_what(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    policy = tmp_path / "policy.toml"
    policy.write_text(
        '[[rule]]\nissuer = "certificate"\nidentity = "DNS:operator.lab.example"\n'
        "release_others = true\n"
        '[[rule]]\nissuer = "certificate"\ndomain = "lab.example"\nproduce = false\n'
        f'[[rule]]\nissuer = "certificate"\nidentity = "URI:{URI}"\n'
        '[[rule]]\nissuer = "https://elsewhere.example"\nadminister = true\n'
    )
    flags = ("--client-ca", authority.file, "--policy", policy)
    with Facility(tmp_path, *flags) as facility, ExitStack() as stack:
        site = Site(facility, authority, stack)
        alice = site.user("alice", f"URI:{URI}")
        operator = site.user("operator", "DNS:operator.lab.example")
        reader = site.user("reader", "email:reader@lab.example")
        outsider = site.user("outsider", "email:reader@elsewhere.example")
        service = site.user("service", "DNS:daq.lab.example")
        uid = new_uid()
        set_up(alice, uid, "PROD", HALF)
        assert reader.code("req", uid=new_uid(), role="PROD", num_conn=1) == "PERMISSION_DENIED"
        assert reader.code("status", uid=uid) == "NOT_FOUND"
        for unnamed in (outsider, service):
            assert unnamed.code("info") == "PERMISSION_DENIED"
        assert operator.code("release", uid=uid) == "OK"


# Protocol: client-certificates, token-introspected
def test_a_server_may_take_both_and_a_token_comes_first(
    tmp_path: Path, openid_provider: OpenIdProvider
) -> None:
    authority = Authority(tmp_path / "authority")
    certificate = authority.certify("alice", f"URI:{URI}")
    flags = ("--client-ca", authority.file, *knows(openid_provider))
    token = openid_provider.mint("bob")
    with (
        Facility(tmp_path, *flags) as facility,
        Caller(facility, certificate=certificate) as alice,
        Caller(facility, token) as bob,
        Caller(facility, token, certificate=certificate) as both,
        Caller(facility, "made-up", certificate=certificate) as bad,
        stranger(facility) as nobody,
    ):
        hers, his = new_uid(), new_uid()
        set_up(alice, hers, "PROD", HALF)
        set_up(bob, his, "PROD", HALF)
        assert (both.code("status", uid=his), both.code("status", uid=hers)) == ("OK", "NOT_FOUND")
        assert bad.code("info") == nobody.code("info") == "UNAUTHENTICATED"
        assert alice.code("status", uid=his) == bob.code("status", uid=hers) == "NOT_FOUND"


@pytest.mark.parametrize("what", ["missing", "no certificate", "plaintext"])
def test_what_is_wrong_with_the_option_is_said_at_the_start(
    site: Site, tmp_path: Path, what: str
) -> None:
    (tmp_path / "no certificate").write_text("nothing\n")
    file = site.authority.file if what == "plaintext" else tmp_path / what
    words = ("--port", 0, "--listener_ip", own_address(), "--state-dir", tmp_path / "state")
    more = ("--ssl=False",) if what == "plaintext" else ()
    done = run(BIN / "s2cs", *words, "--client-ca", file, *more, cwd=tmp_path)
    assert done.rc == (7 if what == "missing" else 2), done.err
    assert ("--ssl=False" if what == "plaintext" else str(file)) in done.err
