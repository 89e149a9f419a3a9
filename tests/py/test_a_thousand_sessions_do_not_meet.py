"""A thousand sessions at one control server, and a thousand more that come and go while some
stream: everybody gets their own answers, nothing stays behind.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from applications import application, connect, echo, echoes
from deployed_peer import Peer, new_uid
from facility import Client, Facility, eventually, split

STANDING = 1_000
STREAMING = 50
PASSING = 1_000
USERS = 8
LIMIT = 60.0


class Streams:
    """Connections over which bytes go to and fro until told to stop."""

    def __init__(self, listeners: list[str]) -> None:
        self._stop = threading.Event()
        self.rounds = 0
        self.failures: list[str] = []
        self._connections = [connect(listener) for listener in listeners]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for number, connection in enumerate(self._connections):
                message = f"{number}:{self.rounds}".encode().ljust(4096, b".")
                try:
                    connection.sendall(message)
                    answer = b""
                    while len(answer) < len(message):
                        chunk = connection.recv(len(message) - len(answer))
                        if not chunk:
                            raise ConnectionError("the end")
                        answer += chunk
                except OSError as error:
                    self.failures.append(f"{number}: {error}")
                    return
                if answer != message:
                    self.failures.append(f"{number}: not its own bytes")
                    return
            self.rounds += 1

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(LIMIT)
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            connection.close()


def at_once(calls: list[Callable[[], object]]) -> None:
    with ThreadPoolExecutor(USERS) as users:
        for done in [users.submit(call) for call in calls]:
            done.result(LIMIT)


# Protocol: many-reqs-wait
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_thousand_at_once_and_a_thousand_more(tmp_path: Path) -> None:
    with (
        Facility(tmp_path, "--timeout", "100s", ports=STANDING + 4 * USERS) as facility,
        Peer(facility.endpoint, facility.certificate) as peer,
        application(echoes) as app,
    ):
        user = Client(tmp_path, facility)

        def files(pid: int) -> int:
            return len(list(Path(f"/proc/{pid}/fd").iterdir()))

        user.leased(facility)
        before = (files(facility.command.pid), files(facility.data_server))
        uids = [new_uid() for _ in range(STANDING)]
        requests = {uid: peer.req(uid, "PROD") for uid in uids}
        eventually(lambda: user.leased(facility) == STANDING, "all of them wait", LIMIT)
        assert not any(request.done() for request in requests.values())

        at_once([lambda uid=uid: peer.hello(uid, "PROD", [app.endpoint]) for uid in uids])  # type: ignore[misc]
        listeners = {uid: requests[uid].result(LIMIT).listeners[0] for uid in uids}
        assert len(set(listeners.values())) == STANDING
        at_once([lambda uid=uid: peer.update(uid, [app.endpoint]) for uid in uids])  # type: ignore[misc]
        assert len(facility.taken) == STANDING

        def come_and_go(count: int) -> None:
            for number in range(count):
                uid = new_uid()
                request = peer.req(uid, "PROD", 2)
                peer.hello(uid, "PROD", [app.endpoint])
                own = list(request.result(LIMIT).listeners)
                assert not set(own) & set(listeners.values())
                peer.update(uid, [app.endpoint])
                if number % 10 == 0:
                    assert echo(own[1]) == b"ping"
                peer.release(uid)

        with Streams([listeners[uid] for uid in uids[:STREAMING]]) as streams:
            at_once([lambda: come_and_go(PASSING // USERS)] * USERS)
            assert streams.rounds > 0
        assert streams.failures == []
        assert user.leased(facility) == STANDING
        at_once([lambda uid=uid: peer.release(uid) for uid in uids])  # type: ignore[misc]
        assert facility.taken == []
        assert user.leased(facility) == 0

        def as_before() -> bool:
            now = (files(facility.command.pid), files(facility.data_server))
            # Threads of gRPC that poll, and pipes that wait for their next use.
            return all(later <= sooner + 8 for sooner, later in zip(before, now))

        try:
            eventually(as_before, "no descriptor is left over")
        except AssertionError:
            now = (files(facility.command.pid), files(facility.data_server))
            raise AssertionError(f"{before} {now}") from None
        assert split(facility.endpoint)[1] == facility.port
