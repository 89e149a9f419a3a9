"""HTTPS for tests: a certificate that only they trust, single requests, and a user's browser."""

from __future__ import annotations

import base64
import html
import json
import re
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from http.cookiejar import CookieJar
from pathlib import Path

from facility import LIMIT, Json


def make_certificate(folder: Path) -> None:
    """`ca.pem`, and a certificate for 127.0.0.1 that it has signed, in `server.pem`."""
    (folder / "openssl.cnf").write_text(
        "[req]\ndistinguished_name = name\nprompt = no\n[name]\n"
        "[ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n"
        "subjectKeyIdentifier = hash\n"
        "[server]\nbasicConstraints = critical, CA:FALSE\nextendedKeyUsage = serverAuth\n"
        "subjectAltName = IP:127.0.0.1, DNS:localhost\nauthorityKeyIdentifier = keyid\n"
    )
    common = ("openssl", "req", "-x509", "-config", "openssl.cnf", "-days", "2", "-nodes")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    for name, more in (("ca", ()), ("server", ("-CA", "ca.pem", "-CAkey", "ca.key"))):
        files = ("-subj", f"/CN=tests {name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        subprocess.run(
            [*common, *key, "-extensions", name, *files, *more],
            cwd=folder,
            capture_output=True,
            check=True,
        )


@dataclass
class Answer:
    """What an HTTP request brought, whatever its status."""

    status: int
    headers: Message
    text: str

    @property
    def json(self) -> Json:
        document: Json = json.loads(self.text)
        return document


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def basic(client: str, secret: str) -> str:
    """The header `Authorization` of a client with its secret (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()


class Https:
    """Requests to servers whose certificates a CA of the tests has signed."""

    def __init__(self, ca_file: Path) -> None:
        self._context = ssl.create_default_context(cafile=str(ca_file))

    def fetch(
        self,
        url: str,
        *,
        form: Mapping[str, str] | None = None,
        document: Json | None = None,
        authorization: str | None = None,
        cookies: CookieJar | None = None,
    ) -> Answer:
        """One request that follows no redirect and uses no proxy: POST if there is a form or a
        document to send. An answer of any status is one.
        """
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        if document is not None:
            data = json.dumps(document).encode()
        request = urllib.request.Request(url, data)
        if authorization:
            request.add_header("Authorization", authorization)
        opener = urllib.request.build_opener(
            _NoRedirect,
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=self._context),
            urllib.request.HTTPCookieProcessor(cookies),
        )
        try:
            with opener.open(request, timeout=LIMIT) as answer:
                return Answer(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read().decode())


class Browser:
    """A user's browser, as far as the provider's pages go: cookies, redirects, forms."""

    def __init__(self, https: Https, user: str, allow: bool) -> None:
        self._https = https
        self._filled = {"login": user, "allow": "yes" if allow else "no"}
        self._allow = allow
        self._cookies = CookieJar()

    def visit(self, url: str) -> str:
        """Fills in every form until there is none; the page at the end or, where the way leads
        elsewhere, the address there.
        """
        home = urllib.parse.urlsplit(url)[:2]
        form: dict[str, str] | None = None
        for _ in range(20):
            answer = self._https.fetch(url, form=form, cookies=self._cookies)
            if location := answer.headers.get("Location"):
                url, form = urllib.parse.urljoin(url, location), None
                if urllib.parse.urlsplit(url)[:2] != home:
                    return url
                continue
            found = re.search(r"<form([^>]*)>(.*?)</form>", answer.text, re.DOTALL)
            if not found or 'type="text" name="user_code"' in found[2]:
                return answer.text  # the end, or a question that has been answered in vain
            action = re.search(r'action="([^"]*)"', found[1])
            url = urllib.parse.urljoin(url, html.unescape(action[1]) if action else "")
            form = self._fill(found[2])
        raise AssertionError(f"there is no end of redirects and forms at {url}")

    def _fill(self, form: str) -> dict[str, str]:
        hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
        if not hidden:
            return self._filled
        fields = {name: html.unescape(value) for name, value in hidden}
        if "confirm" in fields and not self._allow:
            fields["abort"] = "yes"
        return fields
