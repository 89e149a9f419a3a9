"""Sessions leave nothing behind in the process."""

from __future__ import annotations

import contextlib
from pathlib import Path

from binding import Facilities, eventually, facilities

# Pools of gRPC that grow with load up to a size of their own, and stay.
GRPC = {"default-executo", "resolver-execut", "grpc_global_tim", "event_engine", "timer_manager"}


def held() -> tuple[int, int]:
    """Threads of ours and descriptors of this process."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            names.append((task / "comm").read_text().strip())
    return len([name for name in names if name not in GRPC]), len(
        list(Path("/proc/self/fd").iterdir())
    )


def one_round(both: Facilities) -> None:
    with both.client.request(
        both.prod.endpoint, both.cons.endpoint, num_conn=2, prod_app=["127.0.0.1:9"]
    ) as session:
        assert session.ready


def test_fifty_rounds_leave_threads_and_descriptors_unchanged(tmp_path: Path) -> None:
    with facilities(tmp_path) as both:
        for _ in range(5):
            one_round(both)
        threads, descriptors = held()
        for _ in range(50):
            one_round(both)
        assert eventually(lambda: held()[0] <= threads and held()[1] <= descriptors), (
            (threads, descriptors),
            held(),
        )
        assert both.nothing_reserved()
