"""Sessions of one user among others who know their ids, and what a policy lets whom do."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from applications import Application, connect, echo, receive
from callers import RPCS, Caller, ended, knows, proven, set_up, stranger
from deployed_peer import Peer, new_uid
from deployed_peer import set_up as set_up_as_deployed
from facility import BIN, Done, Facility, eventually, free_range, own_address, run, split
from openid import OpenIdProvider, subject_of

HALF = ["127.0.0.1:9"]


@dataclass
class Two:
    """Both facilities of a session, which know the same users."""

    prod: Facility
    cons: Facility
    provider: OpenIdProvider

    @contextmanager
    def user(self, name: str, *, signed: bool = False) -> Iterator[tuple[Caller, Caller]]:
        """As they call the one facility, and the other."""
        token = self.provider.mint(name, jwt=signed)
        with Caller(self.prod, token) as prod, Caller(self.cons, token) as cons:
            yield prod, cons


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, openid_provider: OpenIdProvider) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("two")
    flags = knows(openid_provider, "opaque", "signed")
    with Facility(folder, *flags) as prod, Facility(folder, *flags) as cons:
        yield Two(prod, cons, openid_provider)


@pytest.fixture(scope="module")
def facility(two: Two) -> Facility:
    return two.prod


@pytest.fixture(scope="module")
def provider(openid_provider: OpenIdProvider) -> OpenIdProvider:
    return openid_provider


@pytest.fixture(scope="module")
def alice(facility: Facility, provider: OpenIdProvider) -> Iterator[Caller]:
    with Caller(facility, provider.mint("alice")) as alice:
        yield alice


@pytest.fixture(scope="module")
def mallory(facility: Facility, provider: OpenIdProvider) -> Iterator[Caller]:
    with Caller(facility, provider.mint("mallory")) as mallory:
        yield mallory


def attack(mallory: Caller, uid: str) -> dict[str, str]:
    """What mallory, who has guessed the id, gets for each call that could do something to it."""
    calls: dict[str, dict[str, Any]] = {
        "release": {},
        "update": {"role": "PROD", "remote_listeners": HALF},
        "rate": {"rate_mbps": 1, "is_explicit": True},
        "status": {},
        "hello": {"role": "PROD", "prod_listeners": HALF},
        "req": {"role": "PROD", "num_conn": 1},
    }
    open_calls = {rpc: mallory.later(rpc, uid=uid, **more) for rpc, more in calls.items()}
    return {rpc: ended(call).code for rpc, call in open_calls.items()}


NOTHING = dict.fromkeys(("release", "update", "rate", "status", "hello"), "NOT_FOUND") | {
    "req": "ALREADY_EXISTS"
}


# Protocol: sessions-have-owners, strangers-learn-nothing, app-key-proves
@pytest.mark.parametrize("signed", [False, True], ids=["opaque", "signed"])
def test_a_whole_session_goes_on_whatever_another_user_does_to_it(
    two: Two, echo_app: Application, signed: bool
) -> None:
    uid, data_key = new_uid(), secrets.token_bytes(32)
    with (
        two.user("alice", signed=signed) as (prod, cons),
        two.user("mallory", signed=signed) as mallory,
    ):
        key: dict[str, Any] = {
            "app_key": secrets.token_bytes(32),
            "claim": "a-claim",
            "data_key": data_key,
        }
        wan = set_up(prod, uid, "PROD", [echo_app.endpoint], **key)
        (listener,) = set_up(cons, uid, "CONS", wan, **key)
        with connect(listener) as connection:
            connection.sendall(b"before")
            assert receive(connection, 6) == b"before"
            for each in mallory:
                assert attack(each, uid) == NOTHING
                assert list(each("list", uids=[uid]).sessions) == []
                assert each.code("release", uid=uid, claim="a-claim") == "NOT_FOUND"
                assert each.code("release", uid=uid, drain=True) == "NOT_FOUND"
            connection.sendall(b"after")
            assert receive(connection, 5) == b"after"
        assert echo(listener, b"a new one") == b"a new one"
        for each in (prod, cons):
            (session,) = each("status", uid=uid).sessions
            assert (session.phase, session.rate_mbps) == ("ready", 0)
            assert [found.uid for found in each("list", uids=[uid]).sessions] == [uid]
            each("release", uid=uid)


# Protocol: token-both-spellings
def test_a_deployed_client_completes_a_session_with_its_bare_token(
    two: Two, echo_app: Application
) -> None:
    token = two.provider.mint("alice")
    with (
        Peer(two.prod.endpoint, two.prod.certificate, token) as prod,
        Peer(two.cons.endpoint, two.cons.certificate, token) as cons,
    ):
        uid = new_uid()
        _, (listener,) = set_up_as_deployed(prod, cons, uid, [echo_app.endpoint])
        assert echo(listener, b"it streams") == b"it streams"
        prod.release(uid)
        cons.release(uid)


# Protocol: sessions-have-owners
def test_another_users_hello_does_not_answer_a_request(alice: Caller, mallory: Caller) -> None:
    uid = new_uid()
    request = alice.later("req", uid=uid, role="PROD", num_conn=1)
    assert mallory.code("hello", uid=uid, role="PROD", prod_listeners=HALF) == "NOT_FOUND"
    assert not request.done()
    alice("hello", uid=uid, role="PROD", prod_listeners=["127.0.0.1:10"])
    assert list(request.result().prod_listeners) == ["127.0.0.1:10"]
    alice("release", uid=uid)


# Protocol: sessions-have-owners
def test_another_users_hello_that_waits_is_not_for_this_request(
    alice: Caller, mallory: Caller
) -> None:
    uid = new_uid()
    early = mallory.later("hello", uid=uid, role="PROD", prod_listeners=HALF)
    request = alice.later("req", uid=uid, role="PROD", num_conn=1)
    hello = alice.later("hello", uid=uid, role="PROD", prod_listeners=["127.0.0.1:10"])
    assert list(request.result().prod_listeners) == ["127.0.0.1:10"]
    assert ended(hello).code == "OK"
    assert ended(early).code == "NOT_FOUND"
    alice("release", uid=uid)


# Protocol: app-key-proves
def test_where_a_key_is_asked_for_it_takes_the_key(
    alice: Caller, mallory: Caller, facility: Facility
) -> None:
    """The owner's token does not replace it, and whoever has it needs no token."""
    uid, key = new_uid(), secrets.token_bytes(32)
    request = alice.later("req", uid=uid, role="PROD", num_conn=1, app_key=key)
    bare = {"uid": uid, "role": "PROD", "prod_listeners": HALF}
    wrong = proven(secrets.token_bytes(32), uid, "PROD", HALF)
    with stranger(facility) as nobody:
        assert nobody.code("hello", **bare) == "UNAUTHENTICATED"
        calls = [
            nobody.later("hello", **wrong),
            *(mallory.later("hello", **h) for h in (bare, wrong)),
        ]
        codes = [ended(call).code for call in calls]
        assert codes == ["UNAUTHENTICATED", "NOT_FOUND", "NOT_FOUND"]
        for hello in (bare, wrong):
            assert alice.code("hello", **hello) == "UNAUTHENTICATED"
        assert not request.done()
        hello = proven(key, uid, "PROD", HALF)
        assert nobody.code("hello", **hello) == "OK"
        assert request.result().prod_listeners == HALF
        for again in (nobody, mallory, alice):
            assert again.code("hello", **hello) == "UNAUTHENTICATED", "it was seen before"
    alice("release", uid=uid)


# Protocol: app-key-proves, hello-by-key
def test_a_key_is_of_no_use_after_the_release(
    alice: Caller, mallory: Caller, facility: Facility
) -> None:
    uid, key = new_uid(), secrets.token_bytes(32)
    set_up(alice, uid, "PROD", HALF, app_key=key)
    with stranger(facility) as nobody:
        assert nobody.code("hello", **proven(key, uid, "PROD", HALF)) == "OK"
        alice("release", uid=uid)
        callers = (nobody, mallory, alice)
        calls = [each.later("hello", **proven(key, uid, "PROD", HALF)) for each in callers]
        codes = [ended(call).code for call in calls]
        assert codes == ["UNAUTHENTICATED", "NOT_FOUND", "NOT_FOUND"]
        # Nor for another session of the same id.
        request = mallory.later("req", uid=uid, role="PROD", num_conn=1)
        assert nobody.code("hello", **proven(key, uid, "PROD", HALF)) == "UNAUTHENTICATED"
        assert not request.done()
        assert mallory.code("release", uid=uid) == "OK"


# Protocol: sessions-have-owners
def test_a_claim_of_one_session_does_not_release_another(alice: Caller, mallory: Caller) -> None:
    hers, mine = new_uid(), new_uid()
    set_up(alice, hers, "PROD", HALF, claim="claim-of-alice")
    set_up(mallory, mine, "PROD", HALF, claim="claim-of-mallory")
    assert mallory.code("release", uid=hers, claim="claim-of-alice") == "NOT_FOUND"
    assert mallory.code("release", uid=hers, claim="claim-of-mallory") == "NOT_FOUND"
    assert mallory.code("release", uid=mine, claim="claim-of-alice") == "NOT_FOUND"
    assert alice.code("status", uid=hers) == mallory.code("status", uid=mine) == "OK"
    assert alice.code("release", uid=hers, claim="claim-of-alice") == "OK"
    assert mallory.code("release", uid=mine) == "OK"


# Protocol: strangers-learn-nothing
def test_a_release_may_be_repeated_by_its_owner_only(alice: Caller, mallory: Caller) -> None:
    uid = new_uid()
    set_up(alice, uid, "PROD", HALF)
    assert alice.code("release", uid=uid) == "OK"
    assert mallory.code("release", uid=uid) == "NOT_FOUND"
    assert alice.code("release", uid=uid) == "OK"


# Protocol: sessions-have-owners, strangers-learn-nothing
def test_owners_are_known_after_the_server_was_killed(
    tmp_path: Path, provider: OpenIdProvider, echo_app: Application
) -> None:
    uid, over, key = new_uid(), new_uid(), secrets.token_bytes(32)
    with Facility(tmp_path, *knows(provider)) as facility:
        with Caller(facility, provider.mint("alice")) as alice:
            (listener,) = set_up(alice, uid, "PROD", [echo_app.endpoint], app_key=key)
            set_up(alice, over, "PROD", HALF)
            alice("release", uid=over)
        facility.command.kill()
        facility.restart()
        with (
            Caller(facility, provider.mint("alice")) as alice,
            Caller(facility, provider.mint("mallory")) as mallory,
            stranger(facility) as nobody,
        ):
            assert attack(mallory, uid) == NOTHING
            assert mallory.code("release", uid=over) == "NOT_FOUND"
            assert alice.code("release", uid=over) == "OK"
            assert nobody.code("release", uid=uid) == "UNAUTHENTICATED"
            assert nobody.code("hello", **proven(key, uid, "PROD", [echo_app.endpoint])) == "OK"
            assert echo(listener, b"it streams") == b"it streams"
            assert [each.phase for each in alice("status", uid=uid).sessions] == ["ready"]
            assert alice.code("release", uid=uid) == "OK"


# Protocol: sessions-a-user
def test_one_user_has_so_many_sessions_at_a_time(tmp_path: Path, provider: OpenIdProvider) -> None:
    flags = (*knows(provider), "--max-sessions-per-user", 2)
    with (
        Facility(tmp_path, *flags) as facility,
        Caller(facility, provider.mint("alice")) as alice,
        Caller(facility, provider.mint("bob")) as bob,
    ):
        first, second = new_uid(), new_uid()
        for uid in (first, second):
            set_up(alice, uid, "PROD", HALF)
        outcome = alice.outcome("req", uid=new_uid(), role="PROD", num_conn=1)
        assert outcome.code == "RESOURCE_EXHAUSTED"
        assert "may have 2" in outcome.details
        set_up(bob, "of-bob", "PROD", HALF)
        alice("release", uid=first)
        set_up(alice, "a-third", "PROD", HALF)


# ---- policies ----------------------------------------------------------------------------------


POLICY = """
[[rule]]
name = "blocked"
issuer = "{issuer}"
domain = "blocked.example"
deny = true

[[rule]]
name = "operators"
issuer = "{issuer}"
group = "operators"
see_others = true
release_others = true

[[rule]]
issuer = "{issuer}"
group = "viewers"
see_others = true
produce = false
consume = false

[[rule]]
issuer = "{issuer}"
group = ["admins", "owners"]
administer = true

[[rule]]
name = "small"
issuer = "{issuer}"
identity = ["{small}", "small@lab.example"]
max_connections = 2
max_sessions = 2
max_rate = 100
ports = "{first}-{last}"
targets = ["127.0.5.0/24:7000-7099", "127.0.6.1"]

[[rule]]
issuer = "{issuer}"
group = "consumers"
produce = false

[[rule]]
issuer = "{issuer}"
domain = "example.org"
"""


@dataclass
class Ruled:
    """A facility with that policy."""

    facility: Facility
    provider: OpenIdProvider
    stack: ExitStack
    ports: range  # of the rule `small`

    def user(self, name: str, *groups: str) -> Caller:
        self.provider.set_person(name, groups=groups)
        return self.stack.enter_context(Caller(self.facility, self.provider.mint(name)))


@pytest.fixture
def ruled(tmp_path: Path, provider: OpenIdProvider) -> Iterator[Ruled]:
    host = own_address()
    ports = free_range(host, 16)
    path = tmp_path / "policy.toml"
    text = POLICY.format(
        issuer=provider.issuer, small=subject_of("small"), first=ports[10], last=ports[13]
    )
    path.write_text(text)
    flags = (*knows(provider), "--policy", path)
    with Facility(tmp_path, *flags, host=host, ports=ports) as facility, ExitStack() as stack:
        yield Ruled(facility, provider, stack, ports[10:14])


# Protocol: rights-over-others, policy-first
def test_an_operator_sees_and_releases_and_does_nothing_else(ruled: Ruled) -> None:
    alice, operator = ruled.user("alice"), ruled.user("op", "staff", "operators")
    uid = new_uid()
    set_up(alice, uid, "PROD", HALF)
    assert [each.uid for each in operator("status", uid=uid).sessions] == [uid]
    assert [each.uid for each in operator("list", uids=[uid, "x"]).sessions] == [uid]
    assert operator("watch", uids=[uid]).session.uid == uid
    calls: dict[str, dict[str, Any]] = {
        "update": {"role": "PROD", "remote_listeners": HALF},
        "rate": {"rate_mbps": 1},
    }
    for rpc, more in calls.items():
        assert operator.code(rpc, uid=uid, **more) == "PERMISSION_DENIED"
    assert operator.code("req", uid=uid, role="PROD", num_conn=1) == "ALREADY_EXISTS"
    (session,) = alice("status", uid=uid).sessions
    assert (session.phase, session.rate_mbps, list(session.targets)) == ("ready", 0, HALF)
    assert operator.code("release", uid=uid) == "OK"
    assert alice.code("status", uid=uid) == "NOT_FOUND"


# Protocol: rights-over-others
def test_who_may_only_see_may_only_see(ruled: Ruled) -> None:
    alice, viewer = ruled.user("alice"), ruled.user("viewer", "viewers")
    uid = new_uid()
    set_up(alice, uid, "PROD", HALF)
    assert viewer.code("status", uid=uid) == "OK"
    assert viewer.code("release", uid=uid) == "PERMISSION_DENIED"
    for role in ("PROD", "CONS"):
        assert viewer.code("req", uid=new_uid(), role=role, num_conn=1) == "PERMISSION_DENIED"
    assert alice.code("release", uid=uid) == "OK"


# Protocol: rights-over-others
def test_an_administrator_does_what_owners_may(ruled: Ruled) -> None:
    alice, admin = ruled.user("alice"), ruled.user("admin", "owners")
    uid = new_uid()
    request = alice.later("req", uid=uid, role="PROD", num_conn=1)
    assert admin.code("hello", uid=uid, role="PROD", prod_listeners=HALF) == "OK"
    request.result()
    assert admin.code("update", uid=uid, role="PROD", remote_listeners=HALF) == "OK"
    assert admin.code("rate", uid=uid, rate_mbps=7) == "OK"
    assert alice("status", uid=uid).sessions[0].rate_mbps == 7
    assert admin.code("release", uid=uid) == "OK"


# Protocol: policy-first
def test_whom_the_policy_denies_everything_gets_nothing(ruled: Ruled) -> None:
    """Even of a group of which another rule would let them do more: the first that fits decides."""
    blocked = ruled.user("eve@Blocked.Example", "operators")
    unnamed = ruled.user("eve@elsewhere.example")
    for rpc in RPCS:
        outcome = blocked.outcome(rpc)
        assert outcome.code == "PERMISSION_DENIED"
        assert "by a rule that says so" in outcome.details
        assert unnamed.code(rpc) == "PERMISSION_DENIED"


def test_an_address_that_is_not_verified_is_nobodys(ruled: Ruled) -> None:
    ruled.provider.set_person("liar@example.org", email_verified=False)
    assert ruled.user("liar@example.org").code("info") == "PERMISSION_DENIED"
    ruled.provider.set_person("liar@example.org", email_verified=True)
    assert ruled.user("liar@example.org").code("info") == "OK"


# Protocol: policy-request, sessions-a-user
def test_requests_keep_to_what_the_policy_lets_one_have(ruled: Ruled) -> None:
    small = ruled.user("small")

    def refused(**wish: Any) -> str:
        wish = {"uid": new_uid(), "role": "PROD", "num_conn": 1, "rate": 50, **wish}
        outcome = small.outcome("req", **wish)
        assert outcome.code == "PERMISSION_DENIED", outcome
        return outcome.details

    assert "only 2" in refused(num_conn=3)
    assert "100 Mbit/s" in refused(rate=101)
    assert "100 Mbit/s" in refused(rate=0)
    taken = []
    for uid in ("one", "other"):
        request = small.later("req", uid=uid, role="PROD", num_conn=2, rate=100)
        small("hello", uid=uid, role="PROD", prod_listeners=HALF)
        taken += [split(listener)[1] for listener in request.result().listeners]
    assert sorted(taken) == list(ruled.ports)
    outcome = small.outcome("req", uid="third", role="CONS", num_conn=1, rate=1)
    assert outcome.code == "RESOURCE_EXHAUSTED"
    assert "may have 2" in outcome.details
    for wish in ({"rate_mbps": 0}, {"rate_mbps": 101}):
        assert small.code("rate", uid="one", **wish) == "PERMISSION_DENIED"
    assert small.code("rate", uid="one", rate_mbps=99) == "OK"
    small("release", uid="other")
    assert small.code("status", uid="one") == "OK"


# Protocol: policy-request
def test_ports_of_the_policy_run_out_before_those_of_the_facility(ruled: Ruled) -> None:
    ruled.provider.set_person("small2", email="small@lab.example")
    small, alice = ruled.user("small2"), ruled.user("alice")
    held = alice.later("req", uid="of-alice", role="PROD", num_conn=12)
    alice("hello", uid="of-alice", role="PROD", prod_listeners=HALF)
    assert len(held.result().listeners) == 12
    first = small.later("req", uid="one", role="PROD", num_conn=2, rate=1)
    small("hello", uid="one", role="PROD", prod_listeners=HALF)
    assert {split(each)[1] for each in first.result().listeners} < set(ruled.ports)
    assert small.code("req", uid="two", role="PROD", num_conn=1, rate=1) == "RESOURCE_EXHAUSTED"


TARGETS = {
    "127.0.5.9:7000": "OK",
    "127.0.6.1:9": "OK",
    "[::ffff:127.0.5.9]:7000": "OK",
    "127.0.5.9:7100": "PERMISSION_DENIED",
    "127.0.4.255:7000": "PERMISSION_DENIED",
    "127.0.6.2:9": "PERMISSION_DENIED",
    "[::ffff:127.0.6.2]:9": "PERMISSION_DENIED",
    "[::1]:7000": "PERMISSION_DENIED",
}


# Protocol: targets-of-a-user
def test_targets_are_those_of_the_policy(ruled: Ruled) -> None:
    small, alice = ruled.user("small"), ruled.user("alice")
    for caller, uid in ((small, "of-small"), (alice, "of-alice")):
        request = caller.later("req", uid=uid, role="PROD", num_conn=1, rate=10)
        caller("hello", uid=uid, role="PROD", prod_listeners=HALF)
        request.result()
        codes = {
            target: caller.code("update", uid=uid, role="PROD", remote_listeners=[target])
            for target in TARGETS
        }
        assert codes == (TARGETS if caller is small else dict.fromkeys(TARGETS, "OK"))
    mixed = ["127.0.5.9:7000", "127.0.6.2:9"]
    outcome = small.outcome("update", uid="of-small", role="PROD", remote_listeners=mixed)
    assert outcome.code == "PERMISSION_DENIED"
    assert "127.0.6.2:9" in outcome.details
    (session,) = small("status", uid="of-small").sessions
    assert list(session.targets) == ["[::ffff:127.0.5.9]:7000"], "as before"


# Protocol: policy-request
def test_who_may_only_consume_may_only_consume(ruled: Ruled) -> None:
    consumer = ruled.user("consumer", "consumers")
    outcome = consumer.outcome("req", uid=new_uid(), role="PROD", num_conn=1)
    assert outcome.code == "PERMISSION_DENIED"
    assert "as PROD" in outcome.details
    set_up(consumer, new_uid(), "CONS", HALF)


# Protocol: policy-default
def test_without_a_policy_users_have_sessions_of_their_own(alice: Caller, mallory: Caller) -> None:
    for caller in (alice, mallory):
        for role in ("PROD", "CONS"):
            uid = new_uid()
            set_up(caller, uid, role, HALF)
            caller("release", uid=uid)


# Protocol: policy-reload
def test_a_new_policy_counts_from_the_next_call_on_unless_it_is_broken(
    tmp_path: Path, provider: OpenIdProvider
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(f'[[rule]]\nissuer = "{provider.issuer}"\n')
    uid = new_uid()
    with (
        Facility(tmp_path, *knows(provider), "--policy", path) as facility,
        Caller(facility, provider.mint("alice")) as alice,
    ):
        set_up(alice, uid, "PROD", HALF)
        for number, broken in enumerate(('[[rule]]\nnonsense = "x"\n', "[[rule", ""), 1):
            path.write_text(broken)
            facility.command.signal(signal.SIGHUP)
            eventually(partial(has_said, facility, "not reloaded", number), "it says so")
            assert alice.code("info") == "OK"
        last = facility.command.err.splitlines()[-1]
        assert f"not reloaded, what was in force stays so: the policy '{path}', there is no" in last
        path.unlink()
        facility.command.signal(signal.SIGHUP)
        facility.command.line("not reloaded.*No such file", "err")
        assert alice.code("info") == "OK"
        path.write_text(f'[[rule]]\nissuer = "{provider.issuer}"\ndeny = true\n')
        facility.command.signal(signal.SIGHUP)
        facility.command.line("policy and audit log reloaded", "err")
        assert alice.code("status", uid=uid) == "PERMISSION_DENIED"
        assert facility.taken, "her session goes on"


def has_said(facility: Facility, words: str, times: int) -> bool:
    return facility.command.err.count(words) == times


# Protocol: policy-errors
def test_a_server_does_not_start_with_a_broken_policy(
    tmp_path: Path, provider: OpenIdProvider
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[[rule]]\nname = "x"\nmax_session = 3\n')
    words = ("--port", 0, "--listener_ip", own_address(), "--state-dir", tmp_path / "state")
    done = run(BIN / "s2cs", *words, *knows(provider), "--policy", path)
    assert done.rc == 2, done.err
    assert f"{path}', line 3: 'max_session' is nothing that a rule has" in done.err


# ---- what a policy file means ------------------------------------------------------------------


def check(folder: Path, text: str) -> Done:
    path = folder / "policy.toml"
    path.write_text(text)
    return run(BIN / "s2cs", "check-policy", path)


def test_a_policy_is_said_in_words(tmp_path: Path) -> None:
    text = POLICY.format(issuer="https://id.example", small="1234", first=5100, last=5110)
    done = check(tmp_path, text)
    assert (done.rc, done.err) == (0, "")
    assert done.out.splitlines() == [
        "7 rules, the first that fits decides:",
        "1. blocked: users of https://id.example, of domain blocked.example: may do nothing",
        "2. operators: users of https://id.example, in group operators: may request sessions as "
        "PROD and CONS; may see and release the sessions of others",
        "3. users of https://id.example, in group viewers: may see the sessions of others",
        "4. users of https://id.example, in group admins or owners: may request sessions as PROD "
        "and CONS; may administer the sessions of others",
        "5. small: users of https://id.example, who are 1234 or small@lab.example: may request "
        "sessions as PROD and CONS, ports 5100-5110, up to 2 listeners each, with a rate of up to "
        "100 Mbit/s, up to 2 at a time, from applications at 127.0.5.0/24:7000-7099 and 127.0.6.1",
        "6. users of https://id.example, in group consumers: may request sessions as CONS",
        "7. users of https://id.example, of domain example.org: may request sessions as PROD and "
        "CONS",
    ]


ISSUED = '[[rule]]\nissuer = "https://i"\n'


# Protocol: policy-errors, policy-issuer
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[rule]]\nidentity = "alice"\n', "line 1: a rule for an identity, a group or a domain"),
        ('[[rule]]\ngroup = "staff"\ndeny = true\n', "line 1: a rule for an identity, a group"),
        ('[[rule]]\ndomain = ["example.org"]\n', "names the issuer that says so"),
        (
            '[[rule]]\nissuer = "https://i"\n\n[[rule]]\nsees_others = true\n',
            "line 5: 'sees_others' is",
        ),
        (
            '[[rule]]\nissuer = "https://i"\nidentity = []\n',
            "line 3: 'identity' is not an empty list",
        ),
        ('[[rule]]\nissuer = ""\n', "line 2: 'issuer' is a text"),
        ("[[rule]]\nissuer = 7\n", "line 2: 'issuer' is a text"),
        ('[[rule]]\nissuer = "htps://i"\n', "line 1: an issuer is 'certificate', 'own', or"),
        ('[[rule]]\nissuer = "alice"\n', "line 1: an issuer is 'certificate', 'own', or"),
        (f'{ISSUED}domain = "@example.edu"\n', "the domain '@example.edu' is not what comes"),
        (f'{ISSUED}domain = " example.edu"\n', "the domain ' example.edu' is not what comes"),
        (f"{ISSUED}\n{ISSUED}deny = true\n", "line 4: this rule is never reached"),
        (f"[[rule]]\n\n{ISSUED}deny = true\n", "line 3: this rule is never reached"),
        ('[[rule]]\nname = "a\\n2. b: may"\n', "line 2: 'name' is a text on one line"),
        ('[[rule]]\nname = "\\u001b[31m"\n', "line 2: 'name' is a text on one line"),
        (
            '[[rule]]\nissuer = "https://i"\ngroup = ["a", 7]\n',
            "line 3: 'group' is a text or a list",
        ),
        ('[[rule]]\ndeny = "false"\n', "line 2: 'deny' is true or false"),
        ("[[rule]]\nmax_connections = 0\n", "line 2: 'max_connections' is a number from 1"),
        ("[[rule]]\nmax_sessions = -1\n", "line 2: 'max_sessions' is a number from 0"),
        ("[[rule]]\nmax_rate = 1.5\n", "line 2: 'max_rate' is a number"),
        ('[[rule]]\nports = "7-5"\n', "line 2: 'ports' is"),
        ('[[rule]]\ntargets = "nowhere"\n', "line 2: 'targets' is 'nowhere' is no network"),
        ('[[rule]]\ntargets = ["10.0.0.0/33"]\n', "line 2: 'targets' is"),
        ("[rule]\ndeny = true\n", "'rule' is nothing that a policy has: it is a list of [[rule]]"),
        ("[[rules]]\ndeny = true\n", "line 1: 'rules' is nothing that a policy has"),
        ("deny = true\n", "line 1: 'deny' is nothing that a policy has"),
        ("[[rule]]\ndeny = maybe\n", "line 2: "),
        ("[[rule]]\ndeny = true\ndeny = false\n", "line 3: "),
        ("", "there is no [[rule]]: nobody could do anything"),
        ("# only a comment\n", "there is no [[rule]]: nobody could do anything"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said_with_its_line(
    tmp_path: Path, text: str, said: str
) -> None:
    done = check(tmp_path, text)
    assert (done.rc, done.out) == (2, ""), done.err
    assert said in done.err
    assert str(tmp_path / "policy.toml") in done.err


def test_a_policy_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run(BIN / "s2cs", "check-policy", tmp_path / "missing.toml")
    assert done.rc == 7, done.err
    assert "missing.toml" in done.err
