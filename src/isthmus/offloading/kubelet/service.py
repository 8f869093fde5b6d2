"""The life of the kubelet API: its certificate, its clients' authority, its server.

One task of the manager. It waits for the first virtual node, has a certificate issued, serves, and replaces the
TLS context when the certificate is renewed or the cluster's client authority changes. What fails on the way
(an API server that is away, a request nobody signs) is logged and tried again with bounded back-off; a port that
cannot be listened on ends the process, which nothing but another configuration mends.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time

from isthmus.api.offloading import VIRTUAL_NODES, VirtualNode
from isthmus.kube.builtin import CONFIG_MAPS, CSRS, ConfigMap
from isthmus.kube.errors import ConfigurationError, KubeError
from isthmus.kube.informer import Informer
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key
from isthmus.kube.options import Options
from isthmus.kube.reconcile import Controller
from isthmus.kube.retry import backoff, jitter
from isthmus.kube.server import Server
from isthmus.kube.tls import server_context
from isthmus.offloading.kubelet.access import Access
from isthmus.offloading.kubelet.approval import SIGNER, Approver, Identity
from isthmus.offloading.kubelet.endpoints import Endpoints
from isthmus.offloading.kubelet.locations import OffloadedPods
from isthmus.offloading.kubelet.serving import CertificateSource, ServingCertificate, own_username

logger = logging.getLogger(__name__)

AUTHORITY = Key("kube-system", "extension-apiserver-authentication")
AUTHORITY_KEY = "client-ca-file"
LONGEST = 60.0
"""Seconds between attempts at the most."""
SHORTEST = 5.0
"""Seconds between two certificates at the least, whatever the life of one."""
NAP = 600.0
"""Seconds slept at a time until a renewal, since the clock may be set meanwhile."""


class KubeletService:
    """The kubelet API of all virtual nodes of this process."""

    def __init__(self, manager: Manager, options: Options, pods: OffloadedPods) -> None:
        self._manager = manager
        self._options = options
        self._server = Server(
            Endpoints(Access(manager.client), pods).handle, host="", port=options.kubelet_port
        )
        self._authorities: Informer[ConfigMap] | None = None
        self._certificate: ServingCertificate | None = None

    async def run(self) -> None:
        """Approve and serve until cancelled. Raises ConfigurationError where the port cannot be had."""
        informers = self._manager.informers
        nodes = informers.get(VIRTUAL_NODES)
        requests = informers.get(CSRS, field_selector=f"spec.signerName={SIGNER}")
        authorities = informers.get(
            CONFIG_MAPS, AUTHORITY.namespace, field_selector=f"metadata.name={AUTHORITY.name}"
        )
        self._authorities = authorities
        username = await self._username()
        own = Identity(username, self._options.pod_ip)
        approver = Approver(self._manager.client, requests, nodes, own)
        controller = Controller("approval of serving certificates", approver.reconcile)
        controller.watch(requests)
        controller.watch(nodes, lambda _: [request.key for request in requests.list()])
        source = CertificateSource(
            self._manager.client,
            requests,
            name=f"liqo-kubelet-serving-{self._options.pod_name}",
            address=own.address,
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(controller.run())
                group.create_task(self._serve(source, nodes))
        finally:
            for informer in (nodes, requests, authorities):
                informers.release(informer)

    async def _username(self) -> str:
        failures = 0
        while True:
            try:
                return await own_username(self._manager.client)
            except KubeError as error:
                logger.warning("cannot find out our own name: %s", error)
                await asyncio.sleep(_pause(failures))
                failures += 1

    async def _serve(self, source: CertificateSource, nodes: Informer[VirtualNode]) -> None:
        assert self._authorities is not None
        await self._authorities.synced.wait()
        await self._obtain(source, nodes)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._server.run())
            group.create_task(self._renew(source, nodes))
            remove = self._authorities.add_handler(lambda old, new: self._reload())
            try:
                await self._server.started.wait()
                logger.info("the kubelet API is served: port=%d", self._server.port)
                await asyncio.Event().wait()
            finally:
                remove()

    async def _renew(self, source: CertificateSource, nodes: Informer[VirtualNode]) -> None:
        while True:
            assert self._certificate is not None
            left = self._certificate.renewal - time.time()
            if left > 0:
                await asyncio.sleep(min(left, NAP))
            else:
                await self._obtain(source, nodes)
                await asyncio.sleep(SHORTEST)

    async def _obtain(self, source: CertificateSource, nodes: Informer[VirtualNode]) -> None:
        """Have a certificate issued, however long it takes, and use it."""
        failures = 0
        while True:
            node = await _any_node(nodes)
            try:
                self._certificate = await source.obtain(node)
            except KubeError as error:
                logger.warning("no serving certificate yet: %s", error)
                await asyncio.sleep(_pause(failures))
                failures += 1
                continue
            logger.info("a serving certificate is issued: node=%s", node)
            self._reload()
            return

    def _reload(self) -> None:
        """Use the certificate and the authority of the moment for new connections."""
        if self._certificate is None or self._authorities is None:
            return
        authority = self._authorities.get(AUTHORITY)
        client_ca = "" if authority is None else authority.data.get(AUTHORITY_KEY, "")
        try:
            self._server.reload(self._context(client_ca))
        except ConfigurationError as error:
            logger.error("the TLS configuration is unusable, the last one is kept: %s", error)

    def _context(self, client_ca: str) -> ssl.SSLContext:
        assert self._certificate is not None
        return server_context(self._certificate.certificate, self._certificate.key, client_ca=client_ca)


async def _any_node(nodes: Informer[VirtualNode]) -> str:
    """The name of a virtual node, the first by name, as soon as there is one."""
    changed = asyncio.Event()
    remove = nodes.add_handler(lambda old, new: changed.set())
    try:
        while True:
            names = sorted(node.metadata.name for node in nodes.list() if not node.deleting)
            if names:
                return names[0]
            changed.clear()
            await changed.wait()
    finally:
        remove()


def _pause(failures: int) -> float:
    return backoff(failures, first=1.0, longest=LONGEST, random=jitter())
