"""Facilities that know their users, and what the documents say of logging in there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authorities import Authority
from callers import stranger
from facility import Client, Facility
from logins import CODE_LINE, SCOPE, Gates, info, secret_file
from openid import NATIVE, RESOURCE_SERVER, OpenIdProvider


@dataclass
class Place:
    """Two facilities that this provider's users may use, and a user who is new."""

    folder: Path
    provider: OpenIdProvider
    gates: Gates
    user: Client

    def here(self, text: str) -> str:
        """What the page says, with what there is here for its names, ports and paths."""
        stand_ins = {
            self.gates[0].endpoint: ("gw1.example.org:5000", "HOST:PORT"),
            self.provider.issuer: ("https://login.example.org", "https://auth.globus.org", "URL"),
            str(self.folder / "file"): ("FILE",),
            RESOURCE_SERVER: ("ID", "NAME"),
            SCOPE: ("SCOPE", "stream"),
        }
        by_name = {name: word for word, names in stand_ins.items() for name in names}
        names = "|".join(map(re.escape, by_name))
        return re.sub(rf"(?<![\w-])(?:{names})(?!\w)", lambda name: by_name[name[0]], text)


def users_are_known(place: Place, words: list[str]) -> None:
    """Those whom the option is for, and nobody else."""
    provider, authority = place.provider, Authority(place.folder / "authority")
    of_file = authority.file.read_text() if "--client-ca" in words else provider.secret
    secret_file(place.folder, of_file).rename(place.folder / "file")
    shows: dict[str, dict[str, Any]] = {
        "--client_id": {"token": provider.mint("alice")},
        "--issuer": {"token": provider.mint("alice", jwt=True)},
        "--client-ca": {"certificate": authority.certify("alice", "URI:urn:alice")},
        "nothing": {},
    }
    flags = ("--introspection-url", provider.introspection_url, "--identity-ca", provider.ca_file)
    with Facility(place.folder, *words, *flags, "--scope", SCOPE) as facility:
        for option, shown in shows.items():
            with stranger(facility, **shown) as caller:
                assert (caller.code("info") == "OK") == (option in words), option


def a_user_logs_in(place: Place, words: list[str]) -> None:
    """What one command leaves out another one says; the scope, if none does, the server."""
    gate, issuer = place.gates[0], place.provider.issuer
    announced = f"{gate.endpoint} takes logins of {issuer} for {SCOPE}\n" if len(words) == 2 else ""
    words = [NATIVE if word == RESOURCE_SERVER else word for word in words]
    words += [] if "--s2cs" in words else ["--s2cs", gate.endpoint]
    words += ["--provider", issuer] if "--scope" in words else []
    with place.user.start(*words) as login:
        place.provider.approve_device(login.line(CODE_LINE)[1], "alice")
        assert login.wait() == 0, login.err
    assert login.err == announced
    assert [info(place.user, each).rc for each in place.gates] == [0, 3]
