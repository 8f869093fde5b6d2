"""The admission webhooks, served by the controller process itself (behaviour.md 7, wire.md 8)."""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.kube.admission import Handler
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.admission.certificates import CertificateKeeper
from isthmus.offloading.admission.routes import WebhookServer, routes
from isthmus.offloading.quota import Ledger

__all__ = ["setup"]


def setup(
    manager: Manager, options: Options, ledger: Ledger, others: Mapping[str, Handler] | None = None
) -> None:
    """Add the server and the keeper of its certificate to the process.

    `others` are the handlers of other modules, by path: one server answers for all.
    """
    handlers = {**routes(manager, options, ledger), **(others or {})}
    server = WebhookServer(handlers, options.webhook_port)
    manager.add(CertificateKeeper(manager, options, server.adopt).controller())
    manager.add_task(server.run)
