"""Whether the tunnel works: pings to the peer, answers to its own, and what follows from them. Pure.

The clock is an argument, in seconds that only grow; datagrams are bytes in and out (wire.md 10 and 12). All of them
are untrusted: what is too long, no object of the three texts, from another address than the peer's end of the
tunnel, or an answer to nothing we asked is dropped and counted.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

LONGEST = 1024
"""Bytes of a datagram, as the peer's own buffer."""
LONGEST_TEXT = 256
PING, PONG = "PING", "PONG"
CONNECTING, CONNECTED, ERROR = "Connecting", "Connected", "Error"


class Message(Struct, frozen=True, forbid_unknown_fields=False):
    """The object of a datagram."""

    clusterID: str = msgspec.field(name="clusterID")  # noqa: N815 -- the name on the wire
    msgType: str = msgspec.field(name="msgType")  # noqa: N815
    timeStamp: str = msgspec.field(name="timeStamp")  # noqa: N815


_decoder = msgspec.json.Decoder(Message)


def parse(data: bytes) -> Message | None:
    """The message in a datagram, None where it is none."""
    if len(data) > LONGEST:
        return None
    try:
        message = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if max(len(message.clusterID), len(message.timeStamp)) > LONGEST_TEXT or not message.timeStamp:
        return None
    return message if message.msgType in (PING, PONG) else None


class Liveness:
    """The state of one tunnel.

    `value` is Connecting until the first answer, Connected while answers come, Error after `threshold` intervals
    without one. `latency` is the seconds of the last answer there and back.
    """

    def __init__(
        self, peer_id: str, peer_address: str, *, interval: float, threshold: int, now: float
    ) -> None:
        self._peer_id = peer_id
        self._peer_address = peer_address
        self._patience = interval * threshold
        self._outstanding: dict[str, float] = {}
        self._kept = threshold
        self._last = now
        self.value = CONNECTING
        self.latency: float | None = None
        self.dropped = 0

    def ping(self, now: float, stamp: str) -> bytes:
        """The next ping; `stamp` is the wall clock in RFC 3339, unique to this ping."""
        self._outstanding[stamp] = now
        while len(self._outstanding) > self._kept:
            del self._outstanding[next(iter(self._outstanding))]
        # The id is that of the cluster being pinged (wire.md 11.14).
        return msgspec.json.encode(Message(self._peer_id, PING, stamp))

    def receive(self, data: bytes, source: str, now: float) -> bytes | None:
        """Take a datagram; the answer to send to where it came from, if it was a ping."""
        message = parse(data) if source == self._peer_address else None
        if message is None:
            self.dropped += 1
            return None
        if message.msgType == PING:
            return msgspec.json.encode(Message(message.clusterID, PONG, message.timeStamp))
        self._answered(message, now)
        return None

    def _answered(self, message: Message, now: float) -> None:
        sent = self._outstanding.pop(message.timeStamp, None)
        if sent is None or message.clusterID != self._peer_id:
            self.dropped += 1
            return
        # One that comes after the answer to a later ping tells nothing new.
        self._outstanding = {stamp: at for stamp, at in self._outstanding.items() if at > sent}
        self._last, self.latency, self.value = now, max(now - sent, 0.0), CONNECTED

    def silence(self, now: float) -> float:
        """Seconds since the last answer, or since the beginning."""
        return now - self._last

    def check(self, now: float) -> str:
        """The state by now."""
        if self.value != ERROR and now - self._last >= self._patience:
            self.value, self.latency = ERROR, None
        return self.value
