"""The offloading module: virtual nodes, namespaces across clusters, shadow pods, quotas, admission webhooks."""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.kube.admission import Handler
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options

__all__ = ["setup"]


def setup(manager: Manager, options: Options, webhooks: Mapping[str, Handler] | None = None) -> None:
    """Add the module's controllers and servers to the process; `webhooks` of other modules are served as well."""
    from isthmus.offloading import (
        admission,
        kubelet,
        namespaces,
        quota,
        shadowendpointslice,
        shadowpod,
        slices,
        virtualnode,
    )

    ledger = quota.setup(manager, options)
    namespaces.setup(manager, options)
    shadowpod.setup(manager, options)
    policy = shadowendpointslice.Policy(
        own_id=options.cluster_id,
        deny_direct_connections=options.deny_direct_connections,
        unmapped="networking" not in options.modules,
    )
    shadowendpointslice.setup(manager, policy)
    admission.setup(manager, options, ledger, webhooks)
    if "authentication" in options.modules:
        manager.add(slices.VirtualNodeCreator(manager).controller())
    kubelet.setup(manager, options, virtualnode.setup(manager, options))
