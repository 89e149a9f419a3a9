"""Importing the package has no side effects and gets on with its neighbours."""

from __future__ import annotations

import itertools

import pytest

from binding import python

NEIGHBOURS = ("scistream", "grpc", "google.protobuf.struct_pb2", "numpy")

# Each library does its work once all are loaded: what clashes does so at the first call.
USE = """
import importlib, sys, threading
for name in sys.argv[1:]:
    importlib.import_module(name)
import grpc, numpy, scistream
from concurrent import futures
from google.protobuf import struct_pb2

message = struct_pb2.Struct()
message.update({"a": [1, 2, {"b": "c"}]})
assert struct_pb2.Struct.FromString(message.SerializeToString()) == message
assert (numpy.arange(10_000.0).reshape(100, 100) @ numpy.eye(100)).sum() == 49_995_000

with scistream.ControlServer(listener_ip="127.0.1.1", port=0) as facility:
    with scistream.UserClient(roots=facility.certificate, state_dir="/nonexistent") as client:
        assert client.info(facility.endpoint).version == scistream.__version__
        credentials = grpc.ssl_channel_credentials(facility.certificate.encode())
        with grpc.secure_channel(facility.endpoint, credentials) as channel:
            info = channel.unary_unary("/scistream.Control/info")
            assert scistream.__version__.encode() in info(b"", timeout=20)
print("ok")
"""


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(
            order,
            marks=[] if order in (NEIGHBOURS, NEIGHBOURS[::-1]) else pytest.mark.slow,
            id=" ".join(order),
        )
        for order in itertools.permutations(NEIGHBOURS)
    ],
)
def test_libraries_work_in_every_order_of_import(order: tuple[str, ...]) -> None:
    assert python(USE, *order) == "ok\n"


def test_import_starts_no_thread_and_opens_no_file() -> None:
    script = """
import os
def state():
    return len(os.listdir("/proc/self/task")), sorted(os.listdir("/proc/self/fd"))
before = state()
import scistream
assert state() == before, (before, state())
print("ok")
"""
    assert python(script) == "ok\n"
