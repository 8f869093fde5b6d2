"""Running a command in a container through the API server (exec), over WebSocket, to its end.

One request, one connection, closed on return. Fails with the errors of `errors`: ApiError where the API server or
the kubelet refuses, TransportError where the connection breaks, is too slow or talks something else.
"""

from __future__ import annotations

import asyncio
import base64
import os
from typing import Any

import msgspec

from isthmus.kube.builtin import PODS
from isthmus.kube.client import Client, Upgraded
from isthmus.kube.errors import TransportError

PROTOCOLS = "v5.channel.k8s.io, v4.channel.k8s.io"
MAX_OUTPUT = 32 * 1024 * 1024
"""Bytes of output beyond which a command is given up."""
_STDIN, _STDOUT, _STDERR, _STATUS = 0, 1, 2, 3
_CHUNK = 16 * 1024
_CONTINUED, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10


class Output(msgspec.Struct, frozen=True):
    """What a command wrote, and the exit code it ended with."""

    stdout: bytes
    stderr: bytes
    code: int


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct, frozen=True):
    causes: list[_Cause] = []


class _Status(msgspec.Struct, frozen=True):
    status: str = ""
    message: str = ""
    reason: str = ""
    details: _Details | None = None


async def run_command(
    client: Client,
    namespace: str,
    pod: str,
    container: str,
    command: list[str],
    *,
    stdin: bytes = b"",
    timeout: float = 60.0,
) -> Output:
    """Run the command to its end, within `timeout` seconds in all.

    Its stdin is not closed: the command must know from what it read where that ends. Raises KubeError.
    """
    query = [("command", word) for word in command]
    query += [("container", container), ("stdin", "true"), ("stdout", "true"), ("stderr", "true")]
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode()),
        ("Sec-WebSocket-Protocol", PROTOCOLS),
    ]
    what = f"exec in pod {namespace}/{pod}"
    try:
        async with asyncio.timeout(timeout):
            connection = await client.upgrade(
                "GET", PODS.path(namespace, pod, "exec"), query=query, headers=headers
            )
            try:
                return await _converse(connection, stdin)
            finally:
                connection.writer.close()
    except TimeoutError:
        raise TransportError(f"{what}: the command did not end within {timeout:g} s") from None
    except (asyncio.IncompleteReadError, OSError) as error:
        raise TransportError(f"{what}: the connection broke off: {error}") from None
    except _ProtocolError as error:
        raise TransportError(f"{what}: {error}") from None


class _ProtocolError(Exception):
    """The other end does not talk WebSocket as agreed."""


async def _converse(connection: Upgraded, stdin: bytes) -> Output:
    reader, writer = connection.reader, connection.writer
    for start in range(0, len(stdin), _CHUNK):
        writer.write(forge_frame(bytes([_STDIN]) + stdin[start : start + _CHUNK]))
        await writer.drain()
    output = {_STDOUT: bytearray(), _STDERR: bytearray(), _STATUS: bytearray()}
    message = bytearray()
    while True:
        final, kind, payload = await _read_frame(reader)
        if kind == _PING:
            writer.write(forge_frame(payload, kind=_PONG))
            continue
        if kind == _CLOSE:
            break
        if kind not in (_CONTINUED, _TEXT, _BINARY):
            continue
        message += payload
        if not final:
            continue
        if message and message[0] in output:
            output[message[0]] += message[1:]
        channel = message[0] if message else -1
        message.clear()
        if sum(map(len, output.values())) > MAX_OUTPUT:
            raise _ProtocolError(f"it wrote more than {MAX_OUTPUT} bytes")
        if channel == _STATUS:
            break
    return Output(bytes(output[_STDOUT]), bytes(output[_STDERR]), _exit_code(bytes(output[_STATUS])))


async def _read_frame(reader: Any) -> tuple[bool, int, bytes]:
    """Whether it is the last of its message, its kind, and what it carries."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length >= 126:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    if length > MAX_OUTPUT or second & 0x80:
        raise _ProtocolError("received an invalid WebSocket frame")
    return bool(first & 0x80), first & 0x0F, await reader.readexactly(length)


def forge_frame(payload: bytes, *, kind: int = _BINARY) -> bytes:
    """A whole message as one frame, masked as a client's must be (RFC 6455, 5.2)."""
    length = len(payload)
    head = bytes([0x80 | kind])
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 1 << 16:
        head += bytes([0x80 | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + length.to_bytes(8, "big")
    mask = os.urandom(4)
    repeated = (mask * (length // 4 + 1))[:length]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return head + mask + masked.to_bytes(length, "big")


def _exit_code(status: bytes) -> int:
    """The exit code that the final Status tells."""
    try:
        told = msgspec.json.decode(status, type=_Status)
    except msgspec.DecodeError:
        raise _ProtocolError("the connection ended before the command did") from None
    if told.status == "Success":
        return 0
    for cause in told.details.causes if told.details else []:
        if cause.reason == "ExitCode" and cause.message.isdecimal():
            return int(cause.message)
    raise _ProtocolError(told.message or told.reason or "the command failed, nobody says why")
