"""The probes and the agent that answers them, over the loopback device; and driving an agent by exec."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import msgspec
import pytest

from isthmus.cli.nettest import exchange
from isthmus.cli.nettest.agent import answer_to, main, perform_all, serve
from isthmus.cli.nettest.exchange import forge_echo, perform
from isthmus.cli.nettest.probes import CALL, REPLY, WHO, WHO_SIZE, Probe, Results, Work


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


@contextlib.contextmanager
def answering(kind: socket.SocketKind, answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Something on a port of the loopback device that answers as it is told, once."""
    with socket.socket(socket.AF_INET, kind) as server:
        server.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            server.listen()
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        yield int(server.getsockname()[1])
        thread.join()


def other_bytes(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"rome/pod-r1\n")
        while connection.recv(4096):
            pass
        connection.sendall(b"short")


def test_other_bytes_than_were_sent_are_told() -> None:
    with answering(socket.SOCK_STREAM, other_bytes) as number:
        result = perform(Probe(0, "tcp", "127.0.0.1", number, 64))
    assert (result.ok, result.detail) == (False, "64 bytes were sent, 5 others came back")


@pytest.mark.parametrize("number", [errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN])
def test_a_connection_that_is_ended_is_told_whatever_was_done_with_it(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: object, **__: object) -> None:
        raise OSError(number, "as the kernel has it")

    monkeypatch.setattr(socket, "create_connection", connect)
    result = perform(Probe(0, "tcp", "10.0.0.1", 8207, 64))
    assert result.detail == "reset: something on the way, or the pod, ended the connection"


def test_a_pod_that_is_connected_to_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "PATIENCE", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        result = perform(Probe(0, "tcp", "127.0.0.1", silent.getsockname()[1], 64))
    assert (result.ok, result.detail) == (False, "connected, but 64 bytes did not come back within 0.05 s")


def test_datagrams_that_nobody_answers_are_repeated_and_then_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "PAUSE", 0.01)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        number = silent.getsockname()[1]
        echo = perform(Probe(0, "udp", "127.0.0.1", number, 1400))
        who = perform(Probe(1, "udp", "127.0.0.1", number, 0, ("rome/pod-r1",)))
        silent.setblocking(False)
        sizes = []
        with contextlib.suppress(BlockingIOError):
            while True:
                sizes.append(len(silent.recv(2000)))
    assert (echo.ok, echo.detail.split(" (")[0]) == (False, "no answer to 5 tries")
    assert sizes == [1400] * 5 + [WHO_SIZE] * 10
    assert who.detail == (
        "5 of 5 tries failed (no answer to two datagrams); never answered in 5 tries: rome/pod-r1"
    )


def test_a_datagram_that_is_lost_is_told_as_remarkable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "PAUSE", 0.2)

    def answer_the_second(server: socket.socket) -> None:
        server.recv(2000)
        came, where = server.recvfrom(2000)
        server.sendto(REPLY + came[len(CALL) :], where)

    with answering(socket.SOCK_DGRAM, answer_the_second) as number:
        result = perform(Probe(0, "udp", "127.0.0.1", number, 64))
    assert result.ok
    assert result.detail in [f"answered at attempt {n}" for n in (2, 3, 4)], (
        "as soon as this machine has time"
    )


def test_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*_: object) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(exchange, "NAMES_PATIENCE", 0.0)
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(exchange.time, "sleep", lambda _: None)
    result = perform(Probe(0, "names", "probe-headless", count=2))
    assert result.detail == "the name probe-headless is not known: Name or service not known"


def run_agent(monkeypatch: pytest.MonkeyPatch, *words: str, stdin: bytes = b"") -> int:
    monkeypatch.setattr(sys, "argv", ["isthmus", "probe", *words])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    return main()


def test_a_batch_of_work_is_one_line_in_and_one_out(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    work = msgspec.json.encode(Work([Probe(3, "connect", "127.0.0.1", 1)], 5.0))
    assert run_agent(monkeypatch, "run", stdin=work + b"\n") == 0
    (result,) = msgspec.json.decode(capfdbinary.readouterr().out, type=Results).results
    assert (result.id, result.ok, result.detail) == (3, False, "refused: nothing listens there")


def test_work_that_cannot_be_read_is_another_versions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_agent(monkeypatch, "run", stdin=b"[]\n") == 2
    assert "the work cannot be read (" in capsys.readouterr().err
    assert run_agent(monkeypatch, "dance") == 2
    assert capsys.readouterr().err == "probe: serve, wait or run\n"
