"""docs/security.md: its commands are run, its policies read, its limits reached."""

from __future__ import annotations

import json
import re
import shlex
import signal
import stat
import time
from pathlib import Path

import pytest

from callers import Caller, aim, ended, half, knows, stranger
from facility import BIN, Facility, eventually, run
from guides import COMMANDS, spans
from logins import SCOPE, configure, info, kept_logins, log_in, secret_file
from openid import WORKFLOW
from secured import Place, a_user_logs_in, users_are_known

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/security.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, flags=re.M | re.S)
TYPED = {line for kind, text in BLOCKS if not kind for line in text.splitlines()}
(CONFIG, POLICY) = (text for kind, text in BLOCKS if kind == "toml")
(AUDITED,) = (json.loads(text) for kind, text in BLOCKS if kind == "json")
FILES = {"logins/", "audit.jsonl", "~/.config/scistream/config.toml"}
NUMBERS = {"200 calls", "50 a second", "2 MiB"}
# These would have to be waited for: where they are checked, or stand.
NUMBERS_ELSEWHERE = {
    "30 s": ("tests/cpp/auth/token_cache_test.cpp", "AsksAgainAfterHalfAMinute"),
    "looked at every 10 s": ("cpp/control/control_server.cpp", "look_at_certificate{10}"),
    "handshake that takes longer than 10 s": ("cpp/control/grpc_server.cpp", "TIMEOUT_MS, 10'000"),
    "keeps 500 connections": ("cpp/control/grpc_server.hpp", "most = 500"),
    "one user 100 watches": ("cpp/control/control_service.hpp", "most_watches = 100"),
    "connection is an hour old": ("cpp/control/grpc_server.cpp", "connection_ms = 3'600'000"),
    "wiped within a second": ("tests/cpp/session/resume_test.cpp", "KeysAreWipedSoonAfter"),
}


def a_login_is_shown_and_ends(place: Place, words: list[str]) -> None:
    token = log_in(place.user, place.provider, "alice", *place.gates).access
    done = place.user.run(*words)
    assert (done.rc, SCOPE in done.out) == (0, True), done.err
    assert place.provider.introspect(token)["active"] == ("logout" not in words)
    assert len(kept_logins(place.user)) == ("logout" not in words)


def a_policy_is_said_in_words(place: Place, words: list[str]) -> None:
    """The page's comments among them; its table has all that a rule may have."""
    rows = PAGE[PAGE.index("| a rule has |") :].split("\n\n")[0].splitlines()[2:]
    keys = [key for row in rows for key in re.findall(r"`(\w+)`", row.split("|")[1])]
    source = (ROOT / "cpp/auth/policy.cpp").read_text()
    assert {*keys, "name"} == set(re.findall(r' (?:texts?|flag|number)\("(\w+)"', source))
    (place.folder / "file").write_text(POLICY)
    done = run(BIN / words[0], *words[1:])
    assert (done.rc, done.err) == (0, "")
    assert done.out.splitlines()[2].endswith(
        "may request sessions as PROD, ports 5100-5149, up to 16 listeners each, with a rate of up "
        "to 20000 Mbit/s, up to 4 at a time, from applications at 10.7.0.0/16:5000-5999"
    )


def a_policy_is_in_force(place: Place, words: list[str]) -> None:
    (place.folder / "file").write_text(place.here(POLICY))
    with Facility(place.folder, *knows(place.provider), *words) as facility:
        for name, code in (("x@example.edu", "OK"), ("x@example.com", "PERMISSION_DENIED")):
            with Caller(facility, place.provider.mint(name)) as caller:
                assert caller.code("info") == code
        (place.folder / "file").write_text("# nobody")
        facility.command.signal(signal.SIGHUP)
        facility.command.line("not reloaded, what was in force stays so", "err")


def audit_lines_have_these_members(place: Place, words: list[str]) -> None:
    audit, who = place.folder / "file", AUDITED["who"]
    with Facility(place.folder, *knows(place.provider), *words) as facility:
        with Caller(facility, place.provider.mint(who["name"])) as mallory:
            assert mallory.code(AUDITED["what"], uid=AUDITED["session"]) == "NOT_FOUND"
        real = json.loads(audit.read_text().splitlines()[-1])
        with stranger(facility) as nobody:  # who calls more often than is kept
            for call in [nobody.later("info") for _ in range(150)]:
                ended(call)
            eventually(lambda: nobody.code("info") and "omitted" in audit.read_text(), "more")
    assert (list(real), list(real["who"])) == (list(AUDITED), list(who))
    real["who"] |= {"issuer": who["issuer"], "subject": who["subject"]}
    assert {**real, "time": "", "from": ""} == {**AUDITED, "time": "", "from": ""}
    assert stat.S_IMODE(audit.stat().st_mode) == 0o600
    members = {name for line in audit.read_text().splitlines() for name in json.loads(line)}
    assert members - {*AUDITED, *spans(PAGE)} == set()


def targets_are_refused(place: Place, words: list[str]) -> None:
    good, bad = ("10.7.255.255:1", "10.8.0.1:5000"), ("10.9.0.0:5000", "10.8.0.1:6000")
    wanted = {**dict.fromkeys(good, "OK"), **dict.fromkeys(bad, "PERMISSION_DENIED")}
    with (
        Facility(place.folder, *words) as facility,
        Caller(facility) as caller,
        half(caller, "PROD", {}) as uid,
    ):
        assert {target: aim(caller, uid, target, {}).code for target in wanted} == wanted


def what_keeps_a_user_out_is_told(place: Place, words: list[str]) -> None:
    token = {"SCISTREAM_TOKEN": place.provider.mint("alice")}
    nobody, alice = (place.user.run(*words, env=env) for env in ({}, token))
    assert (nobody.rc, alice.rc) == (3, 0), alice.out
    (named,) = re.findall(r"says which of ([\w, ]+) keeps a user\s+out", PAGE)
    assert [word for word in re.split(", | and ", named) if f"good  {word}" not in alice.out] == []


# Each command of the page, and what checks it with the words that are typed here.
RUN = {
    "--client_id ID --client-secret-file FILE": users_are_known,
    "--issuer URL --audience NAME": users_are_known,
    "--client-ca FILE": users_are_known,
    "s2uc login": a_user_logs_in,
    "s2uc login --provider URL": a_user_logs_in,
    "s2uc login --scope SCOPE --client-id ID --s2cs gw1.example.org:5000": a_user_logs_in,
    "s2uc check_auth": a_login_is_shown_and_ends,
    "s2uc logout": a_login_is_shown_and_ends,
    "s2cs check-policy FILE": a_policy_is_said_in_words,
    "--policy FILE": a_policy_is_in_force,
    "--audit FILE": audit_lines_have_these_members,
    "--allow-target 10.7.0.0/16 --allow-target 10.8.0.0/16:5000-5999": targets_are_refused,
    "s2uc doctor HOST:PORT": what_keeps_a_user_out_is_told,
}
# By tests of pins, of the units, and of sealed stores.
RUN_ELSEWHERE = {"s2uc trust", "systemctl reload", "--facility-key FILE"}


@pytest.mark.parametrize("command", RUN)
def test_every_command_does_what_the_page_says(place: Place, command: str) -> None:
    RUN[command](place, shlex.split(place.here(command)))


def test_everything_on_the_page_is_checked() -> None:
    assert TYPED | {span for span in spans(PAGE) if " " in span} - RUN_ELSEWHERE == set(RUN)
    assert {kind for kind, _ in BLOCKS} == {"", "toml", "json"}
    assert {span for span in spans(PAGE) if re.fullmatch(r"[\w~./-]+(/|\.[a-z]+)", span)} == FILES
    text = " ".join(re.sub(r"^```.*?^```|`[^`\n]*`", "", PAGE, flags=re.M | re.S).split())
    for words, (file, source) in NUMBERS_ELSEWHERE.items():
        assert (words in text, source in (ROOT / file).read_text()) == (True, True), words
        text = text.replace(words, "")
    assert set(re.findall(r"\b[1-9]\d* (?:a )?\w+|an hour", text)) == NUMBERS


def test_every_option_exists() -> None:
    known, named = set(), set()
    for words in (["s2cs"], ["s2uc"], *(["s2uc", command] for command in COMMANDS["s2uc"])):
        says = run(BIN / words[0], *words[1:], "--help").out
        known |= {(words[0], option) for option in re.findall(r"--[\w-]+", says)}
    for section in PAGE.split("\n## "):
        usual = "s2uc" if section.startswith("Logging in") else "s2cs"
        for span in spans(section):
            program = span.split()[0] if span.startswith("s2") else usual
            named |= {(program, each) for each in re.findall(r"--[a-z][\w-]*", span)}
    assert {(program, option.replace("_", "-")) for program, option in named} - known == set()


def test_what_a_login_asks_for_is_on_the_page(place: Place) -> None:
    del place.user.env["SCISTREAM_NATIVE_CLIENT_ID"]
    done = place.user.s2uc("login", "--s2cs", place.gates[0].endpoint)
    assert [name for name in re.findall(r"SCISTREAM_\w+", done.err) if name not in PAGE] == []


@pytest.mark.parametrize("by", ["--s2cs", "config.toml"])
def test_what_is_the_login_of_another_host_is_not_given_away(place: Place, by: str) -> None:
    log_in(place.user, place.provider, "alice", *(place.gates[:1] if by == "--s2cs" else ()))
    configure(place.user, place.here(CONFIG) if by == "config.toml" else "")
    assert info(place.user, place.gates[0]).rc == 0, "it is the login of this one"
    with place.user.start("s2uc", "login", "--s2cs", place.gates[1].endpoint) as login:
        assert login.line("asks for the login|takes logins", "err")[0] == "asks for the login"


def test_tokens_come_from_every_variable(place: Place) -> None:
    secret = secret_file(place.user.folder, place.provider.workflow_secret)
    configure(place.user, place.here(CONFIG))
    token = place.provider.mint("alice")
    ways = [
        {"SCISTREAM_TOKEN": token},
        {"SCISTREAM_TOKEN_FILE": str(secret_file(place.folder, token))},
        {
            "SCISTREAM_WORKFLOW_CLIENT_ID": WORKFLOW,
            "SCISTREAM_WORKFLOW_CLIENT_SECRET_FILE": str(secret),
            "SCISTREAM_WORKFLOW_ISSUER": place.provider.issuer,
        },
    ]
    for env in ways:
        assert info(place.user, place.gates[0], env=env).rc == 0, env
    assert kept_logins(place.user) == []
    named = set(re.findall(r"SCISTREAM_(?!CLIENT_|NATIVE_|KEYRING)\w+", PAGE))
    assert named == {name for env in ways for name in env}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["fail", "hang"])
def test_while_the_provider_is_away_others_may_try_again(place: Place, trouble: str) -> None:
    known, other = ({"SCISTREAM_TOKEN": place.provider.mint(name)} for name in ("alice", "bob"))
    assert info(place.user, place.gates[0], env=known).rc == 0
    with place.provider.trouble(getattr(place.provider, trouble)):
        assert info(place.user, place.gates[0], env=known).rc == 0
        done = info(place.user, place.gates[0], env=other)
    assert done.rc == 5, done.err  # what helps is to try again (docs/exit-codes.md)


def test_what_is_kept_is_its_owners(place: Place) -> None:
    log_in(place.user, place.provider, "alice", *place.gates)
    with place.user.session("--prod-app", "127.0.0.1:9"):
        folders = [place.user.state, *(gate.state for gate in place.gates)]
        for path in (*folders, *(path for folder in folders for path in folder.rglob("*"))):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), path
        for file in ("logins/*.json", "keys/*", "audit.jsonl", "sessions.db"):
            assert [folder for folder in folders if list(folder.glob(file))], file


def test_calls_and_messages_have_the_limits_of_the_page(place: Place) -> None:
    (found,) = re.findall(r"(\d+) calls at once and (\d+) a second.*?(\d+) MiB", PAGE, re.S)
    at_once, a_second, size = map(int, found)
    with Caller(place.gates[0], place.provider.mint("hasty")) as hasty:
        begun = time.monotonic()
        calls = [hasty.later("info") for _ in range(2 * at_once)]
        good = sum(ended(call).code == "OK" for call in calls)
        assert good >= at_once
        while good < at_once + a_second:
            good += hasty.code("info") == "OK"
        assert 0.95 < time.monotonic() - begun < 3, "it takes a second"
    with stranger(place.gates[0]) as caller:
        codes = [caller.raw("list", bytes((size << 20) + more)) for more in (0, 1)]
    assert [code == "RESOURCE_EXHAUSTED" for code in codes] == [False, True]
