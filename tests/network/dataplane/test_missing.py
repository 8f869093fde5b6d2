"""A kernel that lacks something: one message that names it and the mend, and readiness that says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from isthmus.kube.server import Request
from isthmus.network.dataplane.apply import DataPlane
from isthmus.network.dataplane.commands import CommandError, Commands
from isthmus.network.dataplane.state import Link, State, Table
from isthmus.network.process import Health
from isthmus.network.wireguard import Tunnel

OVERLAY = Link("isthmus0", "vxlan", 1340, ("10.80.0.5/32",), "0a:00:0a:50:00:05", 6091)
STATE = State(links=(OVERLAY,), tables=(Table("ip", "isthmus", ""),))


class Kernel(Commands):
    """Answers nothing, and refuses what `refuses` is true of in the kernel's words."""

    def __init__(self, refuses: Callable[[str], bool], words: str) -> None:
        super().__init__()
        self._refuses, self._words = refuses, words

    async def run(self, *command: str, text: str = "") -> str:
        if self._refuses(" ".join(command) + text):
            raise CommandError(f"{command[0]}: {self._words}")
        return ""


@pytest.mark.parametrize(
    ("sign", "words", "named"),
    [
        ("type vxlan", "Error: Unknown device type.", "load the module vxlan"),
        ("nft", "netlink: Error: cache initialization failed: Operation not supported", "module nf_tables"),
    ],
)
async def test_what_the_kernel_lacks_is_named_with_its_mend(sign: str, words: str, named: str) -> None:
    plane = DataPlane(Kernel(lambda command: sign in command, words))
    with pytest.raises(CommandError, match=named):
        await plane.apply(STATE)


async def test_a_refusal_of_another_kind_is_not_called_a_lack() -> None:
    plane = DataPlane(Kernel(lambda command: "type vxlan" in command, "RTNETLINK answers: File exists"))
    with pytest.raises(CommandError) as caught:
        await plane.apply(STATE)
    assert "load the module" not in str(caught.value)


async def test_wireguard_of_the_kernel_is_not_replaced_where_it_is_asked_for() -> None:
    kernel = Kernel(lambda command: "type wireguard" in command, "Error: Unknown device type.")
    with pytest.raises(CommandError) as caught:
        await Tunnel(kernel, "liqo-tunnel", "kernel").make(Link("liqo-tunnel", "tunnel", 1340))
    assert "load the module wireguard" in str(caught.value)
    assert "networking.gatewayTemplates.wireguard.implementation=userspace" in str(caught.value)


async def test_the_kernel_is_not_asked_where_userspace_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.network.wireguard.PROGRAM", "/nowhere/wireguard-go")
    kernel = Kernel(lambda command: True, "the kernel was asked")
    with pytest.raises(CommandError, match="wireguard-go cannot be run"):
        await Tunnel(kernel, "liqo-tunnel", "userspace").make(Link("liqo-tunnel", "tunnel", 1340))


async def test_a_kernel_without_wireguard_and_no_program_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.network.wireguard.PROGRAM", "/nowhere/wireguard-go")
    kernel = Kernel(lambda command: "type wireguard" in command, "Error: Unknown device type.")
    with pytest.raises(CommandError, match=r"this kernel has no WireGuard and .* load the kernel's module"):
        await Tunnel(kernel, "liqo-tunnel").make(Link("liqo-tunnel", "tunnel", 1340))


async def test_readiness_says_what_is_wrong() -> None:
    health = Health()
    health.faults = lambda: ("this kernel has no nftables",)
    answer = await health.answer(Request("GET", "/readyz", [], {}, [], b""))
    assert answer.status == 503
    assert isinstance(answer.body, bytes)
    assert b"this kernel has no nftables" in answer.body
    answer = await health.answer(Request("GET", "/faults", [], {}, [], b""))
    assert (answer.status, answer.body) == (200, b"this kernel has no nftables")
