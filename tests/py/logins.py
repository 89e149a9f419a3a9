"""Users who log in, what is kept of it, and a server that would like to have their tokens."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any, Protocol

import grpc  # type: ignore[import-untyped]

from callers import RPCS, knows
from facility import BIN, LIMIT, Client, Command, Done, Facility, Json, command_line, eventually
from openid import NATIVE, OpenIdProvider

Gates = tuple[Facility, Facility]
SCOPE = "scistream"
CODE_LINE = r"^The code to enter, or to compare, there: (\S+)$"


class Called(Protocol):
    """A server that can be called."""

    endpoint: str


@contextlib.contextmanager
def gates_of(folder: Path, provider: OpenIdProvider, *ways: str) -> Iterator[Gates]:
    """Two facilities that serve those who show a token of this provider (`callers.knows`)."""
    flags = knows(provider, *ways)
    with Facility(folder, *flags) as prod, Facility(folder, *flags) as cons:
        yield prod, cons


def info(user: Client, server: Called, *flags: object, **more: Any) -> Done:
    """A call that does nothing but to show whether the user is known there."""
    return user.s2uc("info", "--s2cs", server.endpoint, *flags, **more)


def secret_file(folder: Path, word: str, mode: int = 0o600) -> Path:
    """For its owner alone, replaced in one step."""
    new, path = folder / "secret.new", folder / "secret"
    new.write_text(word)
    new.chmod(mode)
    return new.rename(path)


def configure(user: Client, text: str) -> Path:
    """Writes the user's config.toml."""
    path = user.folder / ".config/scistream/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def login_words(provider: OpenIdProvider, *servers: Called, scope: str = SCOPE) -> list[object]:
    """The command with which a user logs in, for these servers."""
    places = ["--s2cs", ",".join(server.endpoint for server in servers)] if servers else []
    who = ["--provider", provider.issuer, "--client-id", NATIVE]
    return ["login", *who, "--scope", scope, "--identity-ca", provider.ca_file, *places]


@contextlib.contextmanager
def on_a_device(
    user: Client, provider: OpenIdProvider, *servers: Called, flags: Sequence[str] = (), **more: Any
) -> Iterator[tuple[Command, str]]:
    """A login that waits for its user, and the code that they approve."""
    words = [*login_words(provider, *servers, **more), "--device", *flags]
    with user.start("s2uc", *words) as command:
        yield command, command.line(CODE_LINE, "err" if "--json" in flags else "out")[1]


@contextlib.contextmanager
def in_a_browser(
    user: Client, provider: OpenIdProvider, *servers: Called, flags: Sequence[str] = ()
) -> Iterator[tuple[Command, str]]:
    """A login on the terminal of a desktop, and the address that it opens in a browser."""
    programs, opened = user.folder / "programs", user.folder / "opened"
    programs.mkdir()
    browser = programs / "xdg-open"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" >{opened}.part && mv {opened}.part {opened}\n')
    browser.chmod(0o755)
    env = {**user.env, "DISPLAY": ":0", "PATH": f"{programs}:{user.env['PATH']}"}
    spawn = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    words = ["-c", spawn, BIN / "s2uc", *login_words(provider, *servers), *flags]
    with Command(sys.executable, *words, cwd=user.folder, env=env) as command:
        eventually(opened.exists, "a browser was opened")
        yield command, opened.read_text()


def visit(url: str) -> tuple[int, str]:
    """The status and the page with which the login answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=LIMIT) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class KeptLogin:
    """A login as its file in the state folder has it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def document(self) -> Json:
        document: Json = json.loads(self.path.read_text())
        return document

    @property
    def access(self) -> str:
        token: str = self.document["access_token"]
        return token

    @property
    def refresh(self) -> str:
        token: str = self.document["refresh_token"]
        return token

    def write(self, **changes: object) -> None:
        self.path.write_text(json.dumps({**self.document, **changes}))

    def expires_in(self, seconds: int) -> None:
        """As if the provider had said so of the access token."""
        self.write(expires=int(time.time()) + seconds)


def kept_logins(user: Client) -> list[KeptLogin]:
    return [KeptLogin(path) for path in sorted((user.state / "logins").glob("*.json"))]


def kept_login(user: Client) -> KeptLogin:
    """The only one."""
    (login,) = kept_logins(user)
    return login


def log_in(
    user: Client, provider: OpenIdProvider, name: str, *servers: Called, **more: Any
) -> KeptLogin:
    """A login by way of another device, as it is kept."""
    with on_a_device(user, provider, *servers, **more) as (command, code):
        provider.approve_device(code, name)
        assert command.wait() == 0, command.err
    scope = more.get("scope", SCOPE)
    (login,) = (each for each in kept_logins(user) if each.document["scope"] == scope)
    return login


class GreedyServer:
    """A control server that refuses everybody, says at which issuer and for which scope they are to
    log in, and notes down the token that each call brings; "" if none. It speaks plaintext.
    """

    tls = False

    def __init__(self, issuer: str, scope: str = SCOPE) -> None:
        self.tokens: list[str] = []
        self._announced = (
            ("scistream-login-issuer", issuer),
            ("scistream-login-scope", scope),
        )
        handlers = {rpc: grpc.unary_unary_rpc_method_handler(self._refuse) for rpc in RPCS}
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("scistream.Control", handlers),)
        )
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def _refuse(self, _: bytes, context: Any) -> None:
        self.tokens.append(str(dict(context.invocation_metadata()).get("authorization", "")))
        context.set_trailing_metadata(self._announced)
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")

    def heard(self) -> set[str]:
        """The tokens that have come since the last time."""
        heard = set(self.tokens)
        self.tokens.clear()
        return heard

    def __enter__(self) -> GreedyServer:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()


def command_lines_with(word: str) -> list[str]:
    """Of the processes that show it, a line each."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    lines = [" ".join(command_line(pid)) for pid in pids]
    return [line for line in lines if word in line]
