"""Datagrams of liveness that a peer could forge, sent without end from the network namespace of its gateway.

They come from the tunnel's true address, so nothing but their content gives them away.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.processes import Process

SENDER = """
import datetime, json, socket, sys, time
cluster, own, peer = sys.argv[1:]
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((own, 0))
def message(**changes):
    stamp = datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    return json.dumps({"clusterID": cluster, "msgType": "PONG", "timeStamp": stamp} | changes).encode()
while True:
    whole = message()
    for data in (
        b"", b"\\0", b"\\xff" * 1300, b"[" * 1300, b"{}", b"null", whole[:-1], whole[:20], whole + whole,
        whole, message(msgType="PING"), message(msgType="EVIL"), message(clusterID="another"),
        message(timeStamp="9999-12-31T23:59:59.999999Z"), message(timeStamp=""), message(timeStamp=1),
        message(clusterID="x" * 60000), message(msgType="PING", clusterID="\\0" * 100),
    ):
        udp.sendto(data, (peer, 12345))
    time.sleep(0.1)
"""
ENDS = ("169.254.18.1", "169.254.18.2")


@dataclass(frozen=True)
class Forging:
    """The sending, while it goes on."""

    sender: subprocess.Popen[str]

    def each_second(self, seconds: float) -> Iterator[None]:
        """Once a second for that long. Raises AssertionError where nothing is sent any more."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.sender.poll() is None, self.sender.communicate()
            yield
            time.sleep(1)


@contextlib.contextmanager
def forging(gateway: Process, peer: str) -> Iterator[Forging]:
    """Forged and truncated datagrams from a gateway to that of its peer (by the peer's id)."""
    server = gateway.settings["mode"] == "server"
    own, other = ENDS if server else ENDS[::-1]
    command = ["nsenter", f"--target={gateway.pid}", "--net", sys.executable, "-c", SENDER, peer, own, other]
    sender = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield Forging(sender)
        assert sender.poll() is None, sender.communicate()
    finally:
        sender.kill()
        sender.communicate()
