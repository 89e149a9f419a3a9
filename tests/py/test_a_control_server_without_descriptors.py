"""A control server that runs out of file descriptors: callers wait, streams and sessions live."""

from __future__ import annotations

import contextlib
import resource
import socket
from pathlib import Path

from applications import Application, echo
from facility import Client, Facility, eventually, split

LIMIT = 96


def test_callers_that_take_every_descriptor_harm_nobody(
    tmp_path: Path, echo_app: Application
) -> None:
    with Facility(tmp_path) as prod, Facility(tmp_path) as cons:
        user = Client(tmp_path, prod, cons)
        document = user.request("--prod-app", echo_app.endpoint)
        pid = prod.command.pid
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
        with contextlib.ExitStack() as crowd:
            for _ in range(2 * LIMIT):
                crowd.enter_context(socket.create_connection(split(prod.endpoint), timeout=15))
            descriptors = Path(f"/proc/{pid}/fd")
            eventually(lambda: len(list(descriptors.iterdir())) == LIMIT, "it has no more")
            assert echo(document["listeners"][0]) == b"ping", "data does not pass by it"
            refused = user.s2uc("info", "--s2cs", prod.endpoint)
            assert refused.rc in (5, 6), refused.err
            assert prod.endpoint in refused.err
        eventually(
            lambda: user.s2uc("info", "--s2cs", prod.endpoint).rc == 0, "it serves again", 60
        )
        assert [view["phase"] for view in user.sessions(document["uid"])] == ["ready", "ready"]
        user.release(document["uid"])
