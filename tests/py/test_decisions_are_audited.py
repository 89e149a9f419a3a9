"""What is written down of who was let in and who was not, and what is written down nowhere."""

from __future__ import annotations

import base64
import json
import secrets
import signal
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import http2
from applications import Application, echo
from callers import Caller, knows, proven, set_up, stranger
from deployed_peer import new_uid
from facility import BIN, Facility, Json, command_line, eventually, own_address, run
from openid import RESOURCE_SERVER, OpenIdProvider, subject_of

HALF = ["127.0.0.1:9"]


@dataclass
class Audited:
    facility: Facility
    provider: OpenIdProvider

    @property
    def path(self) -> Path:
        return self.facility.state / "audit.jsonl"

    def lines(self) -> list[Json]:
        """What has been decided so far."""
        return [json.loads(line) for line in self.path.read_text().splitlines()]

    def about(self, session: str) -> list[tuple[str, str]]:
        """What was decided about calls for a session, in order."""
        lines = [line for line in self.lines() if line["session"] == session]
        return [(line["what"], line["decision"]) for line in lines]


@pytest.fixture(scope="module")
def audited(
    tmp_path_factory: pytest.TempPathFactory, openid_provider: OpenIdProvider
) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("audited")
    policy = folder / "policy.toml"
    issuer = openid_provider.issuer
    policy.write_text(
        f'[[rule]]\nissuer = "{issuer}"\ngroup = "blocked"\ndeny = true\n'
        f'[[rule]]\nissuer = "{issuer}"\nmax_connections = 4\n'
    )
    flags = (*knows(openid_provider, "opaque", "signed"), "--policy", policy)
    with Facility(folder, *flags) as facility:
        yield Audited(facility, openid_provider)


@pytest.fixture(scope="module")
def alice(audited: Audited) -> Iterator[Caller]:
    with Caller(audited.facility, audited.provider.mint("alice")) as alice:
        yield alice


# ---- lines -------------------------------------------------------------------------------------


# Protocol: audit-lines
def test_what_is_allowed_is_written_down(audited: Audited, alice: Caller) -> None:
    uid = new_uid()
    before = datetime.now(timezone.utc)
    set_up(alice, uid, "PROD", HALF)
    assert alice("watch", uids=[uid]).session.uid == uid
    alice("status", uid=uid)
    alice("rate", uid=uid, rate_mbps=5)
    alice("release", uid=uid)
    calls = audited.about(uid)
    both = [(rpc, how) for rpc in ("hello", "req") for how in ("admitted", "allowed")]
    assert sorted(calls[:4]) == both
    assert calls[4:] == [
        (rpc, "allowed") for rpc in ("update", "watch", "status", "rate", "release")
    ]
    for line in audited.lines():
        if line["session"] == uid:
            more = {"targets"} if line["what"] == "update" else set()
            assert set(line) == {"time", "decision", "what", "session", "from", "who"} | more
            assert line.get("targets", HALF) == HALF
            assert line["from"].startswith("127.")
            assert line["who"] == {
                "issuer": audited.provider.issuer,
                "subject": subject_of("alice"),
                "name": "alice",
            }
            when = datetime.fromisoformat(line["time"].replace("Z", "+00:00"))
            assert abs((when - before).total_seconds()) < 60


# Protocol: audit-lines
@pytest.mark.parametrize("rpc", ["req", "update", "release", "hello", "rate", "status"])
def test_who_is_refused_is_written_down_with_the_reason(audited: Audited, rpc: str) -> None:
    tokens = {
        "": "log in",
        "made-up": "is not active",
        audited.provider.mint("alice", lifetime=-10): "is not active",
        audited.provider.mint("alice", scope="openid"): "has no scope 'scistream'",
        audited.provider.mint("alice", jwt=True, lifetime=-10): "has expired",
    }
    for token, why in tokens.items():
        uid = new_uid()
        with stranger(audited.facility, token) as caller:
            outcome = caller.outcome(rpc, uid=uid)
        (line,) = [line for line in audited.lines() if line["session"] == uid]
        assert (line["what"], line["decision"], line["who"]) == (rpc, "refused", None)
        assert line["why"] == outcome.details
        assert why in line["why"]
        assert line["from"].startswith("127.")
        if token:
            assert token not in audited.path.read_text()


# Protocol: audit-lines
def test_the_address_is_the_callers(audited: Audited) -> None:
    token = audited.provider.mint("alice")
    with stranger(audited.facility, token) as one, stranger(audited.facility) as other:
        assert one.code("status", uid="from-there") == "NOT_FOUND"
        assert other.code("status", uid="from-there") == "UNAUTHENTICATED"
    places = [line["from"] for line in audited.lines() if line["session"] == "from-there"]
    assert len(places) == len(set(places)) == 2


# Protocol: audit-lines
def test_what_a_user_may_not_do_is_not_called_allowed(audited: Audited, alice: Caller) -> None:
    uid = new_uid()
    set_up(alice, uid, "PROD", HALF)
    with Caller(audited.facility, audited.provider.mint("mallory")) as mallory:
        assert mallory.code("release", uid=uid) == "NOT_FOUND"
        large = new_uid()
        assert mallory.code("req", uid=large, role="PROD", num_conn=5) == "PERMISSION_DENIED"
    lines = [line for line in audited.lines() if line["session"] in (uid, large)][-2:]
    assert [(line["what"], line["decision"]) for line in lines] == [
        ("release", "refused"),
        ("req", "refused"),
    ]
    assert {line["who"]["subject"] for line in lines} == {subject_of("mallory")}
    assert "only 4" in lines[1]["why"]
    alice("release", uid=uid)


# Protocol: audit-lines
def test_whom_the_policy_turns_away_is_named(audited: Audited) -> None:
    audited.provider.set_person("eve", groups=["blocked"])
    uid = new_uid()
    with stranger(audited.facility, audited.provider.mint("eve")) as eve:
        assert eve.code("status", uid=uid) == "PERMISSION_DENIED"
    (line,) = [line for line in audited.lines() if line["session"] == uid]
    assert "by a rule that says so" in line["why"]
    assert line["who"] is not None
    assert line["who"]["subject"] == subject_of("eve")


def test_an_application_with_its_key_has_no_name(audited: Audited, alice: Caller) -> None:
    uid, key = new_uid(), secrets.token_bytes(32)
    set_up(alice, uid, "PROD", HALF, app_key=key)
    with stranger(audited.facility) as application:
        hello = proven(key, uid, "PROD", HALF)
        assert application.code("hello", **hello) == "OK"
        assert application.code("hello", **hello) == "UNAUTHENTICATED"
    lines = [line for line in audited.lines() if line["session"] == uid][-4:]
    assert [(line["decision"], line["who"]) for line in lines] == [
        ("admitted", None),
        ("allowed", None),
        ("admitted", None),
        ("refused", None),
    ]
    assert lines[3]["why"] == "this hello was seen before"
    alice("release", uid=uid)


# ---- one line each -----------------------------------------------------------------------------

NASTY = [
    'x\n{"time":"2026-01-01T00:00:00.000Z","decision":"allowed","what":"forged"}',
    "x\r\nforged",
    'x","decision":"allowed","forged":"',
    "x\\",
    "\x1b[2Jx",
    "\0x",
    "\x7f\x85x",
    "\N{LINE SEPARATOR}x\N{PARAGRAPH SEPARATOR}",
    "\N{RIGHT-TO-LEFT OVERRIDE}x",
    "x" * 100_000,
    "é" * 50_000,
    "\0" * 100_000,
]


# Protocol: audit-one-line
@pytest.mark.parametrize("number", range(len(NASTY)))
def test_no_id_makes_two_lines_of_one(audited: Audited, alice: Caller, number: int) -> None:
    uid = NASTY[number]
    before = audited.path.read_bytes()
    calls = ("req", "update", "release", "hello", "rate", "status")
    with stranger(audited.facility) as caller:
        for rpc in calls:
            assert caller.code(rpc, uid=uid) == "UNAUTHENTICATED"
        assert caller.code("watch", uids=[uid]) == "UNAUTHENTICATED"
    for rpc in calls:
        assert alice.code(rpc, uid=uid) == "INVALID_ARGUMENT"
    after = audited.path.read_bytes()
    assert after.startswith(before)
    added = after[len(before) :]
    assert added.endswith(b"\n")
    lines = added.decode("ascii").split("\n")[:-1]
    assert [json.loads(line)["what"] for line in lines] == [*calls, "watch", *calls]
    assert [json.loads(line)["decision"] for line in lines] == ["refused"] * 7 + ["allowed"] * 6
    for line in lines:
        assert line.isprintable()
        assert len(line) < 8_192
        assert json.loads(line)["session"][:60] == uid[:60]
    assert "forged" not in audited.facility.logs()


# Protocol: audit-one-line
@pytest.mark.parametrize("claim", ["preferred_username", "username", "sub"])
@pytest.mark.parametrize("name", ["a\nb", "a\0b", "\x1b[31m", "x" * 10_000])
def test_no_name_does_either(audited: Audited, claim: str, name: str) -> None:
    """An issuer may let its users choose their names."""
    uid = new_uid()
    claims = {"preferred_username": None, claim: name}
    token = audited.provider.mint("alice", jwt=True, claims=claims)
    before = audited.path.read_bytes()
    headers = [(b"authorization", token.encode())]
    message = b"\n" + bytes([len(uid)]) + uid.encode()
    assert http2.call(audited.facility, "status", message, headers) != "OK"
    added = audited.path.read_bytes()[len(before) :].decode("ascii")
    for line in added.split("\n")[:-1]:
        assert json.loads(line)["decision"] == "refused"
        assert line.isprintable()
        assert len(line) < 4_096


# Protocol: audit-one-line
def test_a_name_of_any_letters_is_kept(audited: Audited) -> None:
    name = 'Zoë "\N{GREEK CAPITAL LETTER OMEGA}" \N{RIGHT-TO-LEFT OVERRIDE}x\\'
    claims = {"preferred_username": name, "username": None}
    token = audited.provider.mint("zoe", jwt=True, claims=claims)
    uid = new_uid()
    with Caller(audited.facility, token) as zoe:
        assert zoe.code("status", uid=uid) == "NOT_FOUND"
    names = {line["who"]["name"] for line in audited.lines() if line["session"] == uid}
    assert names == {name}
    assert audited.path.read_bytes().isascii()


# ---- the file ----------------------------------------------------------------------------------


def test_the_file_is_its_owners(audited: Audited, alice: Caller) -> None:
    assert alice.code("info") == "OK"
    assert stat.S_IMODE(audited.path.stat().st_mode) == 0o600


# Protocol: audit-lines
def test_a_file_that_was_moved_away_is_followed_by_a_new_one(
    tmp_path: Path, openid_provider: OpenIdProvider
) -> None:
    path, moved = tmp_path / "audit.log", tmp_path / "audit.log.1"
    with (
        Facility(tmp_path, *knows(openid_provider), "--audit", path) as facility,
        Caller(facility, openid_provider.mint("alice")) as alice,
    ):
        alice("info")
        path.rename(moved)
        alice("info")
        assert len(moved.read_text().splitlines()) == 2, "until it is told"
        facility.command.signal(signal.SIGHUP)
        facility.command.line("policy and audit log reloaded", "err")
        alice("info")
        assert len(moved.read_text().splitlines()) == 2
        assert len(path.read_text().splitlines()) == 1
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert not (facility.state / "audit.jsonl").exists()
    with (
        Facility(tmp_path, *knows(openid_provider), "--audit", path) as facility,
        Caller(facility, openid_provider.mint("alice")) as alice,
    ):
        alice("info")
        assert len(path.read_text().splitlines()) == 2, "another server goes on in it"


def test_where_nobody_is_known_nothing_is_written_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    for flags in ((), ("--audit", path)):
        with Facility(tmp_path, *flags) as facility, Caller(facility) as anybody:
            assert anybody.code("info") == "OK"
            assert not (facility.state / "audit.jsonl").exists()
            assert path.exists() == bool(flags)
    (line,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert (line["what"], line["decision"], line["who"]) == ("info", "allowed", None)


@pytest.mark.parametrize("where", ["missing/audit.log", "link"])
def test_a_file_that_cannot_be_written_is_named_at_the_start(
    tmp_path: Path, openid_provider: OpenIdProvider, where: str
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    words = ("--port", 0, "--listener_ip", own_address(), "--state-dir", tmp_path / "state")
    audit = ("--audit", tmp_path / where)
    done = run(BIN / "s2cs", *words, *knows(openid_provider), *audit, cwd=tmp_path)
    assert done.rc != 0
    assert str(tmp_path / where) in done.err
    assert not (tmp_path / "elsewhere").exists()


# ---- what is a secret --------------------------------------------------------------------------


def spellings(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    # Without what depends on what would follow.
    whole = secret[: len(secret) // 3 * 3]
    yield base64.b64encode(whole)
    yield base64.urlsafe_b64encode(whole)


def found(where: Mapping[str, bytes], needles: Mapping[str, bytes]) -> list[str]:
    """Which secret is in which place."""
    return [
        f"{name} is in {place}"
        for name, secret in needles.items()
        for place, text in where.items()
        if any(spelling in text for spelling in spellings(secret))
    ]


def files_of(facility: Facility) -> dict[str, bytes]:
    """All that a facility keeps but its sessions, which have their keys, and its own TLS key."""
    kept = [path for path in facility.state.rglob("*") if path.is_file()]
    public = [path for path in kept if not path.name.startswith(("sessions.db", "server.key"))]
    return {str(path): path.read_bytes() for path in public}


def test_no_secret_is_in_a_log_a_message_a_file_or_a_command_line(
    tmp_path: Path, openid_provider: OpenIdProvider, echo_app: Application
) -> None:
    provider = openid_provider
    by_file = knows(provider, "opaque", "signed")
    cut = by_file.index("--client-secret-file")
    by_variable = by_file[:cut] + by_file[cut + 2 :]
    variable = {"SCISTREAM_CLIENT_SECRET": provider.secret}
    uid = new_uid()
    opaque, signed = provider.mint("alice"), provider.mint("alice", jwt=True)
    expired, spoilt = provider.mint("alice", jwt=True, lifetime=-10), signed[:-6] + "AAAAAA"
    keys = [secrets.token_bytes(32) for _ in range(3)]
    needles = {
        "the client's secret": provider.secret.encode(),
        "its authorization": f"{RESOURCE_SERVER}:{provider.secret}".encode(),
        "the opaque token": opaque.encode(),
        "the signed token": signed.encode(),
        "the signature": signed.split(".")[2].encode(),
        "the expired token": expired.encode(),
        "the spoilt token": spoilt.encode(),
        "the guess": f"guess-{uid[::-1]}".encode(),
        **{f"key {number}": key for number, key in enumerate(keys)},
    }
    said: list[Any] = []
    places: dict[str, bytes] = {}
    with ExitStack() as stack:
        prod = stack.enter_context(Facility(tmp_path, "--verbose", *by_file))
        cons = stack.enter_context(Facility(tmp_path, "--verbose", *by_variable, env=variable))
        one = stack.enter_context(Caller(prod, opaque))
        other = stack.enter_context(Caller(cons, signed, spelling=""))
        wan = set_up(one, uid, "PROD", [echo_app.endpoint], app_key=keys[0], data_key=keys[2])
        (listener,) = set_up(other, uid, "CONS", wan, app_key=keys[1], data_key=keys[2])
        assert echo(listener, b"it streams") == b"it streams"
        for caller, role in ((one, "PROD"), (other, "CONS")):
            said += [caller("status", uid=uid), caller("list", uids=[uid]), caller("info")]
            said.append(caller("watch", uids=[uid]))
            # Messages about what is wrong with them.
            said.append(caller.outcome("req", uid=uid, role=role, num_conn=2, app_key=keys[0]))
            said.append(caller.outcome("hello", **proven(keys[2], uid, "PROD")))
            said.append(caller.outcome("update", uid=uid, remote_listeners=wan, data_key=keys[0]))
            short = {"transport": "tls", "data_key": keys[1][:31]}
            said.append(caller.outcome("update", uid=uid, remote_listeners=wan, **short))
            said.append(
                caller.outcome("req", uid="u", role="PROD", num_conn=1, app_key=keys[0][1:])
            )
        for facility in (prod, cons):
            with stranger(facility) as caller:
                for token in (expired, spoilt, needles["the guess"].decode()):
                    caller.show(token)
                    said.append(caller.outcome("info"))
        with provider.trouble(lambda: provider.fail(500)), stranger(prod) as caller:
            caller.show(provider_token := f"guess-{uid[::-1]}-again")
            needles["the other guess"] = provider_token.encode()
            said.append(caller.outcome("info"))
        for facility in (prod, cons):
            pids = (facility.command.pid, facility.data_server)
            places |= {f"argv of {pid}": "\0".join(command_line(pid)).encode() for pid in pids}
            places |= files_of(facility)
        one("release", uid=uid)
        other("release", uid=uid)
        for facility in (prod, cons):
            facility.command.signal(signal.SIGHUP)
            facility.command.line("reloaded", "err")
    for facility in (prod, cons):
        places |= files_of(facility)
        places[f"output of {facility.endpoint}"] = facility.logs().encode()
    places["answers"] = repr(said).encode() + "\n".join(str(each) for each in said).encode()
    assert found(places, needles) == []
    # What is public is found, so these are the places.
    where = found(places, {"the id": uid.encode()})
    assert sum("output of" in each for each in where) == 2
    assert sum("audit.jsonl" in each for each in where) == 2
    assert "the id is in answers" in where
    assert found(places, {"its name": b"serve"}) != []


def test_the_client_secret_goes_no_further_than_the_control_server(
    tmp_path: Path, openid_provider: OpenIdProvider
) -> None:
    flags = knows(openid_provider)
    cut = flags.index("--client-secret-file")
    variable = {"SCISTREAM_CLIENT_SECRET": openid_provider.secret}
    with Facility(tmp_path, *flags[:cut], *flags[cut + 2 :], env=variable) as facility:
        environment = Path(f"/proc/{facility.data_server}/environ").read_bytes()
        assert b"PATH=" in environment
        assert openid_provider.secret.encode() not in environment


def test_a_secret_in_the_command_line_is_warned_about_and_not_repeated(
    tmp_path: Path, openid_provider: OpenIdProvider
) -> None:
    flags = knows(openid_provider)
    cut = flags.index("--client-secret-file")
    secret = openid_provider.secret
    with Facility(tmp_path, *flags[:cut], "--client_secret", secret, *flags[cut + 2 :]) as facility:
        facility.command.line("--client_secret: other users of this machine can read it", "err")
        assert secret not in facility.logs()
        eventually(lambda: facility.data_server, "it serves")
        assert secret not in command_line(facility.data_server)
