"""Facilities whose data is moved by a program of a kind."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from facility import Facility, clean_environment
from needs import skip_or_fail

PROGRAMS = {
    "HaproxySubprocess": "haproxy",
    "NginxSubprocess": "nginx",
    "StunnelSubprocess": "stunnel",
}


def facility_of(kind: str, folder: Path, *flags: object, **more: Any) -> Facility:
    path = clean_environment(folder)["PATH"]
    if kind in PROGRAMS and not shutil.which(PROGRAMS[kind], path=f"{path}:/usr/sbin"):
        skip_or_fail(f"there is no {PROGRAMS[kind]}")
    return Facility(folder, "--type", kind, *flags, **more)
