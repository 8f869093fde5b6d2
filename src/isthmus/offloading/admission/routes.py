"""The admission webhooks' HTTP side: which path is answered by what, and the server that listens.

A review that cannot be read is answered 400; a handler that fails is answered as a denial with code 500 that
says so, for the API server shows that to the user, whereas it hides what a failing webhook says.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import msgspec

from isthmus.kube.admission import (
    AdmissionRequest,
    Handler,
    Review,
    Verdict,
    deny,
    encode_review,
)
from isthmus.kube.errors import KubeError
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.kube.server import Answer, Request, Server
from isthmus.kube.tls import server_context
from isthmus.offloading.admission import namespaceoffloadings
from isthmus.offloading.admission.certificates import Material
from isthmus.offloading.admission.daemonsets import mutate_daemon_set
from isthmus.offloading.admission.managedfields import mutate_shadowed_pod
from isthmus.offloading.admission.peering import PeeringAdmission, mutate_foreign_cluster, mutate_tenant
from isthmus.offloading.admission.pods import PodMutator
from isthmus.offloading.admission.shadowpods import ShadowPodAdmission
from isthmus.offloading.admission.virtualnodes import VirtualNodeAdmission
from isthmus.offloading.quota import Ledger

logger = logging.getLogger(__name__)

MAX_REVIEW = 4 << 20
"""Bytes of a review: twice the largest object that etcd takes (1.5 MiB), for an update shows the old one too."""


def routes(manager: Manager, options: Options, ledger: Ledger) -> dict[str, Handler]:
    """Every webhook path and its handler; the webhook configurations name exactly these."""
    shadowpods = ShadowPodAdmission(manager, options, ledger)
    virtual_nodes = VirtualNodeAdmission(manager, options)
    peering = PeeringAdmission(manager, options)

    async def validate_namespace_offloading(request: AdmissionRequest) -> Verdict:
        return namespaceoffloadings.validate(request, options.cluster_id)

    return {
        "/mutate/pods": PodMutator(manager, options).mutate,
        "/mutate/shadowedpods": mutate_shadowed_pod,
        "/mutate/daemonsets": partial(mutate_daemon_set, taint_effect=options.taint_effect),
        "/mutate/shadowpods": shadowpods.mutate,
        "/validate/shadowpods": shadowpods.validate,
        "/validate/namespaceoffloadings": validate_namespace_offloading,
        "/mutate/virtualnodes": virtual_nodes.mutate,
        "/validate/virtualnodes": virtual_nodes.validate,
        "/mutate/foreignclusters": mutate_foreign_cluster,
        "/mutate/tenants": mutate_tenant,
        "/validate/tenants": peering.validate_tenant,
        "/validate/resourceslices": peering.validate_resource_slice,
    }


class WebhookServer:
    """Answers reviews by the routes; listens once there is a certificate to serve with."""

    def __init__(self, handlers: dict[str, Handler], port: int) -> None:
        self._handlers = handlers
        self._port = port
        self._server: asyncio.Future[Server] = asyncio.get_running_loop().create_future()

    def adopt(self, material: Material) -> None:
        """Serve new connections with this certificate from now on."""
        context = server_context(material.certificate, material.key)
        if self._server.done():
            self._server.result().reload(context)
        else:
            self._server.set_result(Server(self.answer, port=self._port, tls=context, max_body=MAX_REVIEW))

    async def run(self) -> None:
        """Serve until cancelled, from the first certificate on."""
        await (await self._server).run()

    async def answer(self, request: Request) -> Answer:
        """Answer one AdmissionReview."""
        handler = self._handlers.get(request.path)
        if handler is None:
            return Answer(404, b"no such webhook\n", content_type="text/plain")
        try:
            review = msgspec.json.decode(request.body, type=Review).request
        except msgspec.DecodeError as error:
            return Answer(400, f"not an AdmissionReview: {error}\n".encode(), content_type="text/plain")
        return Answer(body=encode_review(review.uid, await _judge(handler, review, request.path)))


async def _judge(handler: Handler, review: AdmissionRequest, path: str) -> Verdict:
    try:
        return await handler(review)
    except msgspec.DecodeError as error:
        return deny(f"the object cannot be read: {error}", 400)
    except KubeError as error:
        logger.warning("a webhook could not decide: path=%s, object=%s, error=%s", path, review.key, error)
        return deny(f"the webhook could not read what it needs to decide: {error}", 500)
    except Exception:
        logger.exception("a webhook failed: path=%s, object=%s", path, review.key)
        return deny("the webhook failed; its log says why", 500)
