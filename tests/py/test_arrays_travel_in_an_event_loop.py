"""Arrays travel in an event loop as they do in threads."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import numpy as np
import pytest

import scistream
from frames import frame, joined, narrow, receiver, same
from scistream import arrays

IMAGE = np.random.default_rng(1).normal(size=(200, 300))


def test_both_directions_flow_in_one_loop() -> None:
    async def send(end: arrays.Connection) -> None:
        for number in range(20):
            await end.asend(IMAGE, meta={"frame": number})
            await end.asend(b"bytes")
        await end.aend()

    async def check(end: arrays.Connection) -> None:
        out = np.empty_like(IMAGE)
        for number in range(20):
            got, meta = await end.arecv_frame(out)
            assert got is out
            assert same(got, IMAGE)
            assert meta == {"frame": number}
            assert await end.arecv() == b"bytes"
        assert [message async for message in end] == []

    async def both() -> None:
        with narrow() as (one, other):
            await asyncio.gather(send(one), check(other), send(other), check(one))

    asyncio.run(both())


def test_leaving_the_block_says_the_end() -> None:
    async def run() -> None:
        with joined() as (one, other):
            async with one:
                await one.asend(IMAGE)
            assert [same(message, IMAGE) async for message in other] == [True]
            with pytest.raises(ZeroDivisionError):
                async with other:
                    _ = 1 / 0
            with pytest.raises(scistream.InvalidState):
                await other.asend(b"")

    asyncio.run(run())


def test_cancelling_a_receive_loses_nothing() -> None:
    written = frame(2, {"dtype": "<f8", "shape": [200, 300]}, IMAGE.tobytes())
    chance = random.Random(3)

    async def run() -> None:
        with receiver() as (speaker, hearer):
            at = 0
            while at < len(written):
                receiving = asyncio.ensure_future(hearer.arecv())
                await asyncio.sleep(0)
                size = chance.randrange(1, 40_000)
                speaker.sendall(written[at : at + size])
                at += size
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
                receiving.cancel()
                try:
                    got: Any = await receiving
                except asyncio.CancelledError:
                    got = None
            assert same(await hearer.arecv() if got is None else got, IMAGE)

    asyncio.run(run())


def test_waits_end_by_time_and_by_close() -> None:
    async def run() -> None:
        with joined() as (one, other), narrow() as (full, _unread):
            one.settimeout(0.02)
            with pytest.raises(scistream.Timeout):
                await one.arecv()
            waiting = [
                asyncio.ensure_future(other.arecv()),
                asyncio.ensure_future(full.asend(IMAGE)),
            ]
            await asyncio.sleep(0)
            with pytest.raises(scistream.InvalidState, match="another call"):
                await other.arecv()
            other.close()
            full.close()
            for call in waiting:
                with pytest.raises(scistream.Cancelled):
                    await call
            assert (other.fileno(), full.fileno()) == (-1, -1)

    asyncio.run(run())


def test_a_send_that_was_cancelled_cuts_the_stream() -> None:
    async def run() -> None:
        with narrow() as (one, other):
            sending = asyncio.ensure_future(one.asend(IMAGE))
            await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            with pytest.raises(scistream.InvalidState, match="cut"):
                await one.asend(b"")
            one.close()
            with pytest.raises(scistream.Unavailable, match="middle"):
                await other.arecv()

    asyncio.run(run())
