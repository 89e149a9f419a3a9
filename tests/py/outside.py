"""A network with an address that is not loopback, for whoever may make one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from facility import BIN, Command, Done, clean_environment, run

ADDRESS = "192.0.2.1"  # of the documentation's network (RFC 5737), as local as any other here

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")


class Outside:
    """Commands run in a network namespace of their own, where `ADDRESS` is an address of this
    machine that only outsiders would use.
    """

    def __init__(self, folder: Path, holder: Command) -> None:
        self.folder = folder
        self._enter = ["nsenter", f"--net=/proc/{holder.pid}/ns/net", "--"]

    def start(self, *words: object, env: Mapping[str, str] | None = None) -> Command:
        return Command(*self._enter, *words, cwd=self.folder, env=self._environment(env))

    def run(self, *words: object, env: Mapping[str, str] | None = None) -> Done:
        return run(*self._enter, *words, cwd=self.folder, env=self._environment(env))

    def _environment(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        return clean_environment(self.folder, extra)

    @contextlib.contextmanager
    def control_server(self, *flags: object) -> Iterator[tuple[Command, str]]:
        """A control server in the open, and where it says that it is. Its sessions may lead to
        the machine itself, as in the open they may not.
        """
        flags = ("--allow-target", "127.0.0.0/8", "--allow-peer", "0.0.0.0/0", *flags)
        state = ["--state-dir", self.folder / "facility", "--port", 0]
        with self.start(BIN / "s2cs", "--insecure-no-auth", *state, *flags) as server:
            yield server, server.line(r"^s2cs ready on (\S+)$")[1]
            server.signal(15)
            assert server.wait() == 0, server.err


@contextlib.contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    script = f"ip link set lo up && ip address add {ADDRESS}/32 dev lo && echo up"
    with Command("unshare", "--net", "sh", "-c", f"{script} && exec sleep infinity") as holder:
        holder.line("^up$")
        yield Outside(folder, holder)
