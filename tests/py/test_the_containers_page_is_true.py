"""What docs/containers.md types agrees with the image and the programs, without an engine.

Where there is one, test_facilities_run_in_containers.py starts facilities with the same flags.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from conftest import Pair
from facility import BIN, Facility, clean_environment, own_address, run
from guides import ROOT, of_language, page

IMAGE = (ROOT / "deploy/docker/Dockerfile").read_text()
(STATE,) = re.findall(r"^ENV SCISTREAM_STATE_DIR=(\S+)$", IMAGE, re.M)


def block(start: str) -> str:
    (found,) = (text for text in of_language("containers", "sh") if text.startswith(start))
    return found.replace("\\\n", " ")


def test_the_facility_has_its_settings(tmp_path: Path) -> None:
    words = shlex.split(block("docker run"))
    (version,) = re.findall(r"scistream VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text())
    assert words[-1] == f"scistream:{version}"
    pairs = list(zip(words, words[1:]))
    assert [word for flag, word in pairs if flag == "--volume"] == [f"facility-1:{STATE}"]
    settings = dict(word.split("=", 1) for flag, word in pairs if flag == "--env")
    known = re.findall(r"Env:(\w+)", run(BIN / "s2cs", "--help").out)
    assert settings.keys() <= set(known)
    # They are enough to start one, and are kept to.
    host = own_address()
    assert settings["SCISTREAM_LISTENER_IP"] == "127.0.1.1"
    with Facility(tmp_path, host=host, env=settings) as facility:
        assert facility.endpoint.startswith(f"{host}:")
    readme = page("README")
    for name, flag in (
        ("LISTENER_IP", "listener_ip"),
        ("PORT", "port"),
        ("PORT_RANGE", "port-range"),
    ):
        assert f"--{flag} {settings[f'SCISTREAM_{name}']} " in readme


def test_the_certificate_is_where_it_says(pair: Pair, tmp_path: Path) -> None:
    """With an engine's copy command that only copies."""
    engine = tmp_path / "docker"
    engine.write_text(
        f'#!/bin/sh\n[ "$1" = cp ] || exit 2\n'
        f'exec cp "{pair.prod.state}${{2#facility-1:{STATE}}}" "$3"\n'
    )
    engine.chmod(0o700)
    env = clean_environment(tmp_path)
    env["PATH"] = f"{tmp_path}:{env['PATH']}"
    text = block("docker cp").replace("127.0.1.1:5000", pair.prod.endpoint)
    done = run("bash", "-euc", text, cwd=tmp_path, env=env)
    assert done.rc == 0, done.err
    assert pair.prod.endpoint in done.out


def test_labels_are_those_of_the_program() -> None:
    source = (ROOT / "cpp/proxy/container.hpp").read_text()
    named = set(re.findall(r"org\.scistream\.\w+", page("containers")))
    assert "org.scistream.session" in block("docker ps")
    assert named == set(re.findall(r'"(org\.scistream\.\w+)"', source))
