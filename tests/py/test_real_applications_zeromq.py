"""ZeroMQ hands out work from one facility to another, and collects it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
import zmq

from applications import digest, payload
from conftest import Pair
from facility import LIMIT
from real_applications import through

MESSAGES = 300
ENDS = 3  # on the consumer's side
PATIENCE = int(LIMIT * 1000)  # milliseconds that a message may take

Message = tuple[int, int, str]  # its sender, its number, and the hash of its frame


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context() as context:
        yield context


@contextlib.contextmanager
def socket(context: zmq.Context[zmq.Socket[bytes]], kind: int) -> Iterator[zmq.Socket[bytes]]:
    with context.socket(kind) as end:
        end.linger = 0
        end.rcvtimeo = end.sndtimeo = PATIENCE
        yield end


def frame(sender: int, number: int) -> bytes:
    """A few bytes most often, and half a megabyte now and then."""
    return payload(500_000 if number % 25 == 7 else number, seed=sender * MESSAGES + number)


def send(end: zmq.Socket[bytes], sender: int) -> None:
    for number in range(MESSAGES):
        end.send_multipart([b"%d" % sender, b"%d" % number, frame(sender, number)])


def receive(end: zmq.Socket[bytes], count: int) -> list[Message]:
    messages = [end.recv_multipart() for _ in range(count)]
    return [(int(sender), int(number), digest(data)) for sender, number, data in messages]


def expected(sender: int) -> list[Message]:
    return [(sender, number, digest(frame(sender, number))) for number in range(MESSAGES)]


def size(sender: int) -> int:
    return sum(len(frame(sender, number)) for number in range(MESSAGES))


@contextlib.contextmanager
def peers_of(end: zmq.Socket[bytes], count: int) -> Iterator[None]:
    """Left when so many peers have shaken hands: before that, they get no messages."""
    with end.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED) as events:
        events.rcvtimeo = PATIENCE
        yield
        for _ in range(count):
            events.recv_multipart()
    end.disable_monitor()


def test_pushed_work_is_shared_by_those_that_pull(
    pair: Pair, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    with contextlib.ExitStack() as stack:
        push = stack.enter_context(socket(context, zmq.PUSH))
        port = push.bind_to_random_port("tcp://127.0.0.1")
        way = stack.enter_context(through(pair, f"127.0.0.1:{port}"))
        pulls = [stack.enter_context(socket(context, zmq.PULL)) for _ in range(ENDS)]
        with peers_of(push, ENDS):
            for pull in pulls:
                pull.connect(f"tcp://{way.address}")
        sender = threading.Thread(target=send, args=(push, 0))
        sender.start()
        got: list[list[Message]] = [[] for _ in pulls]
        poller = zmq.Poller()
        for pull in pulls:
            poller.register(pull, zmq.POLLIN)
        while sum(map(len, got)) < MESSAGES:
            ready = dict(poller.poll(PATIENCE))
            assert ready, f"nothing more after {[len(messages) for messages in got]}"
            for pull, messages in zip(pulls, got):
                if pull in ready:
                    messages += receive(pull, 1)
        sender.join(LIMIT)
        way.carried(to_consumer=size(0))
        assert way.connections() == [ENDS] * 2
    assert all(messages == sorted(messages) for messages in got), "each in the order of sending"
    assert min(map(len, got)) > 0, "each has its share"
    assert sorted(message for messages in got for message in messages) == expected(0)


def test_one_pulls_what_several_push(pair: Pair, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    with contextlib.ExitStack() as stack:
        pull = stack.enter_context(socket(context, zmq.PULL))
        port = pull.bind_to_random_port("tcp://127.0.0.1")
        way = stack.enter_context(through(pair, f"127.0.0.1:{port}"))
        pushes = [stack.enter_context(socket(context, zmq.PUSH)) for _ in range(ENDS)]
        for push in pushes:
            push.connect(f"tcp://{way.address}")
        senders = [
            threading.Thread(target=send, args=(push, number)) for number, push in enumerate(pushes)
        ]
        for sender in senders:
            sender.start()
        got = receive(pull, ENDS * MESSAGES)
        for sender in senders:
            sender.join(LIMIT)
        way.carried(to_producer=sum(size(number) for number in range(ENDS)))
        assert way.connections() == [ENDS] * 2
    for number in range(ENDS):
        assert [message for message in got if message[0] == number] == expected(number)
