"""Hundreds of sessions come and go, and both servers stay as they were."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from applications import application, echo, echoes
from deployed_peer import Peer, new_uid, set_up
from facility import Facility, eventually, listening_ports

# Caches, arenas and pools have their final size after a warm-up; a server remembers the ids of
# its last 10,000 releases, and the store strikes the others from time to time.
FEW = {"users": 1, "warm_up": 60, "rounds": 200}
MANY = {"users": 6, "warm_up": 12_000, "rounds": 100_000}
STRUCK_EVERY = 256
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


def store_size(facility: Facility) -> int:
    """Of the file and its log."""
    return sum(path.stat().st_size for path in facility.state.glob("sessions.db*"))


@pytest.mark.parametrize(
    ("users", "warm_up", "rounds"),
    [
        pytest.param(*FEW.values(), marks=pytest.mark.slow, id="few"),
        pytest.param(
            *MANY.values(), marks=[pytest.mark.soak, pytest.mark.timeout(7200)], id="many"
        ),
    ],
)
def test_rounds_leave_files_threads_ports_memory_and_store(
    tmp_path: Path, users: int, warm_up: int, rounds: int
) -> None:
    with (
        Facility(tmp_path, ports=8 * users + 4) as prod,
        Facility(tmp_path, ports=8 * users + 4) as cons,
        Peer(prod.endpoint, prod.certificate) as producers,
        Peer(cons.endpoint, cons.certificate) as consumers,
        application(echoes) as app,
    ):

        def one(number: int) -> None:
            uid = new_uid()
            _, listeners = set_up(producers, consumers, uid, [app.endpoint], number % 8 + 1)
            if number % 4 == 0:
                assert echo(listeners[-1]) == b"ping"
            producers.release(uid)
            consumers.release(uid)

        def run(count: int) -> None:
            with ThreadPoolExecutor(users) as pool:
                for _ in pool.map(one, range(count)):
                    pass

        run(warm_up)
        pids = processes((prod, cons))
        listening = [listening_ports(facility.host) for facility in (prod, cons)]
        before = [Size.of(pid) for pid in pids]
        stored = [store_size(facility) for facility in (prod, cons)]
        run(rounds)
        assert processes((prod, cons)) == pids
        assert [listening_ports(facility.host) for facility in (prod, cons)] == listening
        assert (prod.taken, cons.taken) == ([], [])

        def stored_as_before() -> bool:
            """What is remembered of a release is small, and of the last ones only."""
            now = [store_size(facility) for facility in (prod, cons)]
            return all(a <= b + min(rounds, STRUCK_EVERY) * 128 for a, b in zip(now, stored))

        eventually(stored_as_before, f"stores of about {stored} bytes")

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
