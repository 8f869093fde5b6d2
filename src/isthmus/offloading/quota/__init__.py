"""Quotas on the provider: made from granted slices, counted exactly (behaviour.md 3.5, wire.md 8)."""

from __future__ import annotations

from isthmus.api.offloading import SHADOW_PODS
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.quota.creator import QuotaController
from isthmus.offloading.quota.ledger import Ledger

__all__ = ["Ledger", "setup"]


def setup(manager: Manager, options: Options) -> Ledger:
    """Add the quota creator where slices are served too; returns the ledger, which follows the ShadowPods."""
    if "authentication" in options.modules:
        manager.add(QuotaController(manager, options).controller())
    ledger = Ledger()
    manager.informers.get(SHADOW_PODS).add_handler(ledger.observe)
    return ledger
