"""Asking an API server beforehand whether a command may do what it is about to do.

SelfSubjectAccessReview is allowed to every authenticated user, so a missing permission is told before the first
write, with nothing left half-done. Where even that is refused, the write itself will tell.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from msgspec import field

from isthmus.cli.cluster import Cluster, explained
from isthmus.cli.errors import CommandError
from isthmus.kube.errors import Forbidden
from isthmus.kube.objects import Base, Object
from isthmus.kube.resource import Resource


class AccessStatus(Base, frozen=True, kw_only=True):
    """The answer to an access review."""

    allowed: bool = False


class AccessReview(Object, frozen=True, kw_only=True):
    """A question whether the asking user may do something."""

    status: AccessStatus = field(default_factory=AccessStatus)


ACCESS_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    AccessReview,
    namespaced=False,
)


@dataclass(frozen=True, slots=True)
class Need:
    """Verbs a command will use on a kind; `namespace` "" for a cluster-scoped kind or every namespace."""

    group: str
    plural: str
    verbs: tuple[str, ...]
    namespace: str = ""


async def check_permissions(cluster: Cluster, needs: list[Need]) -> None:
    """Raise CommandError naming all that is not allowed."""
    asked = [(need, verb) for need in needs for verb in need.verbs]
    with explained(cluster, "asking for permissions"):
        answers = await asyncio.gather(*(_is_allowed(cluster, need, verb) for need, verb in asked))
    refused = [
        f"{verb} {need.plural}{f' in namespace {need.namespace}' if need.namespace else ''}"
        for (need, verb), allowed in zip(asked, answers, strict=True)
        if not allowed
    ]
    if refused:
        raise CommandError(
            f"the user of {cluster.flag('kubeconfig')} may not {', '.join(refused)} in {cluster.title}",
            "use the kubeconfig of an administrator, or of a peering user made for it",
        )


async def _is_allowed(cluster: Cluster, need: Need, verb: str) -> bool:
    attributes = {"group": need.group, "resource": need.plural, "verb": verb, "namespace": need.namespace}
    try:
        review = await cluster.client.create(ACCESS_REVIEWS, {"spec": {"resourceAttributes": attributes}})
    except Forbidden:
        return True
    return review.status.allowed
