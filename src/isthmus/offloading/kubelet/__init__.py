"""The kubelet API of the virtual nodes: logs, exec, attach, port-forward, answered by the providers.

One HTTPS server for all of them. `service.py` owns its life; a request goes through `endpoints.py`.
"""

from __future__ import annotations

from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.kubelet.locations import Location, OffloadedPods
from isthmus.offloading.kubelet.service import KubeletService

__all__ = ["Location", "OffloadedPods", "setup"]


def setup(manager: Manager, options: Options, pods: OffloadedPods) -> None:
    """Serve the kubelet API of all virtual nodes on `options.kubelet_port` while the manager runs."""
    manager.add_task(KubeletService(manager, options, pods).run)
