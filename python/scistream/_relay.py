"""Forwarding without sessions."""

from __future__ import annotations

from collections.abc import Iterable

from scistream import _core, _logs
from scistream._endpoint import Endpoint
from scistream._live import Live
from scistream._plain import listed
from scistream._values import RelayStats


class Relay(Live):
    """Forwards what its listeners accept to their targets, both ways, as the data server does.

    It listens when it is made. Targets are dialled when a client connects, for up to 30 s.

        with Relay([("127.0.0.1:0", "127.0.0.1:8080")]) as relay:
            print(relay.listeners)

    Every method may be called from any thread.

    Args:
        pairs: A listener and its target each, `host:port`. Port 0 takes any free port.
        threads: Threads that move bytes; 0 is one a core.

    Raises:
        InvalidRequest: An address that cannot be read, or is not one of this machine.
        AlreadyExists: A port is in use.
        PermissionDenied: A port needs privileges.

    """

    def __init__(self, pairs: Iterable[tuple[str, str]], *, threads: int = 0) -> None:
        _logs.start()
        self._core = _core.Relay(listed(pairs), threads)
        super().__init__()

    @property
    def listeners(self) -> tuple[Endpoint, ...]:
        """Where it listens, in the order of `pairs`."""
        return tuple(map(Endpoint, self._core.listeners))

    def stats(self) -> RelayStats:
        """What went through it so far; after the close, in all."""
        return self._core.stats()

    def close(self, drain: float = 0.0) -> None:
        """Closes the listeners, ends the connections, frees the ports. May be called again.

        Args:
            drain: Seconds to wait for connections to end by themselves; then they are reset.

        """
        self._core.close(drain)

    def __repr__(self) -> str:
        return f"<scistream.Relay {self._core.description}>"
