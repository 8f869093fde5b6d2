"""What runs in a probe pod: an echo service (`serve`), waiting to be used (`wait`), and one batch of probes (`run`).

`serve` and `wait` are the pod's main process and end with SIGTERM; `run` is started by exec, reads one line of JSON,
prints another and ends. A probe that fails is a result, never an error; work that cannot be read ends with code 2.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec

from isthmus.cli.nettest.exchange import perform
from isthmus.cli.nettest.probes import CALL, LARGEST, PORT, REPLY, WHO, Probe, Result, Results, Work

PARALLEL = 16
"""Probes at a time: most of a failing one is waiting."""
IDLE = 30.0
"""Seconds after which a connection that nothing comes over is closed."""


def main() -> int:
    """Run as the second argument says; the exit code."""
    match sys.argv[2:]:
        case ["serve"]:
            asyncio.run(serve(os.environ.get("POD_NAME", "unnamed")))
        case ["wait"]:
            asyncio.run(_end_of_pod())
        case ["run"]:
            return _run_batch()
        case _:
            print("probe: serve, wait or run", file=sys.stderr)
            return 2
    return 0


def _run_batch() -> int:
    try:
        work = msgspec.json.decode(sys.stdin.buffer.readline(), type=Work)
    except msgspec.DecodeError as error:
        print(f"the work cannot be read ({error}): the image is of another version?", file=sys.stderr)
        return 2
    sys.stdout.buffer.write(msgspec.json.encode(Results(perform_all(work))) + b"\n")
    return 0


def perform_all(work: Work) -> list[Result]:
    """Do all probes, several at a time, none begun after the time that is given."""
    end = time.monotonic() + work.seconds

    def perform_in_time(probe: Probe) -> Result:
        if time.monotonic() > end:
            return Result(probe.id, False, 0.0, "not tried: no time was left")
        return perform(probe)

    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(perform_in_time, work.probes))


async def serve(name: str, host: str = "0.0.0.0", port: int = PORT) -> None:  # noqa: S104 -- to be reached is its task
    """Echo over TCP and UDP until SIGTERM, saying who answers."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = LARGEST
        try:
            writer.write(f"{name}\n".encode())
            while left > 0:
                async with asyncio.timeout(IDLE):
                    came = await reader.read(left)
                    if not came:
                        break
                    left -= len(came)
                    writer.write(came)
                    await writer.drain()
        except (OSError, TimeoutError):
            pass  # Whoever asked has gone: there is nobody to tell.
        finally:
            writer.close()

    server = await asyncio.start_server(echo, host, port)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: DatagramEcho(name), local_addr=(host, port)
    )
    try:
        async with server:
            await _end_of_pod()
    finally:
        transport.close()


class DatagramEcho(asyncio.DatagramProtocol):
    """Answers questions only, and never with more than was asked."""

    def __init__(self, name: str) -> None:
        self._answer = REPLY + name.encode()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Remember where to send."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one datagram."""
        answer = answer_to(data, self._answer)
        if answer and self._transport is not None:
            self._transport.sendto(answer, addr)


def answer_to(data: bytes, answer: bytes) -> bytes:
    """What to answer to a datagram, b"" for nothing."""
    if data.startswith(WHO + b".") and len(data) >= len(answer):
        return answer
    return REPLY + data[len(CALL) :] if data.startswith(CALL) else b""


async def _end_of_pod() -> None:
    # The first process of a container gets no signal it has no handler for.
    ended = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, ended.set)
    await ended.wait()
