"""One probe, done here: packets sent to an address and what came back, over plain blocking sockets.

Runs in probe pods, several at a time in threads, and on the user's machine. Nothing raises: what goes wrong is the
detail of the result, in words a user understands. Each probe is bounded by a few seconds.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Callable

from isthmus.cli.nettest.probes import CALL, REPLY, WHO, WHO_SIZE, Probe, Result

PATIENCE = 3.0
"""Seconds a connection, and an echo over it, may take."""
ATTEMPTS, PAUSE = 4, 1.0
"""Datagrams may get lost, the first large one must where the path's MTU is not known yet: tries, seconds of each."""
NAMES_PATIENCE = 12.0
"""Seconds for a name server to learn of addresses: it may keep an old answer for some."""
REPLICAS_PATIENCE = 20.0
TRIES_PER_REPLICA = 40
"""So many tries a replica miss one, chosen at random, less than once in 10^12 times."""
_IP_MTU_DISCOVER, _IP_MTU = 10, 14
_DISCOVER_NEVER = 0
_ECHO_REQUEST, _ECHO_REPLY = 8, 0


class ProbeError(Exception):
    """Why a probe did not succeed, as a user reads it."""


def perform(probe: Probe) -> Result:
    """Do one probe."""
    started = time.monotonic()
    try:
        detail, ok = _PERFORM[probe.protocol](probe), True
    except ProbeError as failure:
        detail, ok = str(failure), False
    except OSError as error:
        detail, ok = _explain(error), False
    return Result(probe.id, ok, round((time.monotonic() - started) * 1000, 1), detail)


def _explain(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {PATIENCE:g} s"
    ended = "reset: something on the way, or the pod, ended the connection"
    reasons = {
        errno.ECONNREFUSED: "refused: nothing listens there",
        errno.EHOSTUNREACH: "host unreachable: a router on the way has no route, or refuses",
        errno.ENETUNREACH: "network unreachable: there is no route in the pod",
        **dict.fromkeys((errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN), ended),
        errno.EMSGSIZE: "too large for the path, and not fragmented",
        errno.EPERM: "not permitted by a firewall of the node, or the pod lacks the right to send it",
        errno.EACCES: "the pod has not got the right to send it",
    }
    return reasons.get(error.errno or 0, str(error))


def _probe_connect(probe: Probe) -> str:
    with socket.create_connection((probe.address, probe.port), timeout=PATIENCE):
        return ""


def _probe_tcp(probe: Probe) -> str:
    if probe.size == 0:
        return _ask_replicas(probe, lambda: _ask_tcp(probe))
    who = _ask_tcp(probe)
    if probe.replicas and who not in probe.replicas:
        raise ProbeError(f"{who} answered instead of {', '.join(probe.replicas)}")
    return ""


def _ask_tcp(probe: Probe) -> str:
    """Who answers; with a size, after as many bytes came back as were sent."""
    try:
        connection = socket.create_connection((probe.address, probe.port), timeout=PATIENCE)
    except TimeoutError:
        raise ProbeError(f"no connection within {PATIENCE:g} s") from None
    with connection:
        try:
            stream = connection.makefile("rb")
            who = stream.readline(256).decode("ascii", "replace").strip()
            sent = os.urandom(probe.size)
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            came = stream.read(probe.size + 1)
        except TimeoutError:
            raise ProbeError(
                f"connected, but {probe.size} bytes did not come back within {PATIENCE:g} s"
            ) from None
    if came != sent:
        raise ProbeError(f"{probe.size} bytes were sent, {len(came)} others came back")
    return who


def _ask_replicas(probe: Probe, ask: Callable[[], str]) -> str:
    """Ask until each replica has answered. Raises ProbeError naming those that have not."""
    missing, failures, last = set(probe.replicas), 0, ""
    give_up = time.monotonic() + REPLICAS_PATIENCE
    tries = 0
    while missing and tries < TRIES_PER_REPLICA * len(probe.replicas) and time.monotonic() < give_up:
        tries += 1
        try:
            missing.discard(ask())
        except (ProbeError, OSError) as error:
            failures += 1
            last = _explain(error) if isinstance(error, OSError) else str(error)
            if failures == 5:
                break
    if not missing and not failures:
        return ""
    parts = [f"{failures} of {tries} tries failed ({last})"] if failures else []
    if missing:
        parts.append(f"never answered in {tries} tries: {', '.join(sorted(missing))}")
    raise ProbeError("; ".join(parts))


def _probe_udp(probe: Probe) -> str:
    if probe.size == 0:
        return _ask_replicas(probe, lambda: _ask_udp(probe))
    padding = os.urandom(probe.size - len(CALL))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((probe.address, probe.port))
        return _repeat(sender, CALL + padding, lambda came: came == REPLY + padding)


def _ask_udp(probe: Probe) -> str:
    """Who answers, from a port of its own, so that a Service chooses anew."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((probe.address, probe.port))
        for _ in range(2):
            sender.send(WHO.ljust(WHO_SIZE, b"."))
            came = _receive(sender, lambda one: one.startswith(REPLY))
            if came is not None:
                return came[len(REPLY) :].decode("ascii", "replace")
    raise ProbeError("no answer to two datagrams")


def _probe_icmp(probe: Probe) -> str:
    raw = False
    try:
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    except PermissionError:
        sender, raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP), True
    # A ping socket's identifier is the kernel's, a raw one's must be told from others' by our own.
    identifier, sequence = int.from_bytes(os.urandom(2), "big"), 1
    body = os.urandom(probe.size)

    def is_reply(came: bytes) -> bool:
        message = came[(came[0] & 15) * 4 :] if raw and came else came
        if len(message) < 8 or message[0] != _ECHO_REPLY or message[8:] != body:
            return False
        return not raw or struct.unpack("!HH", message[4:8]) == (identifier, sequence)

    with sender:
        sender.connect((probe.address, 0))
        return _repeat(sender, forge_echo(identifier, sequence, body), is_reply)


def forge_echo(identifier: int, sequence: int, body: bytes) -> bytes:
    """An ICMP echo request, its checksum filled in."""
    head = struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, identifier, sequence)
    message = head + body + b"\0" * (len(body) % 2)
    total = sum(struct.unpack(f"!{len(message) // 2}H", message))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", _ECHO_REQUEST, 0, ~total & 0xFFFF, identifier, sequence) + body


def _repeat(sender: socket.socket, message: bytes, accept: Callable[[bytes], bool]) -> str:
    """Send until the right answer came; then once more letting routers fragment it, to tell what is wrong."""
    for attempt in range(1, ATTEMPTS + 1):
        if _try(sender, message, accept):
            return f"answered at attempt {attempt}" if attempt > 1 else ""
    mtu = sender.getsockopt(socket.IPPROTO_IP, _IP_MTU)
    sender.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _DISCOVER_NEVER)
    if len(message) + 28 > 576 and _try(sender, message, accept):
        raise ProbeError(
            f"passes only if routers may fragment it: nobody told this sender of a smaller MTU than {mtu} on the way"
        )
    raise ProbeError(f"no answer to {ATTEMPTS + 1} tries (MTU known of the path: {mtu})")


def _try(sender: socket.socket, message: bytes, accept: Callable[[bytes], bool]) -> bool:
    try:
        sender.send(message)
    except OSError as error:
        if (
            error.errno != errno.EMSGSIZE
        ):  # The kernel has just learnt of a smaller MTU: the next try will do.
            raise
        return False
    return _receive(sender, accept) is not None


def _receive(sender: socket.socket, accept: Callable[[bytes], bool]) -> bytes | None:
    end = time.monotonic() + PAUSE
    while (left := end - time.monotonic()) > 0:
        sender.settimeout(left)
        try:
            came = sender.recv(1 << 16)
        except TimeoutError:
            return None
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                return None
            raise
        if accept(came):
            return came
    return None


def _probe_names(probe: Probe) -> str:
    end = time.monotonic() + NAMES_PATIENCE
    expected = set(probe.expected)
    while True:
        try:
            answers = socket.getaddrinfo(probe.address, None, socket.AF_INET, socket.SOCK_STREAM)
            found, problem = {str(answer[4][0]) for answer in answers}, ""
        except OSError as error:
            found, problem = set(), str(error)
        if expected <= found and len(found) == probe.count:
            return ""
        if time.monotonic() > end:
            break
        time.sleep(0.5)
    if problem:
        raise ProbeError(f"the name {probe.address} is not known: {problem}")
    lacking, strange = ", ".join(sorted(expected - found)), ", ".join(sorted(found - expected))
    raise ProbeError(
        f"{probe.address} has {len(found)} addresses instead of {probe.count}: it lacks {lacking or 'none'}, has "
        f"beside the expected ones {strange or 'none'}"
    )


_PERFORM: dict[str, Callable[[Probe], str]] = {
    "tcp": _probe_tcp,
    "udp": _probe_udp,
    "icmp": _probe_icmp,
    "connect": _probe_connect,
    "names": _probe_names,
}
