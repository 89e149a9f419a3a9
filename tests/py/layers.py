"""Which layer may include what; test_layers.py applies it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ORDER = ["base", "net", "relay", "dataserver", "proxy", "session", "auth", "control", "client"]
TOP = ["cli", "bindings", "sdk"]  # on top of every layer, none includes another
PUBLIC = "include"  # what C++ users include, as "scistream/…"
EXAMPLES = "examples"  # what C++ users write: they know what is installed, and the system

# Of these, what the layers share with users; the others are about the layers, and on top of them.
VALUES = {
    "authenticator",
    "data_server",
    "endpoint",
    "error",
    "export",
    "identity",
    "secret",
    "session_key",
    "version",
}

# Libraries that live in one room each: header prefix -> the layers that may include it.
ROOMS = {
    "grpc": {"control"},
    "grpcpp": {"control"},
    "google/protobuf": {"control"},
    "pybind11": {"bindings"},
    "sqlite3.h": {"session"},
    "toml++": {"base"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')
STANDARD = re.compile(r"[a-z_]+")
GENERATED = re.compile(r"\.(grpc\.)?pb\.h$")


def allowed(layer: str) -> set[str]:
    """The layers whose headers a file of `layer` may include."""
    if layer in TOP:
        return {*ORDER, layer}
    return set(ORDER[: ORDER.index(layer) + 1])


def includes(source: Path) -> Iterator[tuple[int, str]]:
    """Line number and header of every #include in a file."""
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        if match := INCLUDE.match(line):
            yield number, match[1]


def fault(layer: str, header: str) -> str | None:
    """Why a file of `layer` must not include `header`, or None."""
    if layer == PUBLIC:
        known = STANDARD.fullmatch(header) or header.startswith("scistream/")
        return None if known else "public headers need the standard library only"
    if layer == EXAMPLES:
        known = "/" not in header or header.startswith(("scistream/", "sys/", "netinet/", "arpa/"))
        return None if known else "examples know what is installed only"
    if header.startswith(".."):
        return "name headers from cpp/, not relative to the file"
    for prefix, rooms in ROOMS.items():
        if (header == prefix or header.startswith(f"{prefix}/")) and layer not in rooms:
            return f"{prefix} belongs to {', '.join(sorted(rooms))}/"
    if GENERATED.search(header) and layer != "control":
        return "generated messages belong to control/"
    target, _, rest = header.partition("/")
    if target == "scistream" and layer in ORDER and not GENERATED.search(header):
        return None if rest.removesuffix(".hpp") in VALUES else f"{layer} must not know {header}"
    if target in [*ORDER, *TOP] and target not in allowed(layer):
        return f"{layer} must not know {target}"
    return None


def violations(cpp: Path) -> list[str]:
    """One `file:line: #include "header": why` a violation below the folder `cpp`."""
    found = []
    for source in sorted(cpp.rglob("*.?pp")):
        layer = source.relative_to(cpp).parts[0]
        if layer not in [*ORDER, *TOP, PUBLIC, EXAMPLES]:
            found.append(f"{source}: {layer}/ is not a layer")
            continue
        for number, header in includes(source):
            if why := fault(layer, header):
                found.append(f'{source}:{number}: #include "{header}": {why}')
    return found
