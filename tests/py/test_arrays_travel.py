"""Arrays and bytes arrive as they were sent, in the memory that the receiver wants."""

from __future__ import annotations

import array
import ctypes
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from binding import python
from conftest import Pair
from facility import LIMIT
from frames import frame, joined, narrow, same, sending
from scistream import arrays

SIMPLE = [
    *("?", "i1", "u1", "<i2", ">i2", "<u4", ">u4", "<i8", ">i8", "<u8", "S1", "S7", "<U3", ">U5"),
    *("<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "<c8", ">c8", "<c16", "V1", "V13"),
    *("<M8[ns]", ">M8[D]", "<M8[25us]", "<m8[as]", ">m8[Y]", "M8", "m8"),
]
STRUCTURES: list[Any] = [
    [("x", "<f4"), ("y", ">i8")],
    [("position", "<f8", (3,)), ("name", "U4"), ("größe", "u2", (2, 2))],
    [("event", [("time", "<M8[us]"), ("charge", "<f2", 2)], (2,)), ("raw", "V3")],
    [("none", "<f4", (0,)), ("some", "?")],
    np.dtype([("flag", "i1"), ("value", "f8"), ("last", "i2")], align=True),
    {"names": ["a", "b"], "formats": ["<i2", "<f4"], "offsets": [3, 9], "itemsize": 20},
]
DTYPES = [np.dtype(described) for described in (*SIMPLE, *STRUCTURES)]
SHAPES: list[tuple[int, ...]] = [
    (),
    (0,),
    (1,),
    (7,),
    (0, 3),
    (4, 5),
    (3, 0, 2),
    (2, 3, 4),
    (1,) * 20,
]


def some_array(chance: random.Random) -> Any:
    """Of any dtype, shape and layout, with any bits."""
    dtype, shape = chance.choice(DTYPES), chance.choice(SHAPES)
    if chance.random() < 0.05:
        shape = (chance.randrange(200_000 // dtype.itemsize),)
    size = int(np.prod(shape)) * dtype.itemsize
    made: Any = np.frombuffer(chance.randbytes(size), dtype).reshape(shape)
    layout = chance.choice(["C", "F", "reversed", "steps", "broadcast"])
    if layout == "F":
        made = np.asfortranarray(made).reshape(shape, order="F") if shape else made
    elif layout == "reversed":
        made = made.T[::-1] if shape else made
    elif layout == "steps" and shape:
        made = made[..., ::2]
    elif layout == "broadcast":
        made = np.broadcast_to(made, (2, *shape)[-32:])
    return made


@pytest.mark.parametrize("seed", range(4))
def test_any_array_arrives_through_a_narrow_connection(seed: int) -> None:
    chance = random.Random(seed)
    sent = [some_array(chance) for _ in range(150)]
    assert {made.dtype for made in sent} >= set(DTYPES[:5])
    with narrow() as (one, other), sending(one, *sent):
        for made in sent:
            assert same(other.recv(), made), (made.dtype, made.shape)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_arrives(dtype: Any) -> None:
    made = np.frombuffer(random.Random(1).randbytes(6 * dtype.itemsize), dtype).reshape(2, 3)
    with joined() as (one, other):
        for sent in (made, made[:0], made[0, 0:1].reshape(())):
            one.send(sent)
            got = other.recv()
            assert same(got, sent)
            assert got.flags.writeable
            assert got.flags.c_contiguous


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, (1 << 20) - 1, 1 << 20, 5_000_000])
def test_bytes_arrive_as_bytes(size: int) -> None:
    data = random.Random(size).randbytes(size)
    forms = [
        data,
        bytearray(data),
        memoryview(data),
        memoryview(data).cast("c"),
        array.array("B", data),
    ]
    with joined() as (one, other), sending(one, *forms):
        for _ in forms:
            got = other.recv()
            assert type(got) is bytes
            assert got == data


def test_other_buffers_arrive_as_arrays(tmp_path: Path) -> None:
    samples = np.memmap(tmp_path / "samples", "<u2", "w+", shape=(3, 4))
    samples[:] = np.arange(12).reshape(3, 4)
    table = np.array([(1, 0.5), (2, 1.5)], [("number", "<i8"), ("weight", "<f8")])
    with joined() as (one, other):
        pairs: tuple[tuple[Any, Any], ...] = (
            (array.array("d", [1.5, 2.5]), np.array([1.5, 2.5])),
            ((ctypes.c_int16 * 3)(1, -2, 3), np.array([1, -2, 3], "i2")),
            (memoryview(b"abcdef").cast("B", (2, 3)), np.frombuffer(b"abcdef", "u1").reshape(2, 3)),
            (np.float32(2.5), np.array(2.5, "f4")),
            (np.datetime64("2025-01-02", "ms"), np.array("2025-01-02", "M8[ms]")),
            (samples, np.arange(12, dtype="u2").reshape(3, 4)),
            (table.view(np.recarray), table),
        )
        for sent, expected in pairs:
            one.send(sent)
            assert same(other.recv(), expected)
        one.send(memoryview(b"abcdef")[::2])
        assert other.recv() == b"ace"


def test_metadata_come_along() -> None:
    meta = {
        "frame": np.int64(7),
        "exposure": np.float32(0.5),
        "who": "größe",
        "deep": [{"a": None}],
    }
    with joined() as (one, other):
        one.send(np.zeros(3), meta=meta)
        one.send(b"abc", meta={"frame": 8})
        one.send(b"")
        one.end()
        assert other.recv_frame().meta == {**meta, "frame": 7, "exposure": 0.5}
        rest = list(other.frames())
    assert rest == [arrays.Frame(b"abc", {"frame": 8}), arrays.Frame(b"", {})]


def test_both_directions_flow_at_once() -> None:
    there = [np.full((100, 1000), number, "i4") for number in range(40)]
    with narrow() as (one, other), sending(one, *there), sending(other, *there):
        for made in there:
            assert same(one.recv(), made)
            assert same(other.recv(), made)


def test_arrays_travel_through_an_encrypted_session(pair: Pair) -> None:
    chance = random.Random(5)
    sent = [some_array(chance) for _ in range(100)] + [np.ones((256, 40_000))]
    with (
        arrays.listen("127.0.0.1:0", timeout=LIMIT) as listener,
        pair.user.session("--prod-app", listener.endpoint) as session,
        arrays.connect(session["listeners"][0], timeout=LIMIT) as consumer,
    ):
        assert session["transport"] == "tls"
        consumer.send(b"begin")
        with listener.accept() as producer:
            assert producer.recv() == b"begin"
            with sending(producer, *sent):
                for made in sent:
                    assert same(consumer.recv(), made)
            consumer.send(np.array(len(sent)))
            assert producer.recv() == len(sent)
        assert list(consumer) == []


def test_an_array_may_have_32_dimensions() -> None:
    with joined() as (one, other):
        one.send(np.full((1,) * 32, 5))
        assert same(other.recv(), np.full((1,) * 32, 5))
        with pytest.raises(ValueError, match="33"):  # ours, or NumPy 1's
            one.send(np.zeros((1,) * 33))


def test_bytes_need_no_numpy() -> None:
    script = """
import sys
from scistream import arrays
assert "numpy" not in sys.modules
sys.modules["numpy"] = None  # as if it were not installed
import array, socket, scistream
one, other = map(arrays.Connection, socket.socketpair())
with one, other:
    one.send(b"bytes", meta={"a": 1})
    assert other.recv_frame() == (b"bytes", {"a": 1})
    try:
        one.send(array.array("d", [1]))
    except scistream.InvalidState as error:
        assert "pip install numpy" in str(error)
    one._line.socket.sendall(bytes.fromhex(sys.argv[1]))
    try:
        other.recv()
    except scistream.InvalidState as error:
        print("needs numpy" if "pip install numpy" in str(error) else error)
"""
    array_frame = frame(2, {"dtype": "<f4", "shape": [1]}, bytes(4))
    assert python(script, array_frame.hex()) == "needs numpy\n"
