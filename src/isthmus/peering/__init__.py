"""Peering: how two clusters come to trust each other and keep their objects in step (Liqo's authentication module).

`handshake` forges what is exchanged and is all that the commands need. `setup` adds the module's controllers to a
process; `rbac` says what they must be allowed to do. Where the module is off, `setup_summaries` keeps the
ForeignClusters that the other modules' objects call for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.kube.manager import Manager
from isthmus.kube.options import Options

if TYPE_CHECKING:
    from isthmus.peering.foreign_clusters import NetworkView


def setup(manager: Manager, options: Options, network: NetworkView | None = None) -> None:
    """Run this module's controllers with the process; `network` is None without the networking module."""
    from isthmus.peering.wiring import wire  # Late: the commands import this package for `handshake` alone.

    wire(manager, options, network)


def setup_summaries(manager: Manager, options: Options, network: NetworkView | None = None) -> None:
    """Keep ForeignClusters without this module's other controllers."""
    from isthmus.peering.foreign_clusters import wire_summaries
    from isthmus.peering.peers import Peers

    wire_summaries(manager, options, network, Peers())  # No peer's API server is asked.
