"""Hundreds of sessions come and go, and both servers stay as they were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from applications import application, echo, echoes
from deployed_peer import Peer, new_uid, set_up
from facility import Facility, eventually, listening_ports

ROUNDS = 200
WARM_UP = 60  # caches, arenas and pools have their final size after these
POOL = 4  # threads by which gRPC's pool grows and shrinks with the load
SLACK = 6 << 20  # bytes of memory by which a process may differ and be the same


@dataclass
class Size:
    """What a process holds."""

    files: int
    threads: int
    memory: int

    @staticmethod
    def of(pid: int) -> Size:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        )
        return Size(
            files=len(list(Path(f"/proc/{pid}/fd").iterdir())),
            threads=int(status["Threads"]),
            memory=int(status["VmRSS"].split()[0]) * 1024,
        )


def processes(facilities: tuple[Facility, Facility]) -> list[int]:
    return [pid for f in facilities for pid in (f.command.pid, f.data_server)]


@pytest.mark.slow
def test_200_rounds_leave_files_threads_ports_and_memory(tmp_path: Path) -> None:
    with (
        Facility(tmp_path, ports=12) as prod,
        Facility(tmp_path, ports=12) as cons,
        Peer(prod.endpoint, prod.certificate) as producers,
        Peer(cons.endpoint, cons.certificate) as consumers,
        application(echoes) as app,
    ):

        def rounds(count: int) -> None:
            for number in range(count):
                uid = new_uid()
                _, listeners = set_up(producers, consumers, uid, [app.endpoint], number % 8 + 1)
                if number % 4 == 0:
                    assert echo(listeners[-1]) == b"ping"
                producers.release(uid)
                consumers.release(uid)

        rounds(WARM_UP)
        pids = processes((prod, cons))
        listening = [listening_ports(facility.host) for facility in (prod, cons)]
        before = [Size.of(pid) for pid in pids]
        rounds(ROUNDS)
        assert processes((prod, cons)) == pids
        assert [listening_ports(facility.host) for facility in (prod, cons)] == listening
        assert (prod.taken, cons.taken) == ([], [])

        def as_before() -> bool:
            now = [Size.of(pid) for pid in pids]
            return all(
                a.files == b.files and b.threads - a.threads <= POOL and b.memory - a.memory < SLACK
                for a, b in zip(before, now)
            )

        try:
            eventually(as_before, "as before")
        except AssertionError:
            raise AssertionError(f"{before}\n{[Size.of(pid) for pid in pids]}") from None
