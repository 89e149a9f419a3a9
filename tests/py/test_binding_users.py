"""`ControlServer` knows users as `s2cs` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import scistream
from authorities import Authority
from openid import RESOURCE_SERVER, OpenIdProvider


def options(provider: OpenIdProvider, folder: Path) -> dict[str, Any]:
    return {
        "port": 0,
        "listener_ip": "127.0.3.1",
        "state_dir": folder / "server",
        "client_id": RESOURCE_SERVER,
        "client_secret_file": provider.secret_file,
        "introspection_url": provider.introspection_url,
        "identity_ca": provider.ca_file,
        "scope": "scistream",
    }


def test_users_are_known_by_their_tokens(openid_provider: OpenIdProvider, tmp_path: Path) -> None:
    provider = openid_provider
    policy = tmp_path / "policy.toml"
    policy.write_text(f'[[rule]]\nissuer = "{provider.issuer}"\nmax_connections = 1\n')
    server = scistream.ControlServer(
        **options(provider, tmp_path),
        policy=policy,
        issuers=[provider.issuer],
        max_sessions_per_user=1,
        facility_key=tmp_path / "facility.key",
    )
    with server:
        roots = server.certificate
        for token in ("", "made-up", provider.mint("alice", scope="openid")):
            with (
                scistream.UserClient(roots=roots, token=token, state_dir=tmp_path) as stranger,
                pytest.raises((scistream.AuthError, scistream.PermissionDenied)),
            ):
                stranger.info(server.endpoint)
        for token in (provider.mint("alice"), provider.mint("alice", jwt=True)):
            with scistream.UserClient(roots=roots, token=token, state_dir=tmp_path) as alice:
                assert alice.info(server.endpoint).sessions == 0
        places = (server.endpoint, server.endpoint)
        with scistream.UserClient(roots=roots, token=token, state_dir=tmp_path) as alice:
            with pytest.raises(scistream.PermissionDenied, match="only 1"):
                alice.request(*places, num_conn=2, prod_app=["127.0.0.1:9"])
            with pytest.raises(scistream.Exhausted):  # it would be two, of the two roles
                alice.request(*places, prod_app=["127.0.0.1:9"])
        policy.write_text(f'[[rule]]\nissuer = "{provider.issuer}"\ndeny = true\n')
        server.reload()
        with (
            scistream.UserClient(roots=roots, token=token, state_dir=tmp_path) as alice,
            pytest.raises(scistream.PermissionDenied, match="by a rule"),
        ):
            alice.info(server.endpoint)
        policy.write_text("nonsense")
        with pytest.raises(scistream.InvalidRequest, match="policy"):
            server.reload()
    lines = (tmp_path / "server/audit.jsonl").read_text().splitlines()
    assert {json.loads(line)["decision"] for line in lines} >= {"allowed", "refused"}
    assert (tmp_path / "facility.key").exists()


def test_what_is_wrong_is_said_before_anything_starts(
    openid_provider: OpenIdProvider, tmp_path: Path
) -> None:
    good = options(openid_provider, tmp_path)
    open_file = tmp_path / "open"
    open_file.write_text("secret")
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"client_id": ""}, scistream.InvalidRequest, "the id is missing"),
        ({"client_secret_file": tmp_path / "none"}, scistream.NotFound, "none"),
        ({"client_secret_file": open_file}, scistream.PermissionDenied, "chmod 600"),
        ({"introspection_url": "http://192.0.2.9/"}, scistream.InvalidRequest, "not encrypted"),
        ({"issuers": ["x"]}, scistream.InvalidRequest, "--issuer"),
    ]
    for wrong, kind, said in cases:
        with pytest.raises(kind, match=said):
            scistream.ControlServer(**{**good, **wrong})
    with pytest.raises(TypeError, match="allow_target"):
        scistream.ControlServer(port=0, allow_target="10.0.0.0/8")
    server = scistream.ControlServer(port=0, allow_target=["nowhere"])
    with pytest.raises(scistream.InvalidRequest, match="--allow-target"):
        server.start()
    with pytest.raises(scistream.InvalidState):
        server.reload()


def test_users_are_known_by_their_certificates(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "site")
    certificate, key = authority.certify("alice", "URI:urn:alice")
    place: dict[str, Any] = {
        "port": 0,
        "listener_ip": "127.0.3.2",
        "state_dir": tmp_path / "server",
    }
    with scistream.ControlServer(client_ca=authority.file, **place) as server:
        access: dict[str, Any] = {"roots": server.certificate, "state_dir": tmp_path}
        shown: dict[str, Any] = {"client_cert": certificate, "client_key": key}
        with scistream.UserClient(**access, **shown) as alice:
            assert alice.info(server.endpoint).sessions == 0
        with (
            scistream.UserClient(**access) as nobody,
            pytest.raises(scistream.AuthError),
        ):
            nobody.info(server.endpoint)
        controller = scistream.AppController(
            "not-there",
            server.endpoint,
            role="CONS",
            **access,
            **shown,
        )
        with pytest.raises(scistream.NotFound):
            controller.hello()
    wrongs: list[dict[str, Any]] = [{"client_cert": certificate}, {**shown, "tls": False}]
    for wrong in wrongs:
        with pytest.raises(scistream.InvalidRequest, match="client_cert"):
            scistream.UserClient(state_dir=tmp_path, **wrong)
