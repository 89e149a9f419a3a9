"""The stubs and signatures say what the compiled module does."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import scistream
from scistream import _core

# What pybind11 adds to classes, and classes that only the module itself makes.
NOT_OURS = """
scistream\\._core\\.(AppController|ControlServer|Pending|Policy|Relay|Session|UserClient|Watch)
scistream\\._core\\.(Pending|Session|Watch)\\.__init__
scistream\\._core\\.T
"""


def test_stubs_match_the_module(root: Path, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    allowed.write_text(NOT_OURS)
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "scistream", "--allowlist", str(allowed)],
        cwd=tmp_path,
        env={**os.environ, "MYPY_CACHE_DIR": str(root / "build" / "mypy")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_control_server_has_the_defaults_of_s2cs() -> None:
    stated = {
        name: parameter.default
        for name, parameter in inspect.signature(scistream.ControlServer).parameters.items()
    }
    files = ["state_dir", "server_crt", "server_key", "client_secret_file", "identity_ca"]
    files += ["client_ca", "policy", "audit", "facility_key", "data_server", "authenticator"]
    assert stated == {**_core.control_server_defaults(), **dict.fromkeys(files)}


def test_every_public_name_is_documented() -> None:
    for name in scistream.__all__:
        public = getattr(scistream, name)
        if not isinstance(public, type):
            continue
        assert public.__module__ == "scistream"
        assert inspect.getdoc(public), name
        for member, value in vars(public).items():
            if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{member}"
