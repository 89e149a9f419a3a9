"""Waiting for arrays ends by time, by Ctrl-C and by a close, and what had come is not lost."""

from __future__ import annotations

import gc
import math
import socket
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import scistream
from binding import closed_port, eventually, python
from facility import LIMIT
from frames import END, frame, joined, narrow, receiver, same
from scistream import arrays

IMAGE = np.arange(6, dtype="<f4").reshape(2, 3)
WRITTEN = frame(2, {"dtype": "<f4", "shape": [2, 3]}, IMAGE.tobytes())


@pytest.mark.parametrize("out", [None, np.zeros((2, 3), "<f4")], ids=["fresh", "out"])
def test_a_receive_goes_on_where_a_timeout_ended_it(out: Any) -> None:
    with receiver() as (speaker, hearer):
        hearer.settimeout(0)
        for byte in WRITTEN[:-1]:
            speaker.sendall(bytes([byte]))
            with pytest.raises(scistream.Timeout):
                hearer.recv(out=out)
        with pytest.raises(scistream.InvalidRequest, match="begun to come into another out="):
            hearer.recv(out=np.zeros((2, 3), "<f4"))
        speaker.sendall(WRITTEN[-1:] + END)
        got = hearer.recv(out=out)
        assert same(got, IMAGE)
        assert out is None or got is out
        assert list(hearer) == []


def test_a_send_that_nobody_reads_cuts_the_stream() -> None:
    with joined() as (one, other):
        one.settimeout(0.05)
        with pytest.raises(scistream.Timeout, match=r"nothing moved for 0\.05 s"):
            one.send(np.zeros(10_000_000))
        with pytest.raises(scistream.InvalidState, match="cut"):
            one.send(b"")
        one.close()
        with pytest.raises(scistream.Unavailable, match="middle"):
            other.recv()


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_timeout_is_a_number_of_seconds(seconds: float) -> None:
    with joined() as (one, _), pytest.raises(scistream.InvalidRequest, match="seconds"):
        one.settimeout(seconds)
    for call in (arrays.connect, arrays.listen):
        with pytest.raises(scistream.InvalidRequest, match="seconds"):
            call("127.0.0.1:9", timeout=seconds)


class Interrupted:
    """A socket that is used, and then Ctrl-C comes before anybody can know how much."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def sendmsg(self, parts: list[memoryview]) -> int:
        self._socket.send(parts[0][:5])
        raise KeyboardInterrupt

    def recv_into(self, view: memoryview) -> int:
        self._socket.recv_into(view[:5])
        raise KeyboardInterrupt


def test_ctrl_c_in_the_middle_of_a_frame_leaves_nothing_to_be_misread() -> None:
    with joined() as (one, other):
        other.send(IMAGE)
        sock = one._line.socket
        one._outbox._socket = one._inbox._socket = Interrupted(sock)  # type: ignore[assignment]
        calls = ((one.recv, "bytes may be lost"), (lambda: one.send(IMAGE), "a frame was cut"))
        for call, why in calls:
            with pytest.raises(KeyboardInterrupt):
                call()
            with pytest.raises(scistream.InvalidState, match=why):
                call()
        one._outbox._socket = one._inbox._socket = sock


def test_closing_ends_what_waits_in_other_threads() -> None:
    ended: list[BaseException] = []

    def waiting(call: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            try:
                call()
            except BaseException as error:
                ended.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    with joined() as (one, _), narrow() as (full, _unread), arrays.listen("127.0.0.1:0") as door:
        calls = (one.recv, lambda: full.send(np.zeros(100_000)), door.accept)
        threads = [waiting(call) for call in calls]
        assert eventually(lambda: all(end._line.users == 1 for end in (one, full, door)))
        for again in (one.recv, lambda: full.send(b""), door.accept):
            with pytest.raises(scistream.InvalidState, match="another call"):
                again()
        for end in (one, full, door):
            end.close()
            end.close()
        for thread in threads:
            thread.join(LIMIT)
        assert [type(error) for error in ended] == [scistream.Cancelled] * 3
        assert [end.fileno() for end in (one, full, door)] == [-1] * 3
        assert repr(door).endswith(", closed>")


@pytest.mark.parametrize("call", ["recv", "send", "accept"])
def test_ctrl_c_ends_the_wait(call: str) -> None:
    script = """
import sys
from binding import CtrlC
from scistream import arrays
with arrays.listen("127.0.0.1:0") as listener, arrays.connect(listener.endpoint) as one:
    other = listener.accept()
    def send():
        one.send(bytes(50_000_000))
    calls = {"recv": one.recv, "send": send, "accept": listener.accept}
    with CtrlC() as ctrl_c:
        calls[sys.argv[1]]()
    if sys.argv[1] == "recv":
        other.send(b"still there")
        assert one.recv() == b"still there"
    other.close()
    print(ctrl_c.outcome)
"""
    assert python(script, call) == "interrupted\n"


def test_a_forked_child_has_no_part_in_it() -> None:
    script = """
import os, sys
import scistream
from scistream import arrays
with arrays.listen("127.0.0.1:0") as listener, arrays.connect(listener.endpoint) as one:
    with listener.accept() as other:
        child = os.fork()
        if child == 0:
            for call in (lambda: one.send(b""), other.recv, listener.accept):
                try:
                    call()
                except scistream.InvalidState as error:
                    assert "forked" in str(error)
                else:
                    raise AssertionError("not refused")
            assert "of another process" in repr(one)
            sys.exit(7)  # leaves every `with` block
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        one.send(b"unharmed")
        assert other.recv() == b"unharmed"
print("ok")
"""
    assert python(script) == "ok\n"


@pytest.mark.parametrize(
    "endpoint",
    [
        *("", "127.0.0.1", "127.0.0.1:", ":80", "::1:80", "a:70000"),
        *("a..b:5", ".:5", f"{'a' * 300}:5", "a\0b:5", "a\nb:5", "a b:5", "[::1%\n]:5", "\ud800:5"),
    ],
    ids=ascii,
)
def test_an_address_is_host_and_port(endpoint: str) -> None:
    for call in (arrays.connect, arrays.listen):
        with pytest.raises(scistream.InvalidRequest, match="not host:port") as raised:
            call(endpoint)
        assert str(raised.value).startswith(repr(endpoint))
        assert str(raised.value).isprintable()
        gc.collect()  # a socket that was left open would be a warning


@pytest.mark.parametrize("endpoint", [None, b"127.0.0.1:5", 5, ("127.0.0.1", 5)], ids=repr)
def test_an_address_is_text(endpoint: Any) -> None:
    for call in (arrays.connect, arrays.listen):
        with pytest.raises(
            TypeError, match=r"^endpoint: a str is wanted, not (None|bytes|an? \w+)$"
        ):
            call(endpoint)


@pytest.mark.parametrize(
    ("name", "value"),
    [("timeout", "1"), ("timeout", b"1"), ("max_bytes", None), ("max_bytes", 1.5)],
)
def test_numbers_are_numbers(name: str, value: Any) -> None:
    for call in (arrays.connect, arrays.listen):
        options: dict[str, Any] = {name: value}
        with pytest.raises(TypeError, match=rf"^{name}: an? \w+ is wanted, not "):
            call("127.0.0.1:0", **options)
        gc.collect()


def test_for_ever_may_be_infinite() -> None:
    with (
        arrays.listen("127.0.0.1:0", timeout=math.inf) as listener,
        arrays.connect(listener.endpoint, timeout=math.inf) as one,
        listener.accept() as other,
    ):
        one.send(b"at last")
        assert other.recv() == b"at last"


def test_what_fails_says_why() -> None:
    with pytest.raises(scistream.Unavailable, match="Connection refused"):
        arrays.connect(closed_port())
    for elsewhere in ("192.0.2.1:0", "no-such-host.invalid:0"):
        with pytest.raises(scistream.InvalidRequest, match=f"^cannot listen on '{elsewhere}': "):
            arrays.listen(elsewhere)
    with arrays.listen("127.0.0.1:0", timeout=0) as listener:
        with pytest.raises(scistream.AlreadyExists, match=listener.endpoint):
            arrays.listen(listener.endpoint)
        with pytest.raises(scistream.Timeout):
            listener.accept()
    with arrays.listen("[::1]:0") as listener, arrays.connect(listener.endpoint) as connection:
        assert connection.peer == listener.endpoint
