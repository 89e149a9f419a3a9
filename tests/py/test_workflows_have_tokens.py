"""Programs that nobody sits in front of have a token in a file, in the environment, or get their
own; and what scripts of the field say of tokens keeps its meaning.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from applications import Application
from facility import Client, Facility, eventually
from logins import SCOPE, Gates, GreedyServer, configure, info, kept_logins, log_in, secret_file
from openid import WORKFLOW, OpenIdProvider

INVALID_ARGUMENT = 2
UNAUTHENTICATED = 3
PERMISSION_DENIED = 4
NOT_FOUND = 7


@pytest.fixture
def user(tmp_path: Path, gates: Gates) -> Client:
    """One who has not logged in."""
    return Client(tmp_path, *gates)


# ---- given to a command ------------------------------------------------------------------------


# Protocol: token-file
@pytest.mark.parametrize("end", ["", "\n"], ids=["bare", "line"])
def test_a_token_in_a_file_is_who_calls(
    user: Client, gates: Gates, openid_provider: OpenIdProvider, end: str
) -> None:
    path = secret_file(user.folder, openid_provider.mint("alice") + end)
    flag = ["--token-file", path]
    uid = user.request("--prod-app", "127.0.0.1:9", *flag)["uid"]
    for words in (["status", uid], ["list"], ["rate", uid, 5]):
        assert uid in user.s2uc(*words, *flag).out
        assert uid not in user.s2uc(*words).out
    secret_file(user.folder, openid_provider.mint("bob"))
    assert user.s2uc("release", uid, *flag).rc == NOT_FOUND, "it is another user by now"
    secret_file(user.folder, openid_provider.mint("alice"))
    env = {"SCISTREAM_TOKEN_FILE": str(path)}
    assert user.s2uc("release", uid, *user.places, env=env).out == "Release completed\n"


# Protocol: token-file
def test_a_token_file_that_others_can_read_is_refused(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    token = openid_provider.mint("alice")
    for mode in (0o640, 0o604, 0o620):
        path = secret_file(user.folder, token, mode)
        done = info(user, gates[0], "--token-file", path)
        assert done.rc == PERMISSION_DENIED, oct(mode)
        assert f"the token file '{path}' can be read by others; say chmod 600" in done.err
        assert token not in done.err


# Protocol: token-file
def test_what_holds_no_token_is_said(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    word = openid_provider.mint("alice")
    for wrong in ("", "\n", f"{word} {word}", f"{word}\n{word}\n", f"{word}\u00e9", word * 500):
        path = secret_file(user.folder, wrong)
        done = info(user, gates[0], "--token-file", path)
        assert done.rc == INVALID_ARGUMENT, done.err
        assert str(path) in done.err
        assert word not in done.err
    done = info(user, gates[0], "--token-file", user.folder)
    assert (done.rc, "is no file" in done.err) == (INVALID_ARGUMENT, True)
    done = info(user, gates[0], "--token-file", user.folder / "nothing")
    assert (done.rc, str(user.folder / "nothing") in done.err) == (NOT_FOUND, True)
    done = info(user, gates[0], env={"SCISTREAM_TOKEN": f"{word} {word}"})
    assert (done.rc, word in done.err) == (INVALID_ARGUMENT, False)
    done = info(user, gates[0], env={"SCISTREAM_TOKEN": "out-of-date"})
    assert (done.rc, "out-of-date" in done.err) == (UNAUTHENTICATED, False)


# Protocol: token-file
def test_a_token_may_come_from_another_program(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    """A pipe of the shell, which can be read once; two servers are called."""
    script = '"$@" --token-file <(printf %s "$WORD")'
    words = ["s2uc", "request", "--json", *user.places, "--prod-app", "127.0.0.1:9"]
    env = {"WORD": openid_provider.mint("alice")}
    done = user.run("/bin/bash", "-c", script, "bash", *words, env=env)
    assert done.rc == 0, done.err
    env = {"SCISTREAM_TOKEN": env["WORD"]}
    assert user.s2uc("release", done.json["uid"], env=env).rc == 0


# Protocol: token-file
def test_a_token_file_is_read_again_while_a_command_waits(
    user: Client, gates: Gates, openid_provider: OpenIdProvider, echo_app: Application
) -> None:
    old = openid_provider.mint("alice", lifetime=3)
    path = secret_file(user.folder, old)
    with user.waiting("--token-file", path) as request:
        eventually(lambda: not openid_provider.introspect(old)["active"], "it has expired")
        secret_file(user.folder, openid_provider.mint("alice"))
        for gate, role, key, more in (
            (gates[0], "PROD", request.prod_key, ["--listen", echo_app.endpoint]),
            (gates[1], "CONS", request.cons_key, []),
        ):
            words = [request.uid, gate.endpoint, "--role", role, "--key-file", key, *more]
            done = user.appctrl("hello", *words)
            assert done.rc == 0, done.err
        assert request.wait() == 0, request.err
    assert user.s2uc("release", request.uid, "--token-file", path).rc == 0


# Protocol: token-file
def test_what_is_said_on_the_command_line_comes_first(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    alice, bob = openid_provider.mint("alice"), openid_provider.mint("bob")
    env = {"SCISTREAM_TOKEN": bob}
    uid = user.s2uc(
        *("request", "--json", *user.places, "--prod-app", "127.0.0.1:9"),
        *("--token-file", secret_file(user.folder, alice)),
        env=env,
    ).json["uid"]
    done = user.s2uc("release", uid, env={"SCISTREAM_TOKEN": alice})
    assert done.rc == 0, "it is bob's"


# ---- of its own --------------------------------------------------------------------------------


def workflow_of(provider: OpenIdProvider, secret: Path, *servers: Facility | GreedyServer) -> str:
    """As config.toml says that a workflow calls these servers."""
    lines = [
        "[workflow]",
        f'client_id = "{WORKFLOW}"',
        f'client_secret_file = "{secret}"',
        f'issuer = "{provider.issuer}"',
    ]
    for server in servers:
        lines += [f'[server."{server.endpoint}"]', f'scope = "{SCOPE}"']
        lines += [f'issuer = "{provider.issuer}"']
    return "\n".join(lines) + "\n"


# Protocol: token-workflow
def test_a_workflow_logs_in_by_itself(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    secret = secret_file(user.folder, openid_provider.workflow_secret + "\n")
    configure(user, workflow_of(openid_provider, secret, *gates))
    user.env["SCISTREAM_IDENTITY_CA"] = str(openid_provider.ca_file)
    before = openid_provider.counts()["/token"]
    uid = user.request("--prod-app", "127.0.0.1:9")["uid"]
    assert openid_provider.counts()["/token"] == before + 1, "one token for both facilities"
    assert uid in user.s2uc("list").out
    with GreedyServer(openid_provider.issuer) as other:
        info(user, other, "--ssl=False")
        assert other.heard() == {""}, "it is not for this one"
    user.release(uid)
    assert kept_logins(user) == []


# Protocol: token-workflow
def test_a_workflow_may_be_set_up_in_the_environment(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    env = {
        "SCISTREAM_WORKFLOW_CLIENT_ID": WORKFLOW,
        "SCISTREAM_WORKFLOW_CLIENT_SECRET_FILE": str(
            secret_file(user.folder, openid_provider.workflow_secret)
        ),
        "SCISTREAM_WORKFLOW_ISSUER": openid_provider.issuer,
        "SCISTREAM_IDENTITY_CA": str(openid_provider.ca_file),
    }
    done = info(user, gates[0], "--scope", SCOPE, env=env)
    assert done.rc == 0, done.err
    assert info(user, gates[0], env=env).rc == UNAUTHENTICATED, "no scope was said for it"


# Protocol: token-workflow, token-not-shown
def test_a_workflow_that_is_refused_does_not_tell_its_secret(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    secret = openid_provider.workflow_secret
    path = secret_file(user.folder, secret[::-1])
    configure(user, workflow_of(openid_provider, path, *gates))
    user.env["SCISTREAM_IDENTITY_CA"] = str(openid_provider.ca_file)
    done = info(user, gates[0], "--verbose")
    assert done.rc == UNAUTHENTICATED
    assert "invalid_client" in done.err
    assert openid_provider.issuer in done.err
    assert secret[::-1] not in done.out + done.err
    secret_file(user.folder, secret, 0o644)
    done = info(user, gates[0])
    assert done.rc == PERMISSION_DENIED
    assert f"'{path}' can be read by others; say chmod 600" in done.err
    secret_file(user.folder, secret)
    with openid_provider.trouble(lambda: openid_provider.fail(503, under="/token")):
        assert info(user, gates[0]).rc == 5
    assert info(user, gates[0], "--verbose").rc == 0


# ---- in the single-step commands ---------------------------------------------------------------


# Protocol: token-word
def test_a_dash_stands_where_the_token_stood(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    login = log_in(user, openid_provider, "alice", *gates)
    words = ["inbound_request", "--s2cs", gates[0].endpoint, "--receiver_ports", 9]
    done = user.s2uc(*words)
    assert (done.rc, done.err) == (0, "")
    header, who = done.out.splitlines()[:2]
    assert header == "uid; s2cs; access_token; role"
    uid = who.split()[0]
    assert who == f"{uid} {gates[0].endpoint} - PROD"
    listeners = done.out.splitlines()[-1].removeprefix("Listeners: ").strip("[]").replace("'", "")
    place = ["--s2cs", gates[1].endpoint]
    done = user.s2uc("outbound_request", *place, uid, listeners.replace(" ", ""))
    assert done.rc == 0, done.out
    assert done.out.splitlines()[1] == f"{uid} {gates[1].endpoint} - CONS"
    assert login.access not in done.out
    assert user.s2uc("release", uid).rc == 0


# Protocol: token-word
def test_without_a_token_the_word_is_what_it_was(user: Client, gates: Gates) -> None:
    done = user.s2uc("prod_req", "--s2cs", gates[0].endpoint)
    assert done.rc == UNAUTHENTICATED
    assert done.out.splitlines()[1].split()[1:] == [gates[0].endpoint, "INVALID_TOKEN", "PROD"]
    assert done.out.splitlines()[-1] == "Request Failed, no Hello response"
    assert "s2uc login --provider" in done.err


# Protocol: token-word
def test_a_scope_that_nobody_has_logged_in_for_does_no_harm(tmp_path: Path, user: Client) -> None:
    """Scripts name one at facilities that ask for nothing."""
    with Facility(tmp_path) as facility:
        user.trust(facility.certificate)
        place = ["--s2cs", facility.endpoint, "--scope"]
        for scope in ("c42c0dac-0a52-408e-a04f-5d31bfe0aef8", "a b", ""):
            done = user.s2uc("inbound_request", "--receiver_ports", 9, "--mock", *place, scope)
            assert (done.rc, done.err) == (0, ""), scope
            uid, _, word, _ = done.out.splitlines()[1].split()
            assert word == "INVALID_TOKEN"
            assert user.s2uc("release", uid, *place[:2]).rc == 0


# ---- application controllers -------------------------------------------------------------------


# Protocol: app-key-steps
def test_an_application_with_its_key_needs_no_login(
    tmp_path: Path, user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    host = Client(tmp_path, *gates)
    user.env["SCISTREAM_TOKEN"] = openid_provider.mint("alice")
    with user.waiting() as request:
        request.listening()
        listens = ["--role", "PROD", "--listen", "127.0.0.1:9"]
        hello = ["hello", request.uid, gates[0].endpoint, *listens]
        done = host.appctrl(*hello)
        assert done.rc == UNAUTHENTICATED
        assert "s2uc login" in done.err
        wrong = secret_file(host.folder, "ab" * 32)
        assert host.appctrl(*hello, "--key-file", wrong).rc == UNAUTHENTICATED
        # What is wrong with a token that is not needed is nobody's trouble.
        unused = {"SCISTREAM_TOKEN_FILE": "/nowhere/at/all"}
        done = host.appctrl(*hello, "--key-file", request.prod_key, env=unused)
        assert done.rc == 0, done.err
        words = ["hello", request.uid, gates[1].endpoint, "--role", "CONS"]
        key = {"SCISTREAM_APP_KEY": request.cons_key.read_text().strip()}
        assert host.appctrl(*words, env=key).rc == 0
        assert request.wait() == 0, request.err
    user.release(request.uid)


@contextlib.contextmanager
def half_request(user: Client, gate: Facility) -> Iterator[str]:
    """The id of a producer's half that waits for its hello; it has come at the end."""
    with user.start("s2uc", "prod_req", "--s2cs", gate.endpoint) as request:
        uid = request.line(r"^(\S+) \S+ - PROD$")[1]
        eventually(lambda: user.s2uc("status", uid).rc == 0, "the session waits for its hello")
        yield uid
        assert request.wait() == 0, request.err
    assert user.s2uc("release", uid).rc == 0


def hello_words(uid: str, gate: Facility) -> list[str]:
    return [uid, gate.endpoint, "--role", "PROD", "--listen", "127.0.0.1:9"]


@pytest.mark.parametrize("way", ["variable", "file", "login", "word"])
def test_the_owner_may_speak_for_the_application(
    tmp_path: Path, user: Client, gates: Gates, openid_provider: OpenIdProvider, way: str
) -> None:
    """Without its key: with a token of the same user, wherever it comes from."""
    host = Client(tmp_path, *gates)
    user.env["SCISTREAM_TOKEN"] = token = openid_provider.mint("alice")
    if way == "variable":
        host.env["SCISTREAM_TOKEN"] = openid_provider.mint("alice")
    elif way == "file":
        host.env["SCISTREAM_TOKEN_FILE"] = str(secret_file(host.folder, token))
    elif way == "login":
        log_in(host, openid_provider, "alice", *gates)
    with half_request(user, gates[0]) as uid:
        mock = ["mock", uid, gates[0].endpoint, token, "PROD"]
        done = host.appctrl(*(mock if way == "word" else ["hello", *hello_words(uid, gates[0])]))
        assert done.rc == 0, done.err


def test_nobody_else_speaks_for_the_application(
    tmp_path: Path, user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    other = Client(tmp_path, *gates)
    user.env["SCISTREAM_TOKEN"] = openid_provider.mint("alice")
    other.env["SCISTREAM_TOKEN"] = openid_provider.mint("bob")
    with half_request(user, gates[0]) as uid:
        words = hello_words(uid, gates[0])
        assert other.appctrl("hello", *words).rc in (PERMISSION_DENIED, NOT_FOUND)
        assert user.appctrl("hello", *words).rc == 0


# Protocol: token-not-shown
def test_an_application_does_not_get_the_token_of_who_starts_it(
    user: Client, gates: Gates, openid_provider: OpenIdProvider
) -> None:
    """As it does not get the application key."""
    user.env["SCISTREAM_TOKEN"] = token = openid_provider.mint("alice")
    with half_request(user, gates[0]) as uid:
        done = user.appctrl("run", *hello_words(uid, gates[0]), "--", "env")
        assert (done.rc, f"SCISTREAM_UID={uid}" in done.out) == (0, True), done.err
    assert token not in done.out
