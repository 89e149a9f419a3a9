"""ADIOS2 writes steps at one facility and reads them at another, over SST.

The reader finds the writer's address and port in the contact file. Settings of ADIOS2's
environment make that file name the session: the writer says that it is at the consumer's gateway
(ADIOS2_IP) and listens on the port that the session has there (ADIOS2_PORT_RANGE). Everything
else goes over the one connection that the reader then makes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from conftest import Pair
from facility import Command, free_port, own_address, split
from outside import Outside, needs_root, outside
from real_applications import PYTHON, needs_module, program, reserved

STEPS = 12
SIDE = 512  # pixels of a frame's side, 8 bytes each

COMMON = """
import hashlib, sys
import adios2, numpy

steps, side = int(sys.argv[1]), int(sys.argv[2])

def say(step, *arrays):
    print("step", step, *(hashlib.sha256(array.tobytes()).hexdigest() for array in arrays))

adios = adios2.Adios()
io = adios.declare_io("detector")
io.set_engine("SST")
"""

WRITER = f"""{COMMON}
io.set_parameters({{"DataTransport": "WAN", "RendezvousReaderCount": "1", "QueueLimit": "2"}})
frame, counts = numpy.zeros((side, side)), numpy.zeros(4, numpy.int64)
pixels = io.define_variable("pixels", frame, [side, side], [0, 0], [side, side])
numbers = io.define_variable("numbers", counts, [4], [0], [4])
io.define_attribute("detector", "4M")
engine = io.open("scan", adios2.bindings.Mode.Write)
for step in range(steps):
    frame = numpy.random.default_rng(step).normal(size=(side, side))
    counts = numpy.arange(4) * 10**12 + step
    engine.begin_step()
    engine.put(pixels, frame)
    engine.put(numbers, counts)
    engine.end_step()
    say(step, frame, counts)
engine.close()
"""

READER = f"""{COMMON}
io.set_parameters({{"DataTransport": "WAN", "OpenTimeoutSecs": "20"}})
engine = io.open("scan", adios2.bindings.Mode.Read)
frame, counts = numpy.empty((side, side)), numpy.empty(4, numpy.int64)
while engine.begin_step() == adios2.bindings.StepStatus.OK:
    step = engine.current_step()
    engine.get(io.inquire_variable("pixels"), frame)
    engine.get(io.inquire_variable("numbers"), counts)
    engine.end_step()
    assert io.inquire_attribute("detector").data_string() == "4M"
    say(step, frame, counts)
engine.close()
"""


@contextlib.contextmanager
def lan(instrument: Outside, port: int) -> Iterator[str]:
    """Where the gateway calls the instrument's port. The instrument has a network of its own, as
    SST listens at every address, which leaves the port to nobody else on the same machine.
    """
    host, wire = own_address(), instrument.folder / "wire"
    here = free_port(host)
    ends = (f"TCP-LISTEN:{here},bind={host},fork", f"UNIX-CONNECT:{wire}")
    with (
        instrument.start(
            "socat", "-dd", f"UNIX-LISTEN:{wire},fork", f"TCP:127.0.0.1:{port}"
        ) as far,
        Command("socat", "-dd", *ends) as near,
    ):
        for end in (far, near):
            end.line("listening on", "err")
        yield f"{host}:{here}"


@needs_root
def test_a_reader_gets_each_step_of_its_writer(pair: Pair, tmp_path: Path) -> None:
    needs_module("adios2")
    with outside(tmp_path) as instrument, reserved(pair) as (way, announce):
        with lan(instrument, way.port) as address:
            announce(address)
            serve = {
                "ADIOS2_IP": split(way.address)[0],
                "ADIOS2_PORT_RANGE": f"{way.port}:{way.port + 1}",  # the first of them
            }
            with (
                instrument.start(*PYTHON, WRITER, STEPS, SIDE, env=serve) as writer,
                program(READER, STEPS, SIDE, folder=tmp_path) as reader,
            ):
                assert reader.wait(30) == 0, reader.err + writer.err
                assert writer.wait() == 0, writer.err
        steps = writer.out.splitlines()
        assert len(steps) == STEPS
        assert reader.out.splitlines() == steps
        way.carried(to_consumer=STEPS * SIDE * SIDE * 8)
        assert way.connections() == [1] * 2
