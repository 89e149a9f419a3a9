"""An array lands in the memory that its receiver wants, or waits; what has no place is refused."""

from __future__ import annotations

import array
import tracemalloc
from typing import Any

import numpy as np
import pytest

import scistream
from frames import joined, same, sending


def test_nothing_is_copied() -> None:
    sent, out = np.ones((64, 1 << 16)), np.zeros((64, 1 << 16))
    with joined() as (one, other):
        tracemalloc.start()
        try:
            with sending(one, sent):
                assert other.recv(out=out) is out
            assert tracemalloc.get_traced_memory()[1] < sent.nbytes / 16
            with sending(one, sent):
                got = other.recv()
            assert tracemalloc.get_traced_memory()[1] < sent.nbytes * 1.1, "only the new one"
        finally:
            tracemalloc.stop()
    assert same(out, sent)
    assert same(got, sent)


def test_out_is_filled_and_returned() -> None:
    image = np.arange(12, dtype=">f4").reshape(3, 4)
    large = np.zeros((5, 3, 4), ">f4")
    with joined() as (one, other):
        outs: list[Any] = [np.zeros_like(image), large[2], bytearray(48), memoryview(bytearray(48))]
        for out in outs:
            one.send(image)
            assert other.recv(out=out) is out
            assert bytes(out) == image.tobytes()
        assert (large[1] == 0).all()
        for into in (bytearray(5), np.zeros(5, "u1"), memoryview(bytearray(5)).cast("c")):
            one.send(b"12345")
            assert other.recv(out=into) is into
            assert bytes(into) == b"12345"
        times = np.zeros((2, 0), "M8[s]")
        for empty in (times, np.array(0.0)):
            one.send(empty)
            assert other.recv(out=empty) is empty
        one.send(b"")
        assert other.recv(out=bytearray()) == b""


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((2, 3), "f8"),
        np.zeros((2, 3), ">f4"),
        np.zeros((3, 2), "f4"),
        np.zeros(6, "f4"),
        np.zeros((2, 6), "f4")[:, ::2],
        np.asfortranarray(np.zeros((2, 3), "f4")),
        np.broadcast_to(np.zeros(3, "f4"), (2, 3)),
        np.frombuffer(bytes(24), "f4").reshape(2, 3),
        bytes(24),
        bytearray(23),
        bytearray(25),
        memoryview(bytearray(48))[::2],
        array.array("f", [0] * 6),
    ],
    ids=repr,
)
def test_a_frame_that_does_not_fit_out_waits_for_a_call_that_it_suits(out: Any) -> None:
    image = np.arange(6, dtype="<f4").reshape(2, 3)
    with joined() as (one, other):
        one.send(image)
        one.send(b"next")
        for _ in range(2):
            with pytest.raises(scistream.InvalidRequest, match=r"^out: "):
                other.recv(out=out)
        with pytest.raises(TypeError, match=r"^out: an array or a buffer is wanted, not a list$"):
            other.recv(out=[0] * 6)
        assert same(other.recv(), image)
        assert other.recv() == b"next"


@pytest.mark.parametrize(
    ("sent", "out", "said"),
    [
        (b"123", bytearray(2), "a buffer, 2 bytes; what has come is 3 bytes"),
        (b"1", bytearray(2), "a buffer, 2 bytes; what has come is 1 byte"),
        (
            b"12345678",
            array.array("d", [0]),
            "a buffer of items 'd' instead of bytes, 8 bytes; what has come is 8 bytes",
        ),
        (
            np.zeros(3, "f4"),
            np.zeros((1, 3)),
            "an array of float64 and shape (1, 3), 24 bytes; "
            "what has come is an array of float32 and shape (3,), 12 bytes",
        ),
    ],
    ids=repr,
)
def test_an_out_that_does_not_fit_is_described(sent: Any, out: Any, said: str) -> None:
    with joined() as (one, other):
        one.send(sent)
        with pytest.raises(scistream.InvalidRequest) as raised:
            other.recv(out=out)
        assert str(raised.value) == f"out: it is {said}"
        other.recv()


def test_a_frame_over_max_bytes_waits_too() -> None:
    image = np.arange(1000.0)
    with joined(max_bytes=7999) as (one, other):
        for message in (image, image, bytes(8000), b"last"):
            one.send(message)
        with pytest.raises(scistream.InvalidRequest, match=r"8000 bytes.*max_bytes, 7999.*out="):
            other.recv()
        assert same(other.recv(out=np.zeros(1000)), image)
        with pytest.raises(scistream.InvalidRequest, match="max_bytes"):
            other.recv()
        other.max_bytes = 8000
        assert same(other.recv(), image)
        assert other.recv() == bytes(8000)
        assert other.recv() == b"last"


OBJECTS: list[Any] = [
    np.array([None, "text"]),
    np.zeros(2, [("fine", "f4"), ("not", "O")]),
    np.zeros(2, np.longdouble),
    np.zeros(2, np.clongdouble),
    np.ma.zeros(3),
    np.zeros(2, [(("a title", "name"), "f4")]),
    np.zeros(2, {"names": ["a", "b"], "formats": ["f8", "f4"], "offsets": [0, 4]}),
    np.zeros(2, [("line\nbreak", "f4")]),
    np.zeros((2, 3), []),
]


@pytest.mark.parametrize("sent", OBJECTS, ids=lambda sent: str(sent.dtype))
def test_what_cannot_be_sent_is_refused_and_harms_nothing(sent: Any) -> None:
    with joined() as (one, other):
        with pytest.raises(scistream.InvalidRequest):
            one.send(sent)
        one.send(b"fine")
        assert other.recv() == b"fine"


@pytest.mark.parametrize(
    ("data", "meta"),
    [
        (b"", {"a": float("nan")}),
        (b"", {"a": object()}),
        (b"", {1: "a"}),
        (b"", {"a": "x" * 65536}),
        (np.zeros(3), {"a": np.array([1])}),
    ],
)
def test_metadata_must_be_little_and_json(data: Any, meta: Any) -> None:
    with joined() as (one, _), pytest.raises(scistream.InvalidRequest, match="meta"):
        one.send(data, meta=meta)


@pytest.mark.parametrize("sent", ["text", [1.0, 2.0], None, 5], ids=repr)
def test_what_is_neither_array_nor_buffer_is_a_type_error(sent: Any) -> None:
    with joined() as (one, _), pytest.raises(TypeError, match=r"numpy\.asarray"):
        one.send(sent)
