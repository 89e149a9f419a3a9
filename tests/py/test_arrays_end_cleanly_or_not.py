"""A stream of arrays ends where its sender says so; whatever else ends it is an error."""

from __future__ import annotations

import pickle
import select
import signal
import socket
import struct
from pathlib import Path

import numpy as np
import pytest

import scistream
from binding import listening
from conftest import Pair
from facility import LIMIT, Command, clean_environment, eventually
from frames import frame, joined, receiver, same
from real_applications import PYTHON
from scistream import arrays

IMAGE = np.arange(6, dtype="<f4").reshape(2, 3)
HEADER = {"dtype": "<f4", "shape": [2, 3]}
WRITTEN = frame(2, HEADER, IMAGE.tobytes())


def test_a_stream_that_was_left_in_order_ends() -> None:
    with joined() as (one, other):
        with one:
            one.send(IMAGE)
            one.send(b"bytes")
        got = list(other)
        assert [type(message) for message in got] == [np.ndarray, bytes]
        assert list(other) == []
        with pytest.raises(arrays.EndOfStream) as ended:
            other.recv()
        assert isinstance(ended.value, EOFError)
        assert type(pickle.loads(pickle.dumps(ended.value))) is arrays.EndOfStream
        with pytest.raises(scistream.InvalidState, match="closed"):
            one.send(b"")


def test_a_stream_that_an_exception_left_does_not_end() -> None:
    with joined() as (one, other):
        one.send(IMAGE)
        with pytest.raises(ZeroDivisionError), one:
            _ = 1 / 0
        frames = iter(other)
        assert same(next(frames), IMAGE)
        with pytest.raises(scistream.Unavailable, match="between frames, without an end"):
            next(frames)


def test_a_sender_that_was_killed_has_not_ended(tmp_path: Path) -> None:
    script = """
import signal, sys
from scistream import arrays
connection = arrays.connect(sys.argv[1])
connection.send(b"one")
connection.send(b"two")
print("sent", flush=True)
signal.pause()
"""
    with arrays.listen("127.0.0.1:0", timeout=LIMIT) as listener:
        command = Command(*PYTHON, script, listener.endpoint, env=clean_environment(tmp_path))
        with command, listener.accept() as connection:
            command.line("^sent$")
            command.signal(signal.SIGKILL)
            frames = iter(connection)
            assert [next(frames), next(frames)] == [b"one", b"two"]
            with pytest.raises(scistream.Unavailable):
                next(frames)


@pytest.mark.parametrize("length", [1, 15, 16, 17, len(WRITTEN) - 24, len(WRITTEN) - 1])
def test_a_frame_that_was_cut_is_never_returned(length: int) -> None:
    with receiver() as (speaker, hearer):
        speaker.sendall(WRITTEN + WRITTEN[:length])
        speaker.close()
        assert same(hearer.recv(), IMAGE)
        for _ in range(2):
            with pytest.raises(scistream.Unavailable, match="in the middle of a frame"):
                hearer.recv()


def test_a_reset_is_unavailable() -> None:
    with listening() as (server, endpoint), arrays.connect(endpoint, timeout=LIMIT) as connection:
        accepted, _ = server.accept()
        accepted.sendall(WRITTEN[:30])
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        with pytest.raises(scistream.Unavailable):
            connection.recv()
        for _ in range(2):
            with pytest.raises(scistream.Unavailable):
                connection.send(np.zeros(1_000_000))


def test_a_session_that_is_released_cuts_the_stream(pair: Pair) -> None:
    with arrays.listen("127.0.0.1:0", timeout=LIMIT) as listener:
        with pair.user.session("--prod-app", listener.endpoint) as session:
            consumer = arrays.connect(session["listeners"][0], timeout=LIMIT)
            producer = listener.accept()
            producer.send(IMAGE)
            assert same(consumer.recv(), IMAGE)
        with pytest.raises(scistream.Unavailable), consumer:
            consumer.recv()
        with pytest.raises(scistream.Unavailable), producer:
            producer.recv()


@pytest.mark.parametrize("reads", ["all", "all, and says its end", "what it wants", "nothing"])
def test_two_that_close_in_order_are_no_error_on_the_way(reads: str) -> None:
    """Nor is a receiver that has enough, once its sender has closed."""
    with (
        arrays.listen("127.0.0.1:0", timeout=LIMIT) as listener,
        scistream.Relay([("127.0.0.1:0", listener.endpoint)]) as relay,
    ):
        for ended in range(1, 11):
            with arrays.connect(relay.listeners[0], timeout=LIMIT) as consumer:
                with listener.accept() as producer:
                    producer.send(IMAGE)
                    producer.send(b"bytes")
                if reads.startswith("all"):
                    assert len(list(consumer)) == 2
                if reads == "all, and says its end":
                    consumer.end()
                if reads == "what it wants":
                    assert same(consumer.recv(), IMAGE)
                closed = select.poll()
                closed.register(consumer, select.POLLRDHUP)
                assert closed.poll(1000 * LIMIT), "the sender"
            eventually(lambda: relay.stats().connections_active == 0, "both have closed")
            assert relay.stats().errors == 0, ended


def test_what_looks_like_a_close_in_the_data_is_none() -> None:
    with joined() as (one, other):
        one.send(frame(3))
        assert select.select([other], [], [], LIMIT)[0]
        other.close()
        assert list(one) == []


def test_nothing_is_received_while_a_close_waits() -> None:
    """What had come is thrown away before the end is said; the rest would make no sense."""
    with joined() as (one, other):
        other.send(IMAGE)
        assert select.select([one], [], [], LIMIT)[0]
        one._discard()
        other.send(IMAGE)
        with pytest.raises(scistream.InvalidState, match="closed"):
            one.recv()


def test_one_side_may_end_and_still_receive() -> None:
    with joined() as (one, other):
        one.send(IMAGE)
        one.end()
        one.end()
        with pytest.raises(scistream.InvalidState, match="the end was said"):
            one.send(b"more")
        assert len(list(other)) == 1
        other.send(b"got it")
        assert one.recv() == b"got it"


def test_what_was_sent_arrives_although_its_sender_left_something_unread() -> None:
    with joined() as (one, other):
        other.send(IMAGE)
        other.end()
        assert select.select([one], [], [], LIMIT)[0]
        sent = np.zeros(40_000)
        one.send(sent)  # more than the other side takes before it reads
        one.close()
        assert [same(message, sent) for message in other] == [True]


def test_a_receiver_that_leaves_makes_the_sender_stop() -> None:
    with joined() as (one, other):
        one.send(IMAGE)
        assert same(other.recv(), IMAGE)
        other.close()
        with pytest.raises(scistream.Unavailable):
            one.send(np.zeros(10_000_000))
