"""What other facilities speak stays as it is; what is ours has numbers of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ORIGINAL = {
    "Request": {"uid": "string 1", "role": "string 2", "num_conn": "int32 3", "rate": "int32 4"},
    "UpdateTargets": {
        "uid": "string 1",
        "remote_listeners": "repeated string 2",
        "role": "string 3",
    },
    "Release": {"uid": "string 1"},
    "Hello": {"uid": "string 1", "prod_listeners": "repeated string 2", "role": "string 3"},
    "Response": {"listeners": "repeated string 1", "prod_listeners": "repeated string 2"},
    "AppResponse": {"message": "string 1", "listeners": "repeated string 2"},
}
RPCS = {
    "req": ("Request", "Response"),
    "update": ("UpdateTargets", "Response"),
    "release": ("Release", "Response"),
    "hello": ("Hello", "AppResponse"),
}

MESSAGE = re.compile(r"^message (\w+) \{(.*?)\}", re.MULTILINE | re.DOTALL)
FIELD = re.compile(r"^\s*([\w<>, ]+?) (\w+) = (\d+);", re.MULTILINE)
RPC = re.compile(r"^\s*rpc (\w+)\((\w+)\) returns \((?:stream )?(\w+)\);", re.MULTILINE)


@pytest.fixture(scope="module")
def proto(root: Path) -> str:
    return (root / "proto/scistream/control.proto").read_text(encoding="utf-8")


def fields(proto: str, message: str) -> dict[str, str]:
    """`type number` of each field of a message, by name."""
    bodies = dict(MESSAGE.findall(proto))
    return {name: f"{kind} {number}" for kind, name, number in FIELD.findall(bodies[message])}


# Protocol: wire-service
def test_the_service_has_its_name(proto: str) -> None:
    assert re.findall(r"^package (\w+);$", proto, re.MULTILINE) == ["scistream"]
    assert re.findall(r"^service (\w+) ", proto, re.MULTILINE) == ["Control"]


# Protocol: wire-rpcs, wire-added-rpcs
def test_the_four_rpcs_take_and_give_what_they_always_did(proto: str) -> None:
    rpcs = {name: (request, response) for name, request, response in RPC.findall(proto)}
    assert {name: rpcs[name] for name in RPCS} == RPCS
    assert sorted(rpcs.keys() - RPCS.keys()) == ["info", "list", "rate", "status", "watch"]


# Protocol: wire-fields
@pytest.mark.parametrize("message", ORIGINAL)
def test_no_original_field_has_changed(proto: str, message: str) -> None:
    known = fields(proto, message)
    assert {name: known[name] for name in ORIGINAL[message]} == ORIGINAL[message]


# Protocol: wire-added-fields
@pytest.mark.parametrize("message", ORIGINAL)
def test_added_fields_have_numbers_from_101(proto: str, message: str) -> None:
    added = fields(proto, message).keys() - ORIGINAL[message].keys()
    numbers = [int(fields(proto, message)[name].split()[-1]) for name in added]
    assert all(number >= 101 for number in numbers), dict(zip(added, numbers))
