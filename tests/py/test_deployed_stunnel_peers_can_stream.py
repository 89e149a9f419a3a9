"""`s2cs --compat-stunnel` streams with facilities whose stunnel SciStream 1.x has configured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from applications import application, connect, digest, payload, receive_all, sends
from conftest import Pair
from deployed_peer import Peer, new_uid
from facility import BIN, LIMIT, Client, Command, Facility, clean_environment, free_port, run

# As their data server writes it, but for the paths of its logs.
DEPLOYED = """
foreground = yes
pid =
[{uid}]
client = {client}
accept = {accept}
connect = {target}
PSKsecrets = {secrets}
sslVersion = TLSv1.2
securityLevel = 0
ciphers = PSK-NULL-SHA256:@SECLEVEL=0
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    with (
        Facility(folder, "--compat-stunnel", ports=16) as prod,
        Facility(folder, "--compat-stunnel", ports=16) as cons,
    ):
        yield Pair(prod, cons, Client(folder, prod, cons))


@contextmanager
def deployed_stunnel(folder: Path, uid: str, target: str, *, client: bool) -> Iterator[str]:
    """Where it listens."""
    secrets = folder / "secrets"
    secrets.write_text(f"client1:{uid.replace('-', '')}\n")
    secrets.chmod(0o600)
    accept = f"127.0.0.1:{free_port()}"
    words = {"client": "yes" if client else "no", "accept": accept, "target": target}
    configuration = folder / "stunnel.conf"
    configuration.write_text(DEPLOYED.format(uid=uid, secrets=secrets, **words))
    with Command("stunnel", configuration) as stunnel:
        stunnel.line("Configuration successful", "err")
        yield accept


def fetched(endpoint: str) -> str:
    with connect(endpoint) as connection:
        try:
            return digest(receive_all(connection))
        except ConnectionResetError:
            return "nothing"


# Protocol: compat-stunnel
def test_a_deployed_consumer_streams_from_our_producer(pair: Pair, tmp_path: Path) -> None:
    data = payload(5_000_000)
    uid = new_uid()
    with (
        ExitStack() as stack,
        application(sends(data)) as app,
        Peer(pair.prod.endpoint, pair.prod.certificate) as user,
    ):
        request = user.req(uid, "PROD")
        user.hello(uid, "PROD", [app.endpoint])
        (listener,) = request.result(LIMIT).listeners
        user.update(uid, [app.endpoint], "PROD")
        place = stack.enter_context(deployed_stunnel(tmp_path, uid, listener, client=True))
        assert fetched(place) == digest(data)
        # Who does not know the id is not let in.
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        other = stack.enter_context(deployed_stunnel(stranger, new_uid(), listener, client=True))
        assert fetched(other) in ("nothing", digest(b""))
        user.release(uid)


# Protocol: compat-stunnel
def test_our_consumer_streams_from_a_deployed_producer(pair: Pair, tmp_path: Path) -> None:
    data = payload(5_000_000)
    uid = new_uid()
    with (
        ExitStack() as stack,
        application(sends(data)) as app,
        Peer(pair.cons.endpoint, pair.cons.certificate) as user,
    ):
        place = stack.enter_context(deployed_stunnel(tmp_path, uid, app.endpoint, client=False))
        request = user.req(uid, "CONS")
        user.hello(uid, "CONS")
        (listener,) = request.result(LIMIT).listeners
        user.update(uid, [place], "CONS")
        assert fetched(listener) == digest(data)
        user.release(uid)


# Protocol: compat-stunnel
def test_it_is_said_that_nothing_is_encrypted(pair: Pair) -> None:
    assert "NOT ENCRYPTED: --compat-stunnel" in pair.prod.logs()
    refused = pair.user.s2uc("request", *pair.user.places, "--prod-app", "127.0.0.1:7000")
    assert refused.rc == 10, refused.err
    assert "--transport tcp" in refused.err
    with (
        application(sends(b"image")) as app,
        pair.user.session("--prod-app", app.endpoint, "--transport", "tcp") as document,
    ):
        assert fetched(document["listeners"][0]) == digest(b"image")
        (prod, cons) = pair.user.sessions(document["uid"])
        assert prod["protection"] == cons["protection"] == "none"


def test_an_id_that_is_too_short_for_a_key_is_refused(pair: Pair) -> None:
    with Peer(pair.prod.endpoint, pair.prod.certificate) as user:
        request = user.req("1234", "PROD")
        user.hello("1234", "PROD", ["127.0.0.1:7000"])
        request.result(LIMIT)
        with pytest.raises(Exception, match="16 letters or digits"):
            user.update("1234", ["127.0.0.1:7000"], "PROD")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--require-encryption",), "encrypts nothing"),
        (("--type", "Native"), "--compat-stunnel is for --type StunnelSubprocess"),
    ],
)
def test_what_does_not_go_with_it_is_refused(
    tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    environment = clean_environment(tmp_path)
    done = run(BIN / "s2cs", "--compat-stunnel", *flags, "--port", 0, env=environment, limit=LIMIT)
    assert done.rc == 2, done.err
    assert said in done.err
