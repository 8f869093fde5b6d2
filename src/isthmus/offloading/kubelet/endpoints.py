"""The kubelet API of all virtual nodes: who asks, for what, and who answers.

Each request is handled on its own: authenticated, its pod located, authorized on the node of that pod, then
answered by the provider. What is said to somebody who may not see a pod is the same whether it exists or not.
"""

from __future__ import annotations

import logging

from msgspec import json

from isthmus.kube.errors import KubeError
from isthmus.kube.server import Answer, Request
from isthmus.offloading.kubelet.access import Access, Ask, User
from isthmus.offloading.kubelet.answers import legible, refuse
from isthmus.offloading.kubelet.listing import encode_pods, running_pods
from isthmus.offloading.kubelet.locations import Location, OffloadedPods
from isthmus.offloading.kubelet.logs import answer_logs
from isthmus.offloading.kubelet.routes import NodeRoute, PodRoute, parse_route, subresources, verb
from isthmus.offloading.kubelet.statistics import summarize
from isthmus.offloading.kubelet.streams import stream

logger = logging.getLogger(__name__)

METRICS_TYPE = "text/plain; version=0.0.4"


class Endpoints:
    """The handler of the kubelet API's server."""

    def __init__(self, access: Access, pods: OffloadedPods) -> None:
        self._access = access
        self._pods = pods

    async def handle(self, request: Request) -> Answer | None:
        """Answer one request."""
        route = parse_route(request.path)
        location = self._pods.locate(route.namespace, route.pod) if isinstance(route, PodRoute) else None
        try:
            user = await self._access.authenticate(request)
            if user is None:
                return refuse(401, "Unauthorized")
            refusal = await self._authorize(user, request, route, location)
        except KubeError as error:
            logger.warning("access could not be reviewed: path=%s, error=%s", request.path, error)
            return refuse(503, "the API server cannot be asked whether this is allowed")
        if refusal is not None:
            return refusal
        if route is None:
            return refuse(404, f"a virtual node has no {request.path}")
        if isinstance(route, NodeRoute):
            return await self._answer_node(route)
        answer = await self._answer_pod(request, route, location)
        return legible(answer) if route.action == "containerLogs" else answer

    async def _authorize(
        self, user: User, request: Request, route: PodRoute | NodeRoute | None, location: Location | None
    ) -> Answer | None:
        verb_ = verb(request.method, route)
        if not verb_:
            return refuse(405, f"method {request.method} is not allowed")
        node = "" if location is None else location.node
        for subresource in subresources(route):
            if await self._access.allows(user, Ask(verb_, subresource, node)):
                return None
        names = ", ".join(subresources(route))
        return refuse(
            403,
            f"Forbidden (user={user.username}, verb={verb_}, resource=nodes, subresource(s)=[{names}])",
        )

    async def _answer_pod(
        self, request: Request, route: PodRoute, location: Location | None
    ) -> Answer | None:
        name = f"{route.namespace}/{route.pod}"
        if location is None:
            return refuse(404, f"pod {name} does not run on a virtual node of this cluster, or not yet")
        if route.uid and route.uid != location.pod_uid:
            return refuse(404, f"pod {name} with UID {route.uid} is gone: another one has its name")
        if route.action == "containerLogs":
            return await answer_logs(request, route, location)
        return await stream(request, route, location)

    async def _answer_node(self, route: NodeRoute) -> Answer:
        nodes = sorted(self._pods.nodes())
        if route.path == "/healthz":
            return Answer(body=b"ok", content_type="text/plain")
        if route.path == "/stats/summary":
            return Answer(body=json.encode(await summarize(self._pods, nodes)))
        if route.path in ("/pods", "/runningpods"):
            pods = [pod for node in nodes for pod in self._pods.pods_on(node)]
            return Answer(body=encode_pods(pods if route.path == "/pods" else running_pods(pods)))
        return Answer(body=b"", content_type=METRICS_TYPE)
