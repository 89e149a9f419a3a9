"""The blocks of docs/operations.md do what they say: what they install is there, then gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from authorities import Authority
from conftest import Pair
from facility import BIN, Facility, clean_environment, own_address, run
from guides import ROOT, of_language

# What the system does, and no test may: they write down what they are asked.
SYSTEM = ("apt-get", "systemctl", "journalctl", "python3")
PLACES = ("etc", "var", "opt", "usr", "run")


def block(start: str) -> str:
    (found,) = (text for text in of_language("operations", "") if text.startswith(start))
    return found


class Machine:
    """A folder that stands for a gateway's file system."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "machine"
        self.asked = folder / "asked"
        programs = folder / "programs"
        for path in (programs, self.root / "usr/bin", self.root / "etc"):
            path.mkdir(parents=True)
        for name in SYSTEM:
            self.program(programs / name, f'echo {name} "$@" >>"{self.asked}"')
        self.env = clean_environment(folder)
        self.env["PATH"] = f"{programs}:{self.env['PATH']}"

    @staticmethod
    def program(path: Path, script: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def here(self, text: str) -> str:
        """Every path of the machine below its folder, so that nothing else can be touched."""
        text = re.sub(rf"(?<![\w./])/(?={'|'.join(PLACES)}/|(?:{'|'.join(PLACES)})\b)", "@", text)
        assert not re.search(r"(?<![\w.@/])/\w", text), text
        return text.replace("@", f"{self.root}/")

    def run(self, text: str) -> None:
        done = run("bash", "-euc", self.here(text), cwd=ROOT, env=self.env)
        assert done.rc == 0, done.err

    def files(self) -> set[str]:
        found = (path for path in self.root.rglob("*") if path.is_symlink() or path.is_file())
        return {str(path.relative_to(self.root)) for path in found}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_is_installed_can_be_uninstalled(machine: Machine) -> None:
    pip = machine.root / "opt/scistream/bin/pip"
    machine.program(pip, f'ln -s "{BIN}"/s2* "{BIN}/appctrl" "{pip.parent}"')
    units = ("scistream-s2cs.service", "scistream-s2ds.service")
    for start in ("apt-get install", "install -D -m 644 -t"):
        machine.run(block(start))
    for name in ("s2cs", "s2ds", "s2uc", "appctrl"):
        done = run(machine.root / "usr/bin" / name, "--version")
        assert done.rc == 0, done.err
    wanted = {f"etc/systemd/system/{name}" for name in units}
    wanted |= {"etc/scistream/s2cs.env", "etc/scistream/s2ds.env"}
    assert wanted <= machine.files()
    drop_ins = [text for text in of_language("operations", "") if "drop-ins" in text]
    assert len(drop_ins) == 3
    for text in drop_ins:
        before = machine.files()
        machine.run(text)
        (added,) = machine.files() - before
        assert re.fullmatch(r"etc/systemd/system/scistream-s2..\.service\.d/[\w-]+\.conf", added)
    (machine.root / "var/lib/private/scistream").mkdir(parents=True)
    machine.run(block("systemctl disable"))
    assert machine.files() == set()
    asked = machine.asked.read_text()
    for name in set(re.findall(r"scistream-s2\w+", asked)):
        assert f"{name}.service" in units


def test_the_facility_answers(pair: Pair) -> None:
    status, info = block("systemctl status").splitlines()
    assert set(status.split()[2:]) == {"scistream-s2cs", "scistream-s2ds"}
    known = {
        "127.0.0.1:5000": pair.prod.endpoint,
        "/var/lib/scistream/s2cs/server.crt": str(pair.prod.certificate),
    }
    for name, word in known.items():
        assert name in info
        info = info.replace(name, word)
    done = run("bash", "-c", info, env=clean_environment(pair.user.folder))
    assert done.rc == 0, done.err
    assert pair.prod.endpoint in done.out


def test_the_settings_are_enough(tmp_path: Path) -> None:
    """For a facility that serves others: of an address that is no loopback one it is refused."""
    authority = Authority(tmp_path / "authority")
    settings = dict(line.split("=") for line in block("SCISTREAM_LISTENER_IP").splitlines())
    assert settings.pop("SCISTREAM_LISTENER_IP") == "192.0.2.10"
    assert settings == {"SCISTREAM_CLIENT_CA": "/etc/scistream/users-ca.crt"}
    env = {"SCISTREAM_CLIENT_CA": str(authority.file)}
    with Facility(tmp_path, env=env, host=own_address()) as facility:
        done = run(
            *(BIN / "s2uc", "info", "--s2cs", facility.endpoint),
            *("--server_cert", facility.certificate),
            env=clean_environment(tmp_path),
        )
    assert done.rc == 3, "nobody is known without a certificate"


def test_the_doctor_looks(tmp_path: Path) -> None:
    done = run("bash", "-c", block("s2ds doctor"), env=clean_environment(tmp_path))
    assert done.rc == 0, done.err
    assert done.out


def test_the_journal_has_these_units() -> None:
    units = {path.stem for path in (ROOT / "deploy/systemd").glob("*.service")}
    for line in block("journalctl").splitlines():
        assert set(re.findall(r"-u (\S+)", line)) == units
