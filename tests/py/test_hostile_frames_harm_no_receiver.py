"""What comes in frames is not trusted: it is refused, costs little, and is never run."""

from __future__ import annotations

import json
import random
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scistream
from frames import END, frame, receiver
from scistream import arrays


def array_frame(
    dtype: Any = "<f4", shape: Any = (2,), payload: bytes = bytes(8), **more: Any
) -> bytes:
    return frame(2, {"dtype": dtype, "shape": shape, **more}, payload)


def nested(depth: int) -> Any:
    dtype: Any = "<f4"
    for _ in range(depth):
        dtype = [["a", dtype]]
    return dtype


def name(dtype: Any) -> str:
    return ascii(json.dumps(dtype))[:40]


BAD: dict[str, bytes] = {
    "another protocol": b"GET /detector HTTP/1.1\r\n\r\n",
    "another version": frame(1).replace(b"SCA\x01", b"SCA\x02"),
    "an unknown kind": frame(4),
    "an end with a header": frame(0, {}),
    "an end with a payload": frame(0, b"", b"x"),
    "a close with a header": frame(3, {}),
    "a close with a payload": frame(3, b"", b"x"),
    "no JSON": frame(1, b"{'meta': {}}"),
    "no UTF-8": frame(1, b'{"a": "\xff"}'),
    "UTF-16": frame(1, '{"a": 1}'.encode("utf-16")),
    "no object": frame(1, [1]),
    "two objects": frame(1, b"{}{}"),
    "NaN": frame(1, b'{"meta": {"a": NaN}}'),
    "metadata that are no object": frame(1, {"meta": [1]}),
    "JSON that is very deep": frame(1, b"[" * 65535),
    "a number of many digits": frame(1, b'{"meta": {"a": ' + b"9" * 65000),
    "an array without a header": frame(2, b"", bytes(8)),
    "an array without a shape": frame(2, {"dtype": "<f4"}, bytes(8)),
    "too little payload": array_frame(payload=bytes(7)),
    "too much payload": array_frame(payload=bytes(9)),
    "payload for no items": array_frame(shape=[0]),
    "a thousand dimensions": array_frame(shape=[1] * 1000, payload=bytes(4)),
    "33 dimensions": array_frame(shape=[1] * 33, payload=bytes(4)),
    "a negative size": array_frame(shape=[-2]),
    "two negative sizes": array_frame(shape=[-1, -2]),
    "a size that is no integer": array_frame(shape=[2.0]),
    "a size that is a truth value": array_frame(dtype="<f8", shape=[True]),
    "a size that is text": array_frame(shape=["2"]),
    "a size of 64 bits": array_frame(shape=[1 << 63, 0], payload=b""),
    "sizes whose product wraps around to it": array_frame(shape=[1 << 32, 1 << 32, 2]),
    "an empty array of sizes that are too large": array_frame(
        shape=[1 << 62, 1 << 62, 0], payload=b""
    ),
    "a shape that is no list": array_frame(shape=2),
}
BAD_DTYPES: list[Any] = [
    *("O", "|O", "object", "<O8", "|O8", "float32", "f4", "=f4", "d", "", " <f4", "<f4 ", "<f4\n"),
    *(
        "<f3",
        "<f16",
        "<c32",
        "<i16",
        "|i4",
        "|f4",
        "|M8[s]",
        "b1",
        "?",
        "T",
        "|T16",
        "2<f4",
        "<f4,<f4",
    ),
    *("<f\uff14", "<f\u0664", "\uff1cf4", "<f4\0", "<F4", "<M8[weeks]", "<M8[0s]", "<M8[1e3s]"),
    *(
        "<M8[10000000000s]",
        "<M8[s/2]",
        "<M8[s]//2",
        "S",
        "|S0",
        "|S-1",
        "<U0",
        "|S99999999999",
        "|V0",
    ),
    *("|S4294967297", "__import__('os').system('true')", "(1<<30,)f4", "i4[1]", None, 4, True, {}),
    {"names": ["a"], "formats": ["<f4"], "offsets": [0]},
    [],
    [[]],
    ["<f4"],
    [["a", "<f4", [2], "more"]],
    [["a", "O"]],
    [["a", "<f4"], ["a", "<f4"]],
    [["", "<f4"], ["b", "<f4"]],
    [["", [["c", "<f4"]]]],
    [["a\n", "<f4"]],
    [["\ud800", "<f4"]],
    [[["title", "a"], "<f4"]],
    [[1, "<f4"]],
    [["a", "<f4", 2]],
    [["a", "<f4", [-1]]],
    [["a", "<f4", [1 << 31, 1 << 31]]],
    [["a", "|S2147483647"], ["b", "|S2147483647"]],
    [["a", "<f4", [0]]],
    nested(9),
    nested(300),
]


@pytest.mark.parametrize("written", BAD.values(), ids=BAD)
def test_what_is_no_frame_is_refused(written: bytes) -> None:
    with receiver() as (speaker, hearer):
        speaker.sendall(written)
        for _ in range(2):
            with pytest.raises(arrays.BadFrame):
                hearer.recv()
        hearer.send(b"the other direction goes on")


@pytest.mark.parametrize("dtype", BAD_DTYPES, ids=name)
def test_a_dtype_that_is_not_sent_is_refused(dtype: Any) -> None:
    for out in (None, bytearray(8)):
        with receiver() as (speaker, hearer):
            speaker.sendall(array_frame(dtype))
            with pytest.raises(arrays.BadFrame):
                hearer.recv(out)


@pytest.mark.parametrize("kind", [1, 2])
def test_what_was_announced_takes_no_memory_before_it_comes(kind: int) -> None:
    def resident() -> int:
        status = Path("/proc/self/statm").read_text("ascii").split()
        return int(status[1]) * resource.getpagesize()

    header = {"dtype": "<f8", "shape": [1 << 27]} if kind == 2 else b""
    with receiver(max_bytes=1 << 30) as (speaker, hearer):
        hearer.settimeout(0)
        before = resident()
        speaker.sendall(frame(kind, header, size=1 << 30) + b"a little")
        with pytest.raises(scistream.Timeout):
            hearer.recv()
        assert resident() - before < 1 << 26


@pytest.mark.parametrize("size", [(1 << 30) + 8, (1 << 63) - 8, (1 << 64) - 8])
def test_what_is_over_max_bytes_is_refused_at_once(size: int) -> None:
    with receiver() as (speaker, hearer):
        speaker.sendall(frame(1, size=size))
        with pytest.raises(scistream.InvalidRequest, match="max_bytes, 1073741824"):
            hearer.recv()


def mutations(chance: random.Random) -> bytes:
    """Some frames, with bits turned, and parts removed, repeated or exchanged."""
    written = b"".join(
        chance.choice(
            [
                frame(1, {"meta": {"a": [1, "b", None]}}, chance.randbytes(chance.randrange(40))),
                frame(1, b"", b"xyz"),
                array_frame(),
                array_frame(">i2", [2, 2]),
                array_frame([["x", "<M8[ns]"], ["", "|V3"], ["y", "|S5", [1]]], [1], bytes(16)),
            ]
        )
        for _ in range(4)
    )
    data = bytearray(written + END)
    for _ in range(chance.randrange(4)):
        at, length = chance.randrange(len(data)), chance.randrange(6)
        how = chance.randrange(4)
        if how == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif how == 1:
            del data[at : at + length]
        elif how == 2:
            data[at:at] = data[at : at + length]
        else:
            data[at : at + length] = chance.choice([b'"', b"9", b"-1", b"[[", b"\xff", b"|O"])
    return bytes(data)


@pytest.mark.parametrize("seed", range(8))
def test_no_damage_gets_further_than_the_receiver(seed: int) -> None:
    chance = random.Random(seed)
    ends = (arrays.EndOfStream, arrays.BadFrame, scistream.Unavailable, scistream.InvalidRequest)
    met = set()
    for _ in range(500):
        with receiver(max_bytes=1 << 16) as (speaker, hearer):
            speaker.sendall(mutations(chance))
            speaker.close()
            try:
                while True:
                    assert isinstance(hearer.recv(), (bytes, np.ndarray))
            except ends as ended:
                met.add(type(ended))
    assert met == set(ends)
