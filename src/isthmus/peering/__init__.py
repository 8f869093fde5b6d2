"""Peering: how two clusters come to trust each other and keep their objects in step (Liqo's authentication module).

`handshake` forges what is exchanged and is all that the commands need. `setup` adds the module's controllers to a
process; `rbac` says what they must be allowed to do.
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
