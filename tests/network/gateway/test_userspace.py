"""Userspace WireGuard as a child: started, waited for, started again where it ends, and ended with its device."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from isthmus.network import wireguard
from isthmus.network.dataplane.commands import CommandError, Commands
from isthmus.network.dataplane.state import Link
from isthmus.network.wireguard import Tunnel

LINK = Link("liqo-tunnel", "tunnel", 1340)
KEY = "c3NzcwoK"


def programs(folder: Path, body: str) -> Commands:
    """`ip`, `wg` and `wireguard-go` of a machine whose kernel has no WireGuard; the last does what `body` says."""
    script = folder / "run"
    script.write_text(
        f"""#!/bin/sh
cd {folder}
case "$1" in
ip) echo "Error: Unknown device type." >&2; exit 2;;
wg) if [ -e device ]; then printf '(none)\\t(none)\\t0\\toff\\n'; else exit 1; fi;;
wireguard-go) echo started >> starts; {body};;
esac
"""
    )
    script.chmod(0o755)
    return Commands((str(script),))


def starts(folder: Path) -> int:
    return (folder / "starts").read_text().count("started")


async def test_a_child_carries_the_device_until_it_is_closed(tmp_path: Path) -> None:
    tunnel = Tunnel(
        programs(
            tmp_path, "touch device; echo $$ > pid; trap 'rm device; kill $!; exit 0' TERM; sleep 100 & wait"
        ),
        "liqo-tunnel",
    )
    await tunnel.make(LINK)
    assert tunnel.implementation == "userspace"
    child = int((tmp_path / "pid").read_text())
    assert await tunnel.device() is not None
    await tunnel.close()
    assert not (tmp_path / "device").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    await tunnel.close()


async def test_a_child_that_ends_at_once_is_started_again_and_not_forever(tmp_path: Path) -> None:
    flaky = "if [ $(wc -l < starts) -lt 3 ]; then exit 1; fi; touch device; exec sleep 100"
    tunnel = Tunnel(programs(tmp_path, flaky), "liqo-tunnel")
    await tunnel.make(LINK)
    assert starts(tmp_path) == 3
    await tunnel.close()
    broken = tmp_path / "broken"
    broken.mkdir()
    with pytest.raises(
        CommandError, match="wireguard-go made no device liqo-tunnel: is /dev/net/tun there and allowed"
    ):
        await Tunnel(programs(broken, "exit 1"), "liqo-tunnel").make(LINK)
    assert starts(broken) == 3


async def test_a_child_that_does_not_end_when_told_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wireguard, "APPEAR_TIMEOUT", 0.3)
    tunnel = Tunnel(
        programs(tmp_path, "trap '' TERM; touch device; while :; do sleep 0.1; done"),
        "liqo-tunnel",
        "userspace",
    )
    await tunnel.make(LINK)
    await asyncio.wait_for(tunnel.close(), 10)


async def test_a_machine_without_either_is_told_with_both_mends() -> None:
    class Nothing(Commands):
        async def run(self, *command: str, text: str = "") -> str:
            raise CommandError("ip: Error: Unknown device type.")

    tunnel = Tunnel(Nothing(("no-such-program",)), "liqo-tunnel")
    with pytest.raises(CommandError) as told:
        await tunnel.make(LINK)
    assert str(told.value).startswith(
        "this kernel has no WireGuard and wireguard-go cannot be run (No such file"
    )
    assert "load the kernel's module wireguard on the nodes, or install wireguard-go" in str(told.value)
