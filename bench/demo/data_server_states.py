"""The states of a data server's machine, as it reports them to whoever watches it."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]

# The folder of the file itself: as scistream/dataserver.proto, the generated module would belong to
# the package scistream, whose own Protobuf cannot share a process with that of grpcio-tools.
PROTO = Path(__file__).resolve().parents[2] / "proto" / "scistream"


def _stubs() -> tuple[Any, Any]:
    """Messages and stubs, made from the interface's definition."""
    sys.path.insert(0, str(PROTO))
    try:
        return grpc.protos_and_services("dataserver.proto")  # type: ignore[no-any-return]
    finally:
        sys.path.remove(str(PROTO))


@contextlib.contextmanager
def watched(socket: Path, observe: Callable[[str], None]) -> Iterator[None]:
    """Calls the observer, on a thread of its own, for each state that a session enters.

    If the data server ends before the watch does, the last call says `lost`.
    """
    messages, services = _stubs()
    ending = threading.Event()

    def follow(events: Any) -> None:
        with contextlib.suppress(grpc.RpcError):
            for event in events:
                if event.kind in ("state", "gone"):  # gone: released, and idle for good
                    observe(event.session.state)
        if not ending.is_set():
            observe("lost")

    with grpc.insecure_channel(f"unix:{socket}") as channel:
        events = services.DataServerStub(channel).watch(
            messages.DataServerWatchRequest(period_ms=1000)
        )
        thread = threading.Thread(target=follow, args=(events,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ending.set()
            events.cancel()
            thread.join(5)
