"""Importing the package has no side effects and gets on with its neighbours."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import scistream
from binding import python
from guides import page

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


# Flight has a gRPC, a Protobuf and an OpenSSL of its own inside.
FLIGHT = """
import pyarrow, pyarrow.flight

class Tables(pyarrow.flight.FlightServerBase):
    def do_get(self, context, ticket):
        return pyarrow.flight.RecordBatchStream(pyarrow.table({"x": [1, 2, 3]}))

with Tables("grpc://127.0.0.1:0") as tables:
    with pyarrow.flight.connect(f"grpc://127.0.0.1:{tables.port}") as arrow:
        table = arrow.do_get(pyarrow.flight.Ticket(b"any")).read_all()
        assert table.to_pydict() == {"x": [1, 2, 3]}
"""


@pytest.mark.parametrize(
    "order",
    [
        "pyarrow.flight scistream",
        "scistream pyarrow.flight",
        "grpc pyarrow.flight google.protobuf.struct_pb2 numpy scistream",
        "scistream numpy google.protobuf.struct_pb2 pyarrow.flight grpc",
    ],
)
def test_arrow_works_before_and_after(order: str) -> None:
    assert python(USE + FLIGHT, *order.split()) == "ok\n"


# The compiler of grpcio-tools, which has a Protobuf of its own, and scistream.
STEPS = {
    "package": "import grpc_tools",
    "load": "import grpc_tools.protoc",
    "compile": """
import grpc_tools.protoc, tempfile
with tempfile.TemporaryDirectory() as out:
    words = ["protoc", f"-I{PROTO}", f"--python_out={out}", f"--grpc_python_out={out}"]
    assert grpc_tools.protoc.main([*words, "control.proto"]) == 0
""",
    "protos": """
import grpc
sys.path.append(PROTO)
messages, services = grpc.protos_and_services("control.proto")
assert messages.InfoRequest().SerializeToString() == b""
""",
    "import": "import scistream",
    "use": """
with scistream.LocalFacilities() as both, both.request(prod_app=["127.0.0.1:9"]) as session:
    assert len(session.status()) == 2
""",
}
BEGIN = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
PROTO = sys.argv[1]
"""


def in_order(root: Path, order: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            BEGIN + "\n".join(STEPS[step] for step in order.split()) + "\nprint('ok')",
            root / "proto/scistream",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    "order",
    [
        "import load use compile protos use",
        "import protos use compile use",
        "import use compile protos compile use",
        "package import protos use compile use",
    ],
)
def test_the_compiler_of_grpc_works_after_it(order: str, root: Path) -> None:
    done = in_order(root, order)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")


def test_the_compiler_of_grpc_before_it_ends_the_process_as_the_pages_say(root: Path) -> None:
    """Should this no longer be so, docs/python.md and docs/faq.md need not warn any more.

    What one library does in the memory of another differs from run to run.
    """
    if (Path(scistream.__file__).parents[1] / "scistream.libs").exists():
        pytest.skip("a wheel has libraries of its own, which nobody else's meet")
    orders = ["protos import use", "load import use"] * 5
    runs = (in_order(root, order) for order in orders)
    done = next((run for run in runs if run.returncode), None)
    assert done, "it never ended"
    assert done.returncode in (-signal.SIGABRT, -signal.SIGSEGV), done
    said = page("faq")
    if done.returncode == -signal.SIGSEGV:
        assert "Segmentation fault" in said
    elif assertion := re.search(r"(\w+\.c):\d+: .*Assertion .* failed", done.stderr):
        assert f"`{assertion[1]}`" in said
    else:
        assert [line for line in done.stderr.splitlines() if line.strip() not in said] == []


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
