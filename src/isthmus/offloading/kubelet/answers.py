"""What is answered where something cannot be: sentences that the API server hands on to kubectl."""

from __future__ import annotations

from isthmus.kube.errors import ApiError, Forbidden, KubeError, NotFound, Unauthorized
from isthmus.kube.server import Answer
from isthmus.offloading.kubelet.locations import Location


def refuse(status: int, message: str) -> Answer:
    """An answer of failure, as the text that kubectl shows."""
    return Answer(status, message.encode(), content_type="text/plain; charset=utf-8")


def explain(error: KubeError, location: Location) -> Answer:
    """The answer for a failure at the provider: its own refusals in its own words, all else as a bad gateway.

    A provider that does not accept us is no 401 or 403: those would tell the client that it is itself at fault.
    """
    provider = f"the provider of virtual node {location.node}"
    if isinstance(error, Unauthorized | Forbidden):
        return refuse(502, f"{provider} refuses its own node: {error.detail}")
    if isinstance(error, NotFound):
        return refuse(404, f"{provider} does not know this, or not yet: {error.detail}")
    if isinstance(error, ApiError) and 400 <= error.code < 600:
        return refuse(error.code, error.detail)
    return refuse(502, f"{provider} cannot be reached: {error}")


def legible(answer: Answer | None) -> Answer | None:
    """The same answer with a status under which the API server does not drop its text.

    Of a refused log it hands on what came with 400 and 500 only; any other status becomes "the server could not
    find the requested resource" and the like.
    """
    if answer is not None and answer.status >= 400:
        answer.status = 400 if answer.status < 500 else 500
    return answer
