"""The paths of the kubelet API: which request is about which pod, and what permission it takes.

Pure. One server answers for all virtual nodes, so what is about a pod is about the node it is bound to, and what
is about the node itself (`/pods`, `/runningpods`, `/stats/summary`) is about all of them.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

Action = Literal["containerLogs", "exec", "attach", "portForward"]
STREAMED: frozenset[str] = frozenset({"exec", "attach", "portForward"})

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_UID = re.compile(r"[A-Za-z0-9-]{1,128}")


class PodRoute(Struct, frozen=True):
    """A request about a pod; `uid` and `container` are "" where the path names none."""

    action: Action
    namespace: str
    pod: str
    uid: str = ""
    container: str = ""


class NodeRoute(Struct, frozen=True):
    """A request about the virtual nodes themselves; `path` is the known path without its parameters."""

    path: str


NODE_PATHS = (
    "/healthz",
    "/pods",
    "/runningpods",
    "/stats/summary",
    "/metrics",
    "/metrics/cadvisor",
    "/metrics/resource",
    "/metrics/probes",
)


def parse_route(path: str) -> PodRoute | NodeRoute | None:
    """The route of a percent-decoded path; None where the kubelet API of a virtual node has no such path."""
    trimmed = path.rstrip("/")
    if trimmed in NODE_PATHS:
        return NodeRoute(trimmed)
    _, action, *names = trimmed.split("/") if trimmed.startswith("/") else ("", "")
    match action, names:
        case "containerLogs", [namespace, pod, container]:
            route = PodRoute("containerLogs", namespace, pod, container=container)
        case "exec" | "attach", [namespace, pod, container]:
            route = PodRoute(_action(action), namespace, pod, container=container)
        case "exec" | "attach", [namespace, pod, uid, container]:
            route = PodRoute(_action(action), namespace, pod, uid, container)
        case "portForward", [namespace, pod]:
            route = PodRoute("portForward", namespace, pod)
        case "portForward", [namespace, pod, uid]:
            route = PodRoute("portForward", namespace, pod, uid)
        case _:
            return None
    return route if _is_sound(route) else None


def _action(text: str) -> Action:
    return "exec" if text == "exec" else "attach"


def _is_sound(route: PodRoute) -> bool:
    """Whether every name can be one: they become part of paths at the provider."""
    return (
        _NAME.fullmatch(route.namespace) is not None
        and _NAME.fullmatch(route.pod) is not None
        and (not route.container or _NAME.fullmatch(route.container) is not None)
        and (not route.uid or _UID.fullmatch(route.uid) is not None)
    )


def verb(method: str, route: PodRoute | NodeRoute | None) -> str:
    """The API verb a request takes on the node, "" for a method the kubelet API does not know.

    A stream always takes `create`, also when a WebSocket asks for it by GET: whoever may only read must not
    execute (a kubelet takes `get` there, which Kubernetes has come to regret).
    """
    if isinstance(route, PodRoute) and route.action in STREAMED:
        return "create" if method in ("GET", "POST") else ""
    return {"GET": "get", "POST": "create"}.get(method, "")


def subresources(route: PodRoute | NodeRoute | None) -> tuple[str, ...]:
    """The subresources of nodes of which one must be permitted, as kubelets have them."""
    path = route.path if isinstance(route, NodeRoute) else ""
    if path.startswith("/stats"):
        return ("stats",)
    if path.startswith("/metrics"):
        return ("metrics",)
    if path in ("/pods", "/healthz"):
        return (path[1:], "proxy")
    if path == "/runningpods":
        return ("pods", "proxy")
    return ("proxy",)


def stream_query(route: PodRoute, query: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The query of a pod's subresource on an API server, from that of the kubelet's path."""
    if route.action == "portForward":
        return [("ports", value) for name, value in query if name == "port"]
    renamed = {"input": "stdin", "output": "stdout", "error": "stderr", "tty": "tty"}
    translated = [("container", route.container)] if route.container else []
    for name, value in query:
        if name in renamed and value in ("1", "true"):
            translated.append((renamed[name], "true"))
        elif name == "command" and route.action == "exec":
            translated.append((name, value))
    return translated


LOG_OPTIONS = frozenset(
    {"follow", "previous", "timestamps", "tailLines", "sinceSeconds", "sinceTime", "limitBytes", "stream"}
)


def log_query(route: PodRoute, query: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The query of `pods/log` on an API server, from that of the kubelet's path."""
    return [("container", route.container), *(pair for pair in query if pair[0] in LOG_OPTIONS)]
