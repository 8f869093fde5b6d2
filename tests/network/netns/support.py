"""Two small clusters out of network namespaces: each a node, a pod and a gateway pod, all addresses the same.

Every namespace is named nx-PID-… after the process of the tests, so that two runs do not meet, and holds one
sleeping process, whose mount namespace keeps the control socket of userspace WireGuard apart. What a run that was
killed left is removed by the next one. The node does what a CNI and kube-proxy do: it masquerades pods to the
outside and exposes the gateway's port.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from isthmus.network.dataplane.commands import Commands

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
POD, GATEWAY, NODE_INSIDE = "10.244.1.5", "10.244.1.9", "10.244.1.1"
WAN = {"rome": "172.31.250.1", "milan": "172.31.250.2"}
PORT = 51840


def run(*command: str, text: str = "") -> str:
    """Run a command; its output. Raises CalledProcessError with what it said."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


GUARD_SECONDS = 60.0
"""After which nothing is waited for any more, however busy the machine is."""


class Figures:
    """Whether the seconds of docs/reliability.md are held to: only where a test has the machine to itself."""

    held: bool = False


def bound(seconds: float) -> float:
    """How long something may take that is promised within so many seconds."""
    return seconds if Figures.held else GUARD_SECONDS


class Namespace:
    """One network namespace, removed at `close`."""

    def __init__(self, name: str) -> None:
        self.name = name
        run("ip", "netns", "add", name)
        os.makedirs("/run/wireguard", exist_ok=True)
        script = "mount -t tmpfs none /run/wireguard && echo ready && exec sleep 1000"
        self.holder = subprocess.Popen(
            ["ip", "netns", "exec", name, "unshare", "-m", "sh", "-c", script],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline().strip() == "ready"
        self.prefix = ("nsenter", "-t", str(self.holder.pid), "-n", "-m", "--")
        self.run("ip", "link", "set", "lo", "up")

    @property
    def commands(self) -> Commands:
        """What our code runs its programs with."""
        return Commands(self.prefix)

    def run(self, *command: str, text: str = "") -> str:
        """Run a command here."""
        return run(*self.prefix, *command, text=text)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread here, so that sockets made meanwhile are of this namespace."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            assert LIBC.setns(there, CLONE_NEWNET) == 0
            yield
        finally:
            assert LIBC.setns(home, CLONE_NEWNET) == 0
            os.close(home)
            os.close(there)

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of this namespace."""
        with self.entered():
            return socket.socket(family, kind, protocol)

    def capture(self, device: str) -> Capture:
        """Everything that passes a device from now on."""
        return Capture(self, device)

    def close(self) -> None:
        """Remove it."""
        self.holder.send_signal(signal.SIGKILL)
        self.holder.wait()
        assert self.holder.stdout is not None
        self.holder.stdout.close()
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)


class Capture:
    """The IPv4 packets seen at a device, as (source, destination, protocol)."""

    def __init__(self, namespace: Namespace, device: str) -> None:
        self._socket = namespace.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self._socket.bind((device, 3))
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def seen(self, protocol: int) -> set[tuple[str, str]]:
        """Sources and destinations of what passed so far, of one IP protocol."""
        found = set()
        while True:
            try:
                data, address = self._socket.recvfrom(2048)
            except BlockingIOError:
                return found
            if address[1] == 0x0800 and data[9] == protocol:
                found.add((socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])))


class Cluster:
    """A node, a pod on it, and a gateway pod on it."""

    def __init__(self, name: str) -> None:
        self.name = name
        prefix = f"nx-{os.getpid()}-{name}"
        self.node = Namespace(f"{prefix}-node")
        self.pod = Namespace(f"{prefix}-pod")
        self.gateway = Namespace(f"{prefix}-gw")
        for other, address, inside in ((self.pod, POD, "to-pod"), (self.gateway, GATEWAY, "to-gw")):
            run("ip", "-n", self.node.name, "link", "add", inside, "type", "veth", "peer", "name", "eth0",
                "netns", other.name)  # fmt: skip
            self.node.run("ip", "link", "set", inside, "up")
            self.node.run("ip", "addr", "add", f"{NODE_INSIDE}/32", "dev", inside)
            self.node.run("ip", "route", "add", f"{address}/32", "dev", inside)
            other.run("ip", "addr", "add", f"{address}/32", "dev", "eth0")
            other.run("ip", "link", "set", "eth0", "up")
            other.run("ip", "route", "add", f"{NODE_INSIDE}/32", "dev", "eth0")
            other.run("ip", "route", "add", "default", "via", NODE_INSIDE)
        self.node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=1")

    def outside(self) -> None:
        """What a CNI and kube-proxy do: masquerade pods, expose the gateway."""
        self.node.run("ip", "addr", "add", f"{WAN[self.name]}/24", "dev", "wan")
        self.node.run("ip", "link", "set", "wan", "up")
        self.node.run(
            "nft",
            "-f",
            "-",
            text=f"""
            table ip cni {{
              chain post {{
                type nat hook postrouting priority srcnat; policy accept;
                ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade
              }}
              chain pre {{
                type nat hook prerouting priority dstnat; policy accept;
                iifname "wan" udp dport {PORT} dnat to {GATEWAY}
              }}
            }}
        """,
        )

    def close(self) -> None:
        for namespace in (self.pod, self.gateway, self.node):
            namespace.close()


def _remove_remains() -> None:
    """Remove the namespaces of runs that are no more; their processes ended or end by themselves."""
    for name in run("ip", "netns", "list").split():
        words = name.split("-")
        if words[0] == "nx" and len(words) == 4 and not os.path.exists(f"/proc/{words[1]}"):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@contextmanager
def clusters() -> Iterator[tuple[Cluster, Cluster]]:
    """Rome and milan, joined by one wire between their nodes."""
    made: list[Cluster] = []
    _remove_remains()
    try:
        for name in WAN:
            made.append(Cluster(name))
        rome, milan = made
        run("ip", "-n", rome.node.name, "link", "add", "wan", "type", "veth", "peer", "name", "wan",
            "netns", milan.node.name)  # fmt: skip
        rome.outside()
        milan.outside()
        yield rome, milan
    finally:
        for one in made:
            one.close()
