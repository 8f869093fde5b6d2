"""What is answered where something cannot be: sentences that the API server hands on to kubectl."""

from __future__ import annotations

from isthmus.kube.errors import ApiError, Forbidden, KubeError, Unauthorized
from isthmus.kube.server import Answer
from isthmus.offloading.kubelet.locations import Location


def refuse(status: int, message: str) -> Answer:
    """An answer of failure, as the text that kubectl shows."""
    return Answer(status, message.encode(), content_type="text/plain; charset=utf-8")


def explain(error: KubeError, location: Location) -> Answer:
    """The answer for a failure at the provider: its own refusals as they are, all else as a bad gateway.

    A provider that does not accept us is no 401 or 403: those would tell the client that it is itself at fault.
    """
    if isinstance(error, Unauthorized | Forbidden):
        return refuse(502, f"the provider of virtual node {location.node} refuses its own node: {error}")
    if isinstance(error, ApiError) and 400 <= error.code < 600:
        return refuse(error.code, str(error))
    return refuse(502, f"the provider of virtual node {location.node} cannot be reached: {error}")
