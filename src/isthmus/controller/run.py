"""The controller process from start to end: credentials, the leader lease, the modules, SIGTERM.

One task group owns everything. SIGTERM cancels it, which closes connections and releases the lease. Losing
the lease, or an error that no reconcile loop handled, ends the process with exit code 1: the kubelet starts
it again and, all state being in API objects, nothing is lost.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

from isthmus.controller.health import Health
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials, in_cluster, load_kubeconfig
from isthmus.kube.errors import ConfigurationError, KubeError
from isthmus.kube.lease import LeaderElection
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options, options_from_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from isthmus.kube.admission import Handler
    from isthmus.network.summaries import NetworkSummaries

LEASE = "66cf253f.ctrlmgr.liqo.io"
"""The name stock Liqo's controller manager elects its leader under: one of the two runs, never both."""

logger = logging.getLogger(__name__)


class LeaseLostError(KubeError):
    """Another process leads now; this one has to end."""


def main() -> int:
    """Run the controller; returns the process's exit code."""
    logging.basicConfig(
        level=os.environ.get("ISTHMUS_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname).1s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        options = options_from_environment()
        credentials = own_credentials()
    except ConfigurationError as error:
        logger.error("%s", error)
        return 2
    try:
        asyncio.run(run(options, credentials))
    except (KubeError, BaseExceptionGroup) as error:
        logger.error("ending: %s", "; ".join(f"{type(leaf).__name__}: {leaf}" for leaf in leaves(error)))
        return 1
    return 0


def leaves(error: BaseException) -> list[BaseException]:
    """The errors themselves, taken out of the groups that task groups wrap them in."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


def own_credentials() -> Credentials:
    """The pod's service account, or $KUBECONFIG for a controller that is run by hand outside a cluster."""
    return load_kubeconfig() if os.environ.get("KUBECONFIG") else in_cluster()


async def run(options: Options, credentials: Credentials) -> None:
    """Serve health, and lead and work once the lease is had, until SIGTERM.

    Raises what ended it otherwise: LeaseLostError, or the error that nothing handled, in groups.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Client(credentials) as client:
        health = Health(client, options.health_port)
        tasks = [
            asyncio.create_task(work) for work in (health.run(), _lead(options, client, health), stop.wait())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()


async def _lead(options: Options, client: Client, health: Health) -> None:
    election = _election(options, client)
    await election.acquire()
    logger.info("leading as %s, cluster %s", options.pod_name, options.cluster_id)
    manager = Manager(client)
    setup(manager, options)
    async with asyncio.TaskGroup() as group:
        group.create_task(_until_lost(election))
        group.create_task(manager.run())
        # What is imported and wired by now lives as long as the process: no need to walk it again.
        gc.collect()
        gc.freeze()
        health.ready = True


def _election(options: Options, client: Client) -> LeaderElection:
    """With a second controller waiting, the lead changes within seconds. One that is alone, whose successor has its
    name or is handed the lease, is not ended because a busy machine kept it from renewing for a while."""
    if options.replicas > 1:
        return LeaderElection(client, LEASE, options.namespace, options.pod_name)
    return LeaderElection(
        client,
        LEASE,
        options.namespace,
        options.pod_name,
        duration=40.0,
        renew_deadline=30.0,
        retry_period=5.0,
    )


async def _until_lost(election: LeaderElection) -> None:
    await election.hold()
    raise LeaseLostError(
        "the leader lease is lost, to another process or for want of an answer: ending to start anew"
    )


def setup(manager: Manager, options: Options) -> None:
    """Wire the modules that are switched on, and the summaries of peers that all of them share."""
    network = _setup_networking(manager, options) if "networking" in options.modules else None
    from isthmus import peering

    if "authentication" in options.modules:
        peering.setup(manager, options, network)
    else:
        peering.setup_summaries(manager, options, network)
    if "offloading" in options.modules:
        from isthmus import offloading

        offloading.setup(manager, options, _network_webhooks() if network is not None else None)
    if options.proxy_port:
        from isthmus.network import proxy

        proxy.setup(manager, options)


def _network_webhooks() -> Mapping[str, Handler]:
    from isthmus.network.admission import HANDLERS

    return HANDLERS


def _setup_networking(manager: Manager, options: Options) -> NetworkSummaries:
    from isthmus.network import addresses, configuration, gateways, ipam
    from isthmus.network.summaries import NetworkSummaries

    refusals = ipam.setup(manager, options, options.ipam_pools or ipam.DEFAULT_POOLS)
    configuration.setup(manager, options, refusals)
    gateways.setup(manager, options)
    addresses.setup(manager, options)
    return NetworkSummaries(manager)
