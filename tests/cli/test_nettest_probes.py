"""The probes and the agent that answers them, over the loopback device; and driving an agent by exec."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from isthmus.cli.nettest.agent import answer_to, perform_all, serve
from isthmus.cli.nettest.exchange import forge_echo, perform
from isthmus.cli.nettest.probes import CALL, REPLY, WHO, WHO_SIZE, Probe, Work


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """An agent called rome/pod-r1 on this port of the loopback device."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    task = asyncio.create_task(serve("rome/pod-r1", "127.0.0.1", number))
    for _ in range(500):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", number)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.write_eof()
            writer.close()
            await writer.wait_closed()
            break
    yield number
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait(others, timeout=5.0) if others else None


@pytest.mark.parametrize("size", [64, 1400, 8000])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_bytes_come_back(port: int, protocol: str, size: int) -> None:
    probe = Probe(7, protocol, "127.0.0.1", port, size)  # type: ignore[arg-type]
    result = await asyncio.to_thread(perform, probe)
    assert (result.id, result.ok, result.detail) == (7, True, "")


async def test_the_wrong_pod_answering_is_a_failure(port: int) -> None:
    probe = Probe(0, "tcp", "127.0.0.1", port, 64, ("milan/pod-m1",))
    result = await asyncio.to_thread(perform, probe)
    assert (result.ok, result.detail) == (False, "rome/pod-r1 answered instead of milan/pod-m1")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
async def test_replicas_are_asked_until_each_has_answered(port: int, protocol: str) -> None:
    both = [
        Probe(0, protocol, "127.0.0.1", port, 0, ("rome/pod-r1",)),  # type: ignore[arg-type]
        Probe(1, protocol, "127.0.0.1", port, 0, ("rome/pod-r1", "rome/pod-r2")),  # type: ignore[arg-type]
    ]
    first, second = await asyncio.to_thread(perform_all, Work(both, 10.0))
    assert first.ok
    assert (second.ok, second.detail) == (False, "never answered in 80 tries: rome/pod-r2")


def test_nobody_there_is_told_as_such() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        result = perform(Probe(0, "connect", "127.0.0.1", closed.getsockname()[1]))
    assert (result.ok, result.detail) == (False, "refused: nothing listens there")


def test_no_probe_is_begun_when_time_is_over() -> None:
    (result,) = perform_all(Work([Probe(0, "connect", "127.0.0.1", 1)], -1.0))
    assert result.detail == "not tried: no time was left"


def test_agents_never_answer_answers_nor_with_more_than_was_asked() -> None:
    name = REPLY + b"rome/pod-r1"
    echoed = answer_to(CALL + b"x" * 50, name)
    assert echoed == REPLY + b"x" * 50
    assert answer_to(echoed, name) == b""
    assert answer_to(b"anything else", name) == b""
    asked = WHO.ljust(WHO_SIZE, b".")
    assert answer_to(asked, name) == name
    assert len(answer_to(WHO + b".", name)) <= len(WHO) + 1


@pytest.mark.parametrize("body", [b"", b"a", b"ab" * 700])
def test_the_checksum_of_an_echo_is_right(body: bytes) -> None:
    message = forge_echo(1, 2, body) + b"\0" * (len(body) % 2)
    total = sum(int.from_bytes(message[at : at + 2], "big") for at in range(0, len(message), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


Lookup = Callable[..., list[tuple[object, object, object, object, tuple[str, int]]]]


@pytest.mark.parametrize(("count", "ok"), [(2, True), (3, False)])
def test_names_lead_to_as_many_addresses(count: int, ok: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.cli.nettest.exchange.NAMES_PATIENCE", 0.0)
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *_: [(0, 0, 0, "", ("10.0.0.1", 0)), (0, 0, 0, "", ("10.9.0.2", 0))]
    )
    result = perform(Probe(0, "names", "probe-headless", expected=("10.0.0.1",), count=count))
    assert result.ok is ok
