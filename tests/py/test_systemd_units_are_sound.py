"""The units of deploy/systemd: systemd takes them, they confine, and what they start is there."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from applications import Application, echo
from authorities import Authority
from facility import (
    BIN,
    Client,
    Command,
    clean_environment,
    free_range,
    own_address,
    run,
)
from units import (
    Settings,
    command_of,
    environment_of,
    read_environment,
    read_unit,
    with_every_setting,
)

PROGRAMS = {"s2cs": ["s2cs"], "s2ds": ["s2ds", "serve"]}
# Of systemd-analyze security, in tenths: what is left is what gateways are for, the network.
MOST_EXPOSURE = 20


@pytest.fixture
def deployed(root: Path) -> Path:
    return root / "deploy/systemd"


@pytest.fixture
def folders() -> Iterator[dict[str, Path]]:
    """What systemd makes for the units, by specifier: state, runtime and credentials."""
    # Its name is short: a socket's path has 107 bytes.
    with tempfile.TemporaryDirectory(prefix="units-") as folder:
        places = {name: Path(folder) / name for name in ("S", "t", "d")}
        for place in places.values():
            (place / "scistream").mkdir(parents=True)
        yield places


def unit(deployed: Path, program: str, *drop_ins: str) -> dict[str, Settings]:
    return read_unit(
        deployed / f"scistream-{program}.service",
        *(deployed / "drop-ins" / name for name in drop_ins),
    )


def drop_ins(deployed: Path, program: str) -> list[Path]:
    return sorted((deployed / "drop-ins").glob(f"{program}-*.conf"))


def analyzed(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, words)], capture_output=True, text=True, check=False
    )


def complaints(folder: Path, deployed: Path, program: str, extra: str = "") -> list[str]:
    """What `systemd-analyze verify` says of a unit with all its drop-ins, and of no other's."""
    name = f"scistream-{program}.service"
    (folder / f"{name}.d").mkdir()
    # The commands exist where they were built.
    text = (deployed / name).read_text().replace("/usr/bin/", f"{BIN}/")
    (folder / name).write_text(text.replace("[Service]\n", f"[Service]\n{extra}"))
    for drop_in in drop_ins(deployed, program):
        shutil.copy(drop_in, folder / f"{name}.d")
    done = analyzed("verify", "--man=no", folder / name)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "scistream" in line]
    assert said or done.returncode == 0, done.stderr
    return said


@pytest.mark.parametrize("program", PROGRAMS)
def test_systemd_takes_the_unit(deployed: Path, tmp_path: Path, program: str) -> None:
    assert complaints(tmp_path, deployed, program) == []


@pytest.mark.parametrize("fault", ["NoSuchSetting=yes\n", "RestartSec=soon\n"])
def test_a_fault_in_a_unit_is_found(deployed: Path, tmp_path: Path, fault: str) -> None:
    assert complaints(tmp_path, deployed, "s2cs", fault) != []


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_unit_confines(deployed: Path, program: str) -> None:
    done = analyzed(
        *("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", "--no-pager"),
        deployed / f"scistream-{program}.service",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_are_one_user_and_confined_alike(deployed: Path) -> None:
    """They share a socket; and s2cs may start the data server itself."""
    of_their_own = {
        *("Environment", "EnvironmentFile", "ExecStart", "ExecReload", "KillMode"),
        "TimeoutStopSec",
        *("RestartSec", "WatchdogSec", "OOMScoreAdjust", "PrivateUsers"),
        *("StateDirectory", "StateDirectoryMode", "RuntimeDirectory", "RuntimeDirectoryMode"),
    }
    control, data = (unit(deployed, program)["Service"] for program in PROGRAMS)
    assert {key for key in control.keys() | data.keys() if control.get(key) != data.get(key)} <= (
        of_their_own
    )
    assert control["User"] == ["scistream"]
    assert control["DynamicUser"] == ["yes"]


def test_a_restart_keeps_what_the_programs_keep(deployed: Path) -> None:
    """Told to end they end their sessions; killed they do not."""
    for program in PROGRAMS:
        service = unit(deployed, program)["Service"]
        assert (service["KillSignal"], service["RestartKillSignal"]) == (["SIGTERM"], ["SIGKILL"])
    assert unit(deployed, "s2cs")["Service"]["KillMode"] == ["process"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_errors_that_come_again_stop_the_restarts(deployed: Path, root: Path, program: str) -> None:
    (codes,) = unit(deployed, program)["Service"]["RestartPreventExitStatus"]
    documented = re.findall(r"^\| (\d+) \|", (root / "docs/exit-codes.md").read_text(), re.M)
    assert set(codes.split()) <= set(documented)
    assert "5" not in codes.split(), "a data server that is not there yet may come"


def variables(program: str) -> set[str]:
    """The environment variables that a program's help names."""
    done = run(BIN / PROGRAMS[program][0], *PROGRAMS[program][1:], "--help")
    general = run(BIN / PROGRAMS[program][0], "--help")
    return set(re.findall(r"\(Env:(\w+)\)", done.out + general.out))


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_variable_is_one_of_the_program(deployed: Path, program: str) -> None:
    shipped = (deployed / f"{program}.env").read_text()
    named = set(read_environment(with_every_setting(shipped)))
    for file in (deployed / f"scistream-{program}.service", *drop_ins(deployed, program)):
        named |= set(re.findall(r"^Environment=(\w+)=", file.read_text(), re.M))
        named |= set(re.findall(r"SCISTREAM_[A-Z_]+", file.read_text())) - {"SCISTREAM_NAME"}
    assert named - variables(program) == set()


@pytest.mark.parametrize("program", PROGRAMS)
def test_as_shipped_the_environment_file_changes_nothing(deployed: Path, program: str) -> None:
    assert read_environment((deployed / f"{program}.env").read_text()) == {}


# ---- as the units start them -------------------------------------------------------------------


def started(
    service: dict[str, Settings], folders: dict[str, Path], settings: Mapping[str, str]
) -> Command:
    """A program with the command and the environment of its unit."""
    environment = {**environment_of(service, folders), **settings}
    return Command(
        *command_of(service, BIN, folders),
        cwd=Path("/"),
        env=clean_environment(folders["S"], environment),
    )


def ended(command: Command) -> None:
    command.signal(signal.SIGTERM)
    assert command.wait() == 0, command.err


def in_force(file: Path, changes: Mapping[str, str]) -> dict[str, str]:
    """Every setting of an environment file, on loopback."""
    return {**read_environment(with_every_setting(file.read_text())), **changes}


def places(ports: int = 8) -> dict[str, str]:
    host = own_address()
    leased = free_range(host, ports)
    return {
        "SCISTREAM_LISTENER_IP": host,
        "SCISTREAM_PORT": "0",
        "SCISTREAM_PORT_RANGE": f"{leased[0]}-{leased[-1]}",
    }


def streams(folder: Path, control: Command, certificate: Path, app: Application) -> None:
    """A whole session through one control server."""
    endpoint = control.line(r"^s2cs ready on (\S+)$")[1]
    user = Client(folder)
    user.trust(certificate)
    user.places = ["--prod", endpoint, "--cons", endpoint]
    with user.session("--prod-app", app.endpoint) as document:
        assert echo(document["listeners"][0]) == b"ping"


def test_the_two_units_of_one_machine_stream(
    deployed: Path, folders: dict[str, Path], tmp_path: Path, echo_app: Application
) -> None:
    with started(unit(deployed, "s2ds"), folders, {}) as data:
        data.line("^s2ds ready on unix:")
        with started(unit(deployed, "s2cs"), folders, places()) as control:
            certificate = folders["S"] / "scistream/s2cs/server.crt"
            streams(tmp_path, control, certificate, echo_app)
            ended(control)
        assert data.process.poll() is None, "the unit's data server is not the control server's"
        ended(data)


def test_every_setting_of_the_control_server_can_be_in_force(
    deployed: Path, folders: dict[str, Path], tmp_path: Path
) -> None:
    """Also its last line, by which s2cs starts its data server itself."""
    own = places()
    host = own["SCISTREAM_LISTENER_IP"]
    lan = {"SCISTREAM_WAN_IP": host, "SCISTREAM_LAN_IP": host}
    policy = tmp_path / "policy.toml"
    policy.write_text("[[rule]]\nadminister = true\n")
    users = {
        "SCISTREAM_CLIENT_ID": "gateway",
        "SCISTREAM_CLIENT_SECRET": "secret",
        "SCISTREAM_CLIENT_CA": str(Authority(tmp_path / "authority").file),
        "SCISTREAM_POLICY": str(policy),
    }
    settings = in_force(deployed / "s2cs.env", {**own, **lan, **users})
    # It is for a server that knows no users.
    assert settings.pop("SCISTREAM_INSECURE_NO_AUTH") == "True"
    with started(unit(deployed, "s2cs"), folders, settings) as control:
        control.line(rf"^s2cs ready on {re.escape(settings['SCISTREAM_ADVERTISE'])}:\d+$")
        control.line("data server started", "err")
        assert "list of processes" not in control.err
        ended(control)


def test_the_control_server_reads_its_policy_again(
    deployed: Path, folders: dict[str, Path]
) -> None:
    """`systemctl reload`."""
    assert unit(deployed, "s2cs")["Service"]["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    settings = {**places(), "SCISTREAM_DATA_SERVER": ""}
    with started(unit(deployed, "s2cs"), folders, settings) as control:
        control.line("^s2cs ready on")
        control.signal(1)
        control.line("reloaded", "err")
        ended(control)


def put_credentials(
    service: dict[str, Settings], folders: dict[str, Path], sources: Mapping[str, Path]
) -> None:
    """Copies what LoadCredential= names to where the service finds it."""
    for line in service["Service"]["LoadCredential"]:
        name, source = line.split(":")
        assert source.startswith("/etc/scistream/")
        shutil.copy(sources[Path(source).name], folders["d"] / name)


def test_units_of_two_nodes_and_an_authority_stream(
    deployed: Path, folders: dict[str, Path], tmp_path: Path, echo_app: Application
) -> None:
    authority = Authority(tmp_path / "authority")
    files = {"data-server-ca.crt": authority.file}
    for name in ("data-server", "data-server-client", "server"):
        files[f"{name}.crt"], files[f"{name}.key"] = authority.issue(name)
    service = unit(deployed, "s2ds", "s2ds-elsewhere.conf")
    put_credentials(service, folders, files)
    settings = in_force(
        deployed / "s2ds.env", {"SCISTREAM_LISTEN": "127.0.0.1:0", "SCISTREAM_TYPE": "Native"}
    )
    with started(service, folders, settings) as data:
        address = data.line(r"^s2ds ready on (127\.0\.0\.1:\d+)$")[1]
        service = unit(deployed, "s2cs", "s2cs-certificate.conf", "s2cs-data-server-elsewhere.conf")
        put_credentials(service, folders, files)
        there = {"SCISTREAM_DATA_SERVER": address, "SCISTREAM_LISTENER_IP": "127.0.0.1"}
        with started(service, folders, {**places(), **there}) as control:
            streams(tmp_path, control, authority.file, echo_app)
            ended(control)
        ended(data)
