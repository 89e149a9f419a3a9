"""EPICS process variables of an instrument are monitored at another facility.

A client that has no broadcasts to search by asks EPICS_PVA_NAME_SERVERS over TCP where a name is.
The server answers with its port and "this host", so the session's listener has to have the
server's port: the server is started on the one that the session got (EPICS_PVAS_SERVER_PORT).
"""

from __future__ import annotations

from pathlib import Path

from conftest import Pair
from facility import free_port, own_address
from real_applications import needs_module, program, reserved

UPDATES = 2000
POINTS = 128  # of a waveform, 8 bytes each

SERVER = """
import sys, threading, time
import numpy
from p4p.nt import NTScalar
from p4p.server import Server
from p4p.server.thread import SharedPV

updates, points = int(sys.argv[1]), int(sys.argv[2])
wave = SharedPV(nt=NTScalar("ad"), initial=numpy.arange(points) + 0.5)
go = SharedPV(nt=NTScalar("i"), initial=0)
asked, ended, pace = threading.Event(), threading.Event(), threading.Event()

@go.put
def start_or_end(pv, operation):
    value = int(operation.value())
    pv.post(value)
    operation.done()
    (asked if value else ended).set()

with Server(providers=[{"DET:WAVE": wave, "DET:GO": go}]) as server:
    print("serving", server.conf()["EPICS_PVAS_INTF_ADDR_LIST"])
    asked.wait()
    began = time.monotonic()
    for number in range(1, updates + 1):
        pace.wait(max(0, began + number / 1000 - time.monotonic()))
        wave.post(numpy.arange(points) + number + 0.5, timestamp=time.time())
    ended.wait()
"""

CLIENT = """
import sys, threading
import numpy
from p4p.client.thread import Context

updates, points = int(sys.argv[1]), int(sys.argv[2])
seen, complete = [], threading.Event()

def update(value):
    seen.append(value)
    if isinstance(value, Exception) or value[0] > updates:
        complete.set()

with Context("pva") as context:
    every = f"record[queueSize={updates + 1}]"  # a shorter queue may leave values out
    with context.monitor("DET:WAVE", update, request=every):
        context.get("DET:WAVE", timeout=10)
        context.put("DET:GO", 1, timeout=10)
        assert complete.wait(25), f"{len(seen)} updates"
    for number, value in enumerate(seen):
        assert numpy.array_equal(value, numpy.arange(points) + number + 0.5), (number, value)
    print(f"updates {len(seen)} in {seen[-1].timestamp - seen[1].timestamp} s")
    context.put("DET:GO", 0, timeout=10)
"""


def test_a_monitor_gets_each_of_a_thousand_updates_a_second(pair: Pair, tmp_path: Path) -> None:
    needs_module("p4p")
    instrument = own_address()  # which the client is never told
    quiet = {"EPICS_PVA_BROADCAST_PORT": str(free_port()), "EPICS_PVA_AUTO_ADDR_LIST": "NO"}
    with reserved(pair) as (way, announce):
        serve = {
            "EPICS_PVAS_INTF_ADDR_LIST": instrument,
            "EPICS_PVAS_SERVER_PORT": str(way.port),
            "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
            **quiet,
        }
        ask = {
            "EPICS_PVA_NAME_SERVERS": way.address,
            "EPICS_PVA_INTF_ADDR_LIST": "127.0.0.1",
            **quiet,
        }
        with program(SERVER, UPDATES, POINTS, folder=tmp_path, settings=serve) as server:
            server.line(f"^serving {instrument}:{way.port}$")
            announce(f"{instrument}:{way.port}")
            with program(CLIENT, UPDATES, POINTS, folder=tmp_path, settings=ask) as client:
                updates = client.line(r"^updates (\d+) in (\S+) s$", limit=30)
                assert client.wait() == 0, client.err
            assert server.wait() == 0, server.err
        assert int(updates[1]) == 1 + UPDATES
        assert 0.9 < float(updates[2]) / (UPDATES / 1000) < 2, "a thousand a second"
        way.carried(to_consumer=UPDATES * POINTS * 8)
        assert way.connections() == [1] * 2
