"""WireGuard: the device, in the kernel or else in user space, and its configuration by `wg syncconf`.

`Tunnel` owns the child that carries a userspace device; the kernel's own outlives us. Configuration goes in as text
on standard input, never as arguments or files, and is read back by `wg show … dump`: only a difference is written,
so sessions go on. A server names no endpoint and so keeps the one it learned from its client.
"""

from __future__ import annotations

import asyncio
import binascii
import logging
import os
import signal
from collections.abc import Callable

from msgspec import Struct

from isthmus.network.dataplane.commands import CommandError, Commands
from isthmus.network.dataplane.state import Link

logger = logging.getLogger(__name__)

KERNEL, USERSPACE = "kernel", "userspace"
"""What a user may ask for instead of the kernel's where there is one."""
PROGRAM = "wireguard-go"
"""Userspace WireGuard: `wireguard-go -f INTERFACE`, controlled by `wg` over its socket."""
KEY_BYTES = 32
APPEAR_TIMEOUT = 5.0
ATTEMPTS = 3
"""How often the child is started: `wg` removes a socket that nobody listens on yet, and the child then ends."""
EVERYTHING = "0.0.0.0/0"
USERSPACE_ENVIRONMENT = {"LOG_LEVEL": "error"}


class Configuration(Struct, frozen=True, kw_only=True):
    """What a device is to be: keys are base64 text; `peer` "" has no peer yet, `port` 0 any port."""

    private_key: str
    public_key: str
    port: int = 0
    peer: str = ""
    endpoint: str = ""

    def __repr__(self) -> str:
        return (
            f"Configuration(public_key={self.public_key!r}, peer={self.peer!r}, endpoint={self.endpoint!r})"
        )


class Peer(Struct, frozen=True, kw_only=True):
    """What a device says of a peer; `handshake` in seconds since 1970, 0 where there was none."""

    public_key: str
    endpoint: str
    allowed: str
    handshake: int


class Device(Struct, frozen=True, kw_only=True):
    """What a device says of itself."""

    public_key: str
    port: int
    peers: tuple[Peer, ...] = ()


def check_key(text: str) -> str:
    """A key in its canonical base64. Raises ValueError saying what is wrong."""
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise ValueError("the WireGuard key is not base64") from None
    return encode_key(raw)


def encode_key(raw: bytes) -> str:
    """A key's base64 from its bytes. Raises ValueError where they are not 32."""
    if len(raw) != KEY_BYTES:
        raise ValueError(f"a WireGuard key has {KEY_BYTES} bytes, this one {len(raw)}")
    return binascii.b2a_base64(raw, newline=False).decode()


def render(configuration: Configuration) -> str:
    """The text for `wg syncconf`."""
    lines = ["[Interface]", f"PrivateKey = {configuration.private_key}"]
    if configuration.port:
        lines.append(f"ListenPort = {configuration.port}")
    if configuration.peer:
        lines += ["[Peer]", f"PublicKey = {configuration.peer}", f"AllowedIPs = {EVERYTHING}"]
        if configuration.endpoint:
            lines.append(f"Endpoint = {configuration.endpoint}")
    return "\n".join(lines) + "\n"


def parse_dump(text: str) -> Device | None:
    """A device from `wg show NAME dump`; None where there is none. The private key in it is dropped."""
    lines = [line.split("\t") for line in text.splitlines()]
    if not lines or len(lines[0]) < 3:
        return None
    peers = tuple(
        Peer(
            public_key=fields[0],
            endpoint="" if fields[2] == "(none)" else fields[2],
            allowed=fields[3],
            handshake=int(fields[4]),
        )
        for fields in lines[1:]
        if len(fields) >= 5
    )
    return Device(public_key=lines[0][1], port=int(lines[0][2]), peers=peers)


def differs(wanted: Configuration, present: Device, *, alive: bool) -> bool:
    """Whether the device must be configured.

    While the tunnel is `alive` the endpoint is left as it is: WireGuard itself follows a peer that moves.
    """
    if present.public_key != wanted.public_key or (wanted.port and present.port != wanted.port):
        return True
    if not wanted.peer:
        return bool(present.peers)
    if len(present.peers) != 1:
        return True
    peer = present.peers[0]
    if peer.public_key != wanted.peer or peer.allowed != EVERYTHING:
        return True
    return bool(wanted.endpoint) and not alive and peer.endpoint != wanted.endpoint


class Tunnel:
    """The device of a gateway, and how it came to be: `implementation` is kernel, userspace or "" (none yet)."""

    def __init__(self, commands: Commands, name: str, wanted: str = "") -> None:
        """`wanted` is kernel or userspace; "" takes the kernel's where there is one."""
        self._commands = commands
        self._name = name
        self._wanted = wanted
        self._child: asyncio.subprocess.Process | None = None
        self.implementation = ""

    async def make(self, link: Link) -> None:
        """Make the device as it is wanted, else in the kernel where it can. Raises CommandError where none can be."""
        await self.close()
        if self._wanted != USERSPACE:
            try:
                await self._commands.run(
                    "ip", "link", "add", self._name, "mtu", str(link.mtu), "type", "wireguard"
                )
            except CommandError as error:
                if self._wanted == KERNEL:
                    raise CommandError(
                        f"this kernel makes no device of type wireguard ({error}): load the module wireguard on the"
                        f" nodes, or set networking.gatewayTemplates.wireguard.implementation={USERSPACE}"
                    ) from error
                logger.debug("no WireGuard in this kernel: %s", error)
            else:
                self._chose(KERNEL)
                return
        for attempt in range(ATTEMPTS):
            if await self._start(link):
                self._chose(USERSPACE)
                return
            logger.debug("%s did not come up, attempt %d", PROGRAM, attempt + 1)
        raise CommandError(f"{PROGRAM} made no device {link.name}: is /dev/net/tun there and allowed?")

    def _chose(self, implementation: str) -> None:
        if implementation != self.implementation:
            logger.info("WireGuard runs in %s", {KERNEL: "the kernel"}.get(implementation, "user space"))
        self.implementation = implementation

    async def configure(self, wanted: Configuration, *, alive: bool) -> bool:
        """Bring the device to `wanted`; whether anything was changed. Raises CommandError."""
        present = parse_dump(await self._commands.run("wg", "show", self._name, "dump"))
        if present is not None and not differs(wanted, present, alive=alive):
            return False
        await self._commands.run("wg", "syncconf", self._name, "/dev/stdin", text=render(wanted))
        return True

    async def renew(self, wanted: Configuration) -> None:
        """Begin a new session with the peer at the next packet, instead of trusting the old one. Raises CommandError.

        A client whose server was restarted goes on with a session nobody knows, for 15 s by WireGuard's timers.
        """
        await self._commands.run("wg", "set", self._name, "peer", wanted.peer, "remove")
        await self._commands.run("wg", "syncconf", self._name, "/dev/stdin", text=render(wanted))

    async def device(self) -> Device | None:
        """The device as it is; None where there is none."""
        return parse_dump(await self._commands.find("wg", "show", self._name, "dump"))

    async def close(self) -> None:
        """End the userspace device, if there is one; the kernel's is a link like any other."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.returncode is None:
            child.terminate()
        try:
            async with asyncio.timeout(APPEAR_TIMEOUT):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()

    async def _start(self, link: Link) -> bool:
        """Start the child; whether its device is there and answers. Raises CommandError where it cannot be run."""
        environment = {**os.environ, **USERSPACE_ENVIRONMENT}
        try:
            self._child = await asyncio.create_subprocess_exec(
                *self._commands.prefix,
                PROGRAM,
                "-f",
                link.name,
                env=environment,
                preexec_fn=_die_with_parent(),
            )
        except OSError as error:
            raise CommandError(
                f"{'' if self._wanted else 'this kernel has no WireGuard and '}{PROGRAM} cannot be run"
                f" ({error.strerror}): load the kernel's module wireguard on the nodes, or install {PROGRAM}"
            ) from error
        loop = asyncio.get_running_loop()
        deadline = loop.time() + APPEAR_TIMEOUT
        # The socket `wg` talks to appears after the device and says nothing when it does.
        while not await self._commands.find("wg", "show", link.name, "dump"):
            if self._child.returncode is not None or loop.time() > deadline:
                await self.close()
                return False
            await asyncio.sleep(0.02)
        return True


def _die_with_parent() -> Callable[[], None]:
    """What a child runs before its program, so that the kernel ends it when this process ends, however it does.

    A device nobody looks after would go on answering its peer beside the gateway that took over.
    """
    # Late: a gateway on the kernel's own WireGuard has no use for it.
    import ctypes

    prctl, parent, set_death_signal = ctypes.CDLL(None).prctl, os.getpid(), 1

    def tie() -> None:
        prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return tie
