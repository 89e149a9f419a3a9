"""The flags of `s2cs`: both spellings, the environment, and what it refuses."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from applications import Application, echo
from facility import (
    BIN,
    Client,
    Command,
    Facility,
    clean_environment,
    data_servers,
    free_port,
    free_range,
    listening_ports,
    own_address,
    run,
    split,
)


def s2cs(folder: Path, *flags: object, **env: str) -> Command:
    return Command(BIN / "s2cs", *flags, cwd=folder, env=clean_environment(folder, {**env}))


def refused(folder: Path, *flags: object, **env: str) -> tuple[int, str]:
    """Exit code and message of an `s2cs` that must not start."""
    done = run(BIN / "s2cs", *flags, cwd=folder, env=clean_environment(folder, {**env}))
    assert done.out == ""
    assert done.rc != 0
    return done.rc, done.err


def finish(command: Command) -> None:
    command.signal(15)
    assert command.wait() == 0


def info(folder: Path, endpoint: str, certificate: Path | None) -> dict[str, object]:
    user = Client(folder)
    if certificate:
        user.trust(certificate)
    done = user.s2uc(
        "info", "--json", "--s2cs", endpoint, *([] if certificate else ["--ssl=False"])
    )
    assert done.rc == 0, done.err
    return done.json


def spelled(style: str, host: str, state: Path, ports: range) -> list[str]:
    """Every option once, in one of the ways in which users write them."""
    options = {
        "listener-ip": host,
        "port": "0",
        "type": "nATIVE",
        "port-range": f"{ports[0]}-{ports[-1]}",
        "advertise": host,
        "wan-ip": host,
        "lan-ip": host,
        "timeout": "90s",
        "capacity": "5000",
        "max-session": "1h",
        "idle-limit": "2h",
        "state-dir": str(state),
        "orphan-grace": "3s",
        "drain": "1s",
        "ssl": "True",
    }
    words = []
    for name, value in options.items():
        flag = "--" + (name.replace("-", "_") if "underscore" in style else name)
        words += [f"{flag}={value}"] if "equals" in style else [flag, value]
    return words


# Protocol: spellings, option-values, s2cs-options, type, listener-ip, orphan-grace-passed
@pytest.mark.parametrize(
    "style", ["dash space", "dash equals", "underscore space", "underscore equals"]
)
def test_every_option_in_every_spelling(tmp_path: Path, style: str) -> None:
    host, state = own_address(), tmp_path / "state"
    ports = free_range(host, 5)
    with s2cs(tmp_path, *spelled(style, host, state, ports), "--v") as server:
        endpoint = server.line(r"^s2cs ready on (\S+)$")[1]
        assert split(endpoint)[0] == host
        facts = info(tmp_path, endpoint, state / "server.crt")
        assert facts["ports_total"] == 5
        assert facts["capacity_mbps"] == 5000
        assert facts["data_server_kinds"] == ["Native"]
        words = Path(f"/proc/{data_servers(state)[0]}/cmdline").read_text().split("\0")
        assert words[words.index("--orphan-grace") + 1] == "3"
        finish(server)


# Protocol: s2cs-options, type
def test_the_short_flags(tmp_path: Path) -> None:
    with s2cs(tmp_path, "-t", "native", "-v", "--port", 0) as server:
        assert split(server.line(r"^s2cs ready on (\S+)$")[1])[0] == "127.0.0.1"
        finish(server)


# Protocol: s2cs-defaults, no-hello, lifetime-max-session, plaintext-by-name, orphan-grace-passed
def test_the_defaults_are_those_of_deployed_servers(tmp_path: Path) -> None:
    text = run(BIN / "s2cs", "--help", env=clean_environment(tmp_path)).out
    options = re.split(r"\n  (?=-)", text)
    for flag, value in (
        ("--listener-ip", "=0.0.0.0"),
        ("--port", "=5000"),
        ("--port-range", "=5100-5200"),
        ("--type", "=Native"),
        ("--ssl", "=True"),
        ("--capacity", "=0"),
        ("--timeout", "[180s]"),
        ("--max-session", "[no limit]"),
        ("--idle-limit", "[24h]"),
        ("--orphan-grace", "[60s]"),
        ("--drain", "[30s]"),
    ):
        (option,) = [each for each in options if re.match(rf"(-t,)?{flag} ", each)]
        assert value in option, option


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    host, state = own_address(), tmp_path / "state"
    ports = free_range(host, 5)
    env = {
        "SCISTREAM_" + word[2:].split("=")[0].upper(): word.split("=", 1)[1]
        for word in spelled("underscore equals", host, state, ports)
    }
    with s2cs(tmp_path, **env) as server:
        endpoint = server.line(r"^s2cs ready on (\S+)$")[1]
        facts = info(tmp_path, endpoint, state / "server.crt")
        assert (facts["ports_total"], facts["capacity_mbps"]) == (5, 5000)
        finish(server)


def test_a_flag_beats_the_environment(tmp_path: Path) -> None:
    host, state = own_address(), tmp_path / "state"
    with s2cs(
        tmp_path,
        *("--listener_ip", host, "--port=0", "--capacity", 7, "--state-dir", state, "--ssl=True"),
        SCISTREAM_LISTENER_IP="127.0.0.1",
        SCISTREAM_PORT="no number",
        SCISTREAM_CAPACITY="5",
        SCISTREAM_STATE_DIR=str(tmp_path / "other"),
        SCISTREAM_SSL="False",
    ) as server:
        endpoint = server.line(r"^s2cs ready on (\S+)$")[1]
        assert split(endpoint)[0] == host
        assert info(tmp_path, endpoint, state / "server.crt")["capacity_mbps"] == 7
        assert not (tmp_path / "other").exists()
        finish(server)


def test_a_client_flag_beats_its_environment(tmp_path: Path) -> None:
    with Facility(tmp_path, tls=False) as facility:
        user = Client(tmp_path, facility)
        given = tmp_path / "given"
        flags = ["--prod", facility.endpoint, "--cons", facility.endpoint, "--state-dir", given]
        done = user.s2uc(
            *("request", "--json", *flags, "--prod_app", "127.0.0.1:9", "--ssl=False"),
            env={"SCISTREAM_SSL": "True"},
        )
        assert done.rc == 0, done.err
        assert Path(done.json["prod_key_file"]).is_relative_to(given)
        assert not user.state.exists()
        assert user.s2uc("release", done.json["uid"], "--state_dir", given).rc == 0


# Protocol: type
def test_an_unknown_type_lists_the_known_ones(tmp_path: Path) -> None:
    rc, err = refused(tmp_path, "--port", 0, "--type", "Telepathy")
    assert rc == 2
    assert "Telepathy" in err
    assert "known: Native" in err


# Protocol: client-id-alone, certificate-given
@pytest.mark.parametrize(
    "flags",
    [
        ["--no-such-flag"],
        ["--port", "65536"],
        ["--port", "http"],
        ["--port-range", "5200-5100"],
        ["--port-range", "0-10"],
        ["--port-range", "some"],
        ["--capacity", "-1"],
        ["--timeout", "0"],
        ["--timeout", "soon"],
        ["--drain", "-3"],
        ["--ssl=Maybe"],
        ["--advertise", "gateway:0"],
        ["--advertise", "gateway:65530"],
        ["--advertise", "bad host"],
        ["--advertise", "http://gateway:5100"],
        ["--insecure-no-auth", "--listener_ip", "300.1.1.1"],
        ["--insecure-no-auth", "--listener_ip", "nosuch.invalid"],
        ["--listener_ip", "bad host"],
        ["--listener_ip", "nosuch.invalid"],
        ["--server_crt", "only.crt"],
        ["--client_id", "abc"],
        ["--client_secret", "abc"],
        ["--client_id", "abc", "--client_secret", "x", "--client-secret-file", "/etc/hostname"],
        ["--client_id", "abc", "--client_secret", "x", "--introspection-url", "ftp://x"],
        ["--client_id", "abc", "--client_secret", "x", "--insecure-no-auth"],
        ["--issuer", "https://login.example.org"],
        ["--issuer", "nonsense", "--audience", "me"],
        ["--issuer", "http://login.example.org", "--audience", "me"],
        [
            *["--client_id", "abc", "--client_secret", "x"],
            *["--introspection-url", "http://192.0.2.9/x"],
        ],
        ["--policy", "/etc/hostname"],
        ["--client-ca", "/etc/hostname", "--ssl=False"],
        ["--max-sessions-per-user", "0"],
        ["--allow-target", "10.0.0.0/33"],
        ["--allow-peer", "gateway.example.org"],
    ],
    ids=" ".join,
)
def test_bad_settings_are_usage_errors(tmp_path: Path, flags: list[str]) -> None:
    rc, err = refused(tmp_path, "--state-dir", tmp_path / "state", *flags)
    assert rc == 2, err
    assert err.startswith("s2cs: ") or "\ns2cs: " in err


@pytest.mark.parametrize(
    "flags",
    [
        ["--client_id", "abc", "--client-secret-file"],
        ["--client_id", "abc", "--client_secret", "x", "--identity-ca"],
        ["--client-ca"],
        ["--client_id", "abc", "--client_secret", "x", "--policy"],
    ],
    ids=" ".join,
)
def test_a_file_that_is_not_there_is_named(tmp_path: Path, flags: list[str]) -> None:
    state = tmp_path / "state"
    rc, err = refused(tmp_path, "--state-dir", state, *flags, "/nowhere/at/all")
    assert rc == 7, err
    assert "'/nowhere/at/all'" in err


def test_a_secret_in_the_command_line_is_warned_of(tmp_path: Path) -> None:
    users = ["--client_id", "abc", "--client_secret", "s3cret"]
    with Facility(tmp_path, *users) as facility:
        assert "--client-secret-file" in facility.command.err
        assert "s3cret" not in facility.command.err
    with Facility(tmp_path, "--client_id", "abc", env={"SCISTREAM_CLIENT_SECRET": "x"}) as facility:
        assert "--client-secret-file" not in facility.command.err


# Protocol: port-not-shared
def test_a_port_in_use_is_9_and_leaves_nothing(tmp_path: Path) -> None:
    host, state = own_address(), tmp_path / "state"
    with socket.create_server((host, 0)) as holder:
        port = holder.getsockname()[1]
        rc, err = refused(tmp_path, "--listener_ip", host, "--port", port, "--state-dir", state)
    assert rc == 9, err
    assert f"{host}:{port}" in err
    assert "in use" in err
    assert "data server" not in err, "it is found out before anything is started"
    assert not state.exists()
    assert listening_ports(host) == set()


# Protocol: port-not-shared
def test_a_second_server_on_one_port_is_refused(tmp_path: Path) -> None:
    """gRPC would share the port without a word, and half of the calls would go astray."""
    with Facility(tmp_path) as first:
        rc, err = refused(
            tmp_path,
            *("--listener_ip", first.host, "--port", first.port),
            *("--state-dir", tmp_path / "second"),
        )
        assert rc == 9, err
        assert data_servers(tmp_path / "second") == []


# Protocol: state-folder-locked
def test_a_second_server_on_one_state_folder_names_the_first(tmp_path: Path) -> None:
    with Facility(tmp_path) as first:
        rc, err = refused(tmp_path, "--port", 0, "--state-dir", first.state)
        assert rc == 9, err
        assert str(first.command.pid) in err
        assert str(first.state) in err
        assert first.command.process.poll() is None
        assert len(data_servers(first.state)) == 1


# Protocol: own-machine
def test_other_machines_are_not_served_without_saying_so(tmp_path: Path) -> None:
    rc, err = refused(tmp_path, "--listener_ip", "192.0.2.10", "--port", 0)
    assert rc == 4, err
    assert "192.0.2.10" in err
    assert "--insecure-no-auth" in err


# Protocol: own-machine
def test_every_address_means_this_machine_without_saying_so(tmp_path: Path) -> None:
    with s2cs(tmp_path, "--listener_ip", "0.0.0.0", "--port", 0) as server:
        host, port = split(server.line(r"^s2cs ready on (\S+)$")[1])
        assert host == "127.0.0.1"
        assert port in listening_ports("127.0.0.1")
        assert port not in listening_ports("0.0.0.0")
        assert "--insecure-no-auth" in server.err
        finish(server)


# Protocol: plaintext-by-name
def test_plaintext_is_said_loudly_and_works(tmp_path: Path, echo_app: Application) -> None:
    with Facility(tmp_path, tls=False) as prod, Facility(tmp_path, tls=False) as cons:
        assert "PLAINTEXT" in prod.command.err
        user = Client(tmp_path, prod, cons)
        done = user.s2uc("request", *user.places, "--json", "--prod-app", echo_app.endpoint)
        assert done.rc == 0, done.err
        assert "PLAINTEXT" in done.err
        assert echo(done.json["listeners"][0]) == b"ping"
        user.release(done.json["uid"])
        assert not prod.certificate.exists()


def subject_alternative_names(certificate: Path) -> str:
    return subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", "-ext", "subjectAltName"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


# Protocol: certificate-own, certificate-names
def test_its_own_certificate_carries_its_names_and_is_kept(tmp_path: Path) -> None:
    with Facility(tmp_path, "--advertise", "gateway.example.org") as facility:
        names = subject_alternative_names(facility.certificate)
        for name in ("DNS:gateway.example.org", "DNS:localhost", "IP Address:127.0.0.1"):
            assert name in names
        assert f"IP Address:{facility.host}" in names
        assert oct(facility.state.stat().st_mode & 0o777) == "0o700"
        key = facility.state / "server.key"
        assert oct(key.stat().st_mode & 0o777) == "0o600"
        printed = re.search(r"fingerprint: (([0-9A-F]{2}:){31}[0-9A-F]{2})", facility.command.err)
        assert printed
        shown = subprocess.run(
            ["openssl", "x509", "-in", facility.certificate, "-noout", "-fingerprint", "-sha256"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert printed[1] in shown
        before = facility.certificate.read_bytes(), key.read_bytes()
        facility.stop()
        facility.restart()
        assert (facility.certificate.read_bytes(), key.read_bytes()) == before


def make_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    crt, key = folder / "given.crt", folder / "given.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=facility", "-keyout", key, "-out", crt),
            *("-addext", f"subjectAltName=IP:{host}"),
        ],
        capture_output=True,
        check=True,
    )
    return crt, key


# Protocol: certificate-given
def test_a_given_certificate_is_used(tmp_path: Path) -> None:
    host = own_address()
    crt, key = make_certificate(tmp_path, host)
    with Facility(tmp_path, "--server_crt", crt, "--server_key", key, host=host) as facility:
        assert info(tmp_path, facility.endpoint, crt)["sessions"] == 0
        assert not facility.certificate.exists(), "it makes none of its own"


# Protocol: certificate-working-folder
def test_a_certificate_in_the_working_folder_is_used(tmp_path: Path) -> None:
    host = own_address()
    crt, key = make_certificate(tmp_path, host)
    crt.rename(tmp_path / "server.crt")
    key.rename(tmp_path / "server.key")
    flags = ["--listener_ip", host, "--port", 0, "--state-dir", tmp_path / "state"]
    with s2cs(tmp_path, *flags) as server:
        endpoint = server.line(r"^s2cs ready on (\S+)$")[1]
        assert info(tmp_path, endpoint, tmp_path / "server.crt")["sessions"] == 0
        finish(server)


# Protocol: certificate-unfit
def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    host = own_address()
    crt, _ = make_certificate(tmp_path, host)
    (tmp_path / "other").mkdir()
    _, key = make_certificate(tmp_path / "other", host)
    rc, err = refused(tmp_path, "--port", 0, "--server_crt", crt, "--server_key", key)
    assert rc == 2, err
    assert "given.crt" in err


# Protocol: advertise
def test_the_advertised_address_is_announced(tmp_path: Path, echo_app: Application) -> None:
    """As behind a NodePort: listeners are bound here and announced as they are seen outside."""
    with (
        Facility(tmp_path, ports=3) as prod,
        Facility(tmp_path, "--advertise", "gateway.example.org:30100", ports=3) as cons,
    ):
        assert cons.endpoint.startswith("gateway.example.org:")
        user = Client(tmp_path, prod, cons)
        places = ["--prod", prod.endpoint, "--cons", f"{cons.host}:{cons.port}"]
        done = user.s2uc(
            *("request", "--json", *places, "--prod-app", echo_app.endpoint, "--num-conn", "3")
        )
        assert done.rc == 0, done.err
        assert sorted(done.json["listeners"]) == [
            f"gateway.example.org:{30100 + number}" for number in range(3)
        ]
        outside = split(done.json["listeners"][1])[1] - 30100
        inside = f"{cons.host}:{cons.ports[0] + outside}"
        assert echo(inside) == b"ping"
        assert user.s2uc("release", done.json["uid"], *places).rc == 0


# Protocol: two-networks
def test_two_networks_have_an_address_each(tmp_path: Path, echo_app: Application) -> None:
    wan, lan = own_address(), own_address()
    with Facility(tmp_path, "--wan_ip", wan, "--lan_ip", lan, ports=8) as facility:
        user = Client(tmp_path, facility, facility)
        with user.session("--prod-app", echo_app.endpoint) as document:
            assert split(document["prod_listeners"][0])[0] == wan
            assert split(document["listeners"][0])[0] == lan
            assert echo(document["listeners"][0]) == b"ping"


# Protocol: state-folder-default
def test_one_state_folder_an_address_and_port_by_default(tmp_path: Path) -> None:
    host = own_address()
    port = free_port(host)
    home = tmp_path / "home"
    home.mkdir()
    env = clean_environment(home)
    with Command(
        BIN / "s2cs", "--listener_ip", host, "--port", port, cwd=tmp_path, env=env
    ) as server:
        server.line("^s2cs ready on")
        (certificate,) = (home / ".local/state/scistream").glob("*/server.crt")
        assert str(port) in certificate.parent.name
        assert host in certificate.parent.name
        finish(server)


def test_without_a_port_the_state_folder_goes_with_the_server(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with s2cs(tmp_path, "--port", 0, TMPDIR=str(temporary)) as server:
        server.line("^s2cs ready on")
        assert len(list(temporary.iterdir())) == 1
        finish(server)
    assert list(temporary.iterdir()) == []


def test_a_service_manager_is_told(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(os.fspath(path))
        manager.settimeout(15)
        with s2cs(tmp_path, "--port", 0, NOTIFY_SOCKET=str(path)) as server:
            assert manager.recv(100) == b"READY=1"
            finish(server)
            # What it says of its sessions may come before.
            while not (said := manager.recv(1000)).startswith(b"STOPPING=1"):
                assert said.startswith(b"STATUS="), said
