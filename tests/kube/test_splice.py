"""Two connections spliced: every byte arrives, in order, both ways, and all ends when it should."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.kube import splice as module
from isthmus.kube.splice import splice

End = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CHUNKS = st.lists(st.binary(min_size=1, max_size=5000), max_size=12)


async def pair() -> tuple[End, End]:
    ours, theirs = socket.socketpair()
    return await asyncio.open_connection(sock=ours), await asyncio.open_connection(sock=theirs)


@asynccontextmanager
async def spliced(idle: float = 30.0) -> AsyncIterator[tuple[End, End, asyncio.Task[None]]]:
    """Two far ends whose near ends are spliced."""
    left, near_left = await pair()
    right, near_right = await pair()
    task = asyncio.create_task(splice(near_left, near_right, idle=idle))
    try:
        yield left, right, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for _, writer in (left, right, near_left, near_right):
            writer.close()


async def send(end: End, chunks: list[bytes]) -> None:
    for chunk in chunks:
        end[1].write(chunk)
        await end[1].drain()
        await asyncio.sleep(0)
    end[1].write_eof()


@settings(max_examples=40, deadline=None)
@given(forth=CHUNKS, back=CHUNKS)
async def test_every_byte_arrives_however_the_stream_is_cut(forth: list[bytes], back: list[bytes]) -> None:
    async with spliced() as (left, right, task), asyncio.timeout(20):
        results = await asyncio.gather(send(left, forth), send(right, back), right[0].read(), left[0].read())
        assert results[2] == b"".join(forth)
        assert results[3] == b"".join(back)
        await task


async def test_one_direction_may_end_before_the_other() -> None:
    async with spliced() as (left, right, task), asyncio.timeout(5):
        left[1].write(b"the question")
        left[1].write_eof()
        assert await right[0].read() == b"the question"
        right[1].write(b"the answer")
        right[1].write_eof()
        assert await left[0].read() == b"the answer"
        await task


async def test_a_side_that_ends_ends_the_other_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER", 0.05)
    async with spliced() as (left, right, task), asyncio.timeout(5):
        left[1].close()
        await task
        assert await right[0].read() == b""


async def test_a_slow_reader_stops_the_sender_and_costs_no_memory() -> None:
    async with spliced() as (left, right, _), asyncio.timeout(20):
        accepted = 0
        block = bytes(64 * 1024)

        async def send_until_stopped() -> None:
            nonlocal accepted
            while accepted < 64 << 20:
                left[1].write(block)
                accepted += len(block)
                await asyncio.wait_for(left[1].drain(), 0.5)

        with pytest.raises(TimeoutError):
            await send_until_stopped()
        assert accepted < 8 << 20
        left[1].write_eof()
        read = 0
        while chunk := await right[0].read(1 << 20):
            read += len(chunk)
        assert read == accepted


async def test_silence_ends_it_and_activity_does_not() -> None:
    async with spliced(idle=0.2) as (left, right, task), asyncio.timeout(5):
        for _ in range(4):
            await asyncio.sleep(0.1)
            left[1].write(b"x")
            assert await right[0].read(1) == b"x"
        assert not task.done()
        await task
        assert await left[0].read() == b""
        assert await right[0].read() == b""


async def test_a_reset_is_an_end_like_any_other() -> None:
    async with spliced() as (left, right, task), asyncio.timeout(10):
        left[1].transport.abort()
        right[1].write(b"into the void")
        right[1].write_eof()
        await task


async def test_cancelling_closes_both_sides() -> None:
    async with spliced() as (left, right, task), asyncio.timeout(5):
        await asyncio.sleep(0)
        task.cancel()
        assert await left[0].read() == b""
        assert await right[0].read() == b""
