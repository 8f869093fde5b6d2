"""Running a command by exec over WebSocket: what is sent, what is gathered, how it may go wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from isthmus.kube import errors
from isthmus.kube.remote_command import Output, forge_frame, run_command
from tests.kube.fake import Exchange
from tests.kube.test_client import talking

SUCCESS = b'{"status":"Success"}'


def frame(payload: bytes, kind: int = 2, final: bool = True) -> bytes:
    """As a server sends it: not masked."""
    head = bytes([(0x80 if final else 0) | kind])
    length = len(payload)
    return head + (bytes([length]) if length < 126 else bytes([126]) + length.to_bytes(2, "big")) + payload


def unmask(message: bytes) -> bytes:
    """What one short frame of a client carries."""
    mask = message[2:6]
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(message[6:]))


def answering(*frames: bytes, seen: list[Any] | None = None) -> Callable[[Exchange], Awaitable[None]]:
    async def handle(exchange: Exchange) -> None:
        exchange.writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
        )
        if seen is not None:
            seen.extend([exchange.headers, unmask(await exchange.reader.read(100))])
        for one in frames:
            exchange.writer.write(one)
        await exchange.writer.drain()
        exchange.writer.close()
        exchange.over = True

    return handle


async def test_a_command_gets_its_input_and_gives_its_output() -> None:
    seen: list[Any] = []
    handle = answering(
        frame(b"\x01one "), frame(b"x", 9), frame(b"\x01t", final=False), frame(b"wo", 0),
        frame(b"\x02wrong"), frame(b"\x03" + SUCCESS), seen=seen,
    )  # fmt: skip
    async with talking(handle) as (client, _):
        output = await run_command(client, "ns", "pod", "main", ["cat"], stdin=b"hello\n")
    assert output == Output(b"one two", b"wrong", 0)
    assert seen[0]["sec-websocket-protocol"].startswith("v5.channel.k8s.io")
    assert seen[1] == b"\x00hello\n"


async def test_the_exit_code_is_told() -> None:
    causes = b'[{"reason":"ExitCode","message":"3"}]'
    status = b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":%s}}' % causes
    async with talking(answering(frame(b"\x03" + status))) as (client, _):
        assert (await run_command(client, "ns", "pod", "main", ["false"])).code == 3


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([frame(b"\x01half")], "broke off"),
        ([frame(b"", 8)], "ended before the command did"),
        ([b"\x82\x85abcdabcde"], "received an invalid WebSocket frame"),
        ([frame(b'\x03{"status":"Failure","message":"no such program"}')], "no such program"),
    ],
)
async def test_what_goes_wrong_names_the_pod(frames: list[bytes], said: str) -> None:
    async with talking(answering(*frames)) as (client, _):
        with pytest.raises(errors.TransportError, match=f"exec in pod ns/pod: .*{said}"):
            await run_command(client, "ns", "pod", "main", ["cat"])


async def test_a_command_that_does_not_end_is_given_up() -> None:
    async def handle(exchange: Exchange) -> None:
        exchange.writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        await exchange.reader.read()
        exchange.writer.close()
        exchange.over = True

    async with talking(handle) as (client, _):
        with pytest.raises(errors.TransportError, match=r"did not end within 0\.2 s"):
            await run_command(client, "ns", "pod", "main", ["cat"], timeout=0.2)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_are_masked_and_say_their_length(size: int) -> None:
    payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    made = forge_frame(payload)
    head = 2 if size < 126 else 4 if size < 65536 else 10
    mask = made[head : head + 4]
    assert made[1] & 0x80
    assert bytes(byte ^ mask[at % 4] for at, byte in enumerate(made[head + 4 :])) == payload
