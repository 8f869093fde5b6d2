"""What runs in the controller follows from the modules that are switched on, and nothing else is even imported."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from isthmus.controller.run import setup
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.kube.reconcile import Controller

AUTHENTICATION = (
    "isthmus.peering.wiring isthmus.peering.tenants isthmus.peering.signing isthmus.peering.replication"
)
NOWHERE = Credentials("http://127.0.0.1:1")


class Recording(Manager):
    """Notes the controllers it is given."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.names: set[str] = set()

    def add(self, controller: Controller) -> Controller:
        self.names.add(controller.name)
        return super().add(controller)


async def controllers(*modules: str) -> tuple[set[str], set[str]]:
    """The names of the controllers that run with these modules, and of the kinds that are watched."""
    async with Client(NOWHERE, attempts=1) as client:
        manager = Recording(client)
        try:
            setup(manager, Options(cluster_id="rome", modules=frozenset(modules)))
            watched = {informer.resource.plural for informer in manager.informers._informers.values()}
            return manager.names, watched
        finally:
            await manager.tasks.close()
            await manager.informers.close()


async def test_the_networking_module_brings_ranges_configurations_and_gateways() -> None:
    with_network, watched = await controllers("authentication", "offloading", "networking")
    without, unwatched = await controllers("authentication", "offloading")
    assert without < with_network
    assert {"networks", "ips", "gatewayservers", "gatewayclients"} <= watched - unwatched
    assert "foreign cluster" in without


@pytest.mark.parametrize("modules", [("offloading",), ("networking",), ("authentication",)])
async def test_peers_are_summed_up_whichever_modules_are_on(modules: tuple[str, ...]) -> None:
    names, watched = await controllers(*modules)
    assert "foreign cluster" in names
    assert ("virtualnodes" in watched) == ("offloading" in modules)
    assert ("tenants" in watched) == ("authentication" in modules)


async def test_endpoints_of_consumers_are_served_with_and_without_our_own_network() -> None:
    for modules in (("offloading",), ("offloading", "networking")):
        names, watched = await controllers(*modules)
        assert "shadowendpointslice" in names
        assert "shadowendpointslices" in watched


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("authentication offloading", "isthmus.network"),
        ("offloading", f"isthmus.network {AUTHENTICATION}"),
        ("networking", f"isthmus.offloading {AUTHENTICATION}"),
        ("authentication offloading networking", "click rich cryptography isthmus.install isthmus.cli"),
    ],
)
def test_what_is_switched_off_is_not_imported(modules: str, absent: str) -> None:
    """In a process of its own: this one has imported everything."""
    program = textwrap.dedent(
        f"""
        import asyncio, sys
        from isthmus.controller.run import setup
        from isthmus.kube.client import Client
        from isthmus.kube.credentials import Credentials
        from isthmus.kube.manager import Manager
        from isthmus.kube.options import Options

        async def main():
            async with Client(Credentials("http://127.0.0.1:1"), attempts=1) as client:
                manager = Manager(client)
                setup(manager, Options(cluster_id="rome", modules=frozenset({modules!r}.split())))
                await manager.tasks.close()
                await manager.informers.close()

        asyncio.run(main())
        unwanted = tuple({absent!r}.split())
        print(*(name for name in sys.modules if name in unwanted or name.startswith(tuple(u + "." for u in unwanted))))
        """
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == ""
