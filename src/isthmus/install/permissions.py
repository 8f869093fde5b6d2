"""Whether the user may install: asked before the first write, so that nothing is left half-done."""

from __future__ import annotations

import asyncio

from msgspec import field

from isthmus.install.errors import InstallError, listed
from isthmus.install.ownership import FIELD_MANAGER
from isthmus.install.served import resource_of
from isthmus.kube.client import Client
from isthmus.kube.errors import Forbidden
from isthmus.kube.objects import Base, Manifest, Object
from isthmus.kube.resource import Resource

APPLY = ("create", "patch")
REMOVE = ("list", "delete")


class ReviewStatus(Base, frozen=True, kw_only=True):
    """The answer to an access review."""

    allowed: bool = False


class Review(Object, frozen=True, kw_only=True):
    """A question whether the asking user may do something."""

    status: ReviewStatus = field(default_factory=ReviewStatus)


_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    Review,
    namespaced=False,
)

_Question = tuple[str, str, str, str]


async def check_permissions(client: Client, manifests: list[Manifest], verbs: tuple[str, ...]) -> None:
    """Raise InstallError naming every verb and kind that is needed for the manifests but not allowed."""
    questions: dict[_Question, None] = {}
    for manifest in manifests:
        resource = resource_of(manifest)
        for verb in verbs:
            namespace = manifest["metadata"].get("namespace", "")
            questions[verb, resource.plural, resource.group, namespace] = None
    answers = await asyncio.gather(*(_is_allowed(client, question) for question in questions))
    refused = [_text(question) for question, allowed in zip(questions, answers, strict=True) if not allowed]
    if refused:
        raise InstallError(
            f"the user of the kubeconfig may not {listed(refused, 4)}",
            "use the kubeconfig of an administrator",
        )


def _text(question: _Question) -> str:
    verb, plural, _, namespace = question
    return f"{verb} {plural}" + (f" in namespace {namespace}" if namespace else "")


async def _is_allowed(client: Client, question: _Question) -> bool:
    verb, plural, group, namespace = question
    attributes = {"verb": verb, "resource": plural, "group": group, "namespace": namespace}
    review: Manifest = {"spec": {"resourceAttributes": attributes}}
    try:
        return (await client.create(_REVIEWS, review)).status.allowed
    except Forbidden:
        # Where not even asking is allowed, the write itself will tell.
        return True


async def check_roles(client: Client, manifests: list[Manifest]) -> None:
    """Raise InstallError where the API server would refuse a ClusterRole, for granting more than the user has.

    Only the API server can tell, so each is applied with dry run.
    """
    import msgspec

    for manifest in manifests:
        if manifest["kind"] != "ClusterRole":
            continue
        path = resource_of(manifest).path(name=manifest["metadata"]["name"])
        try:
            await client.request(
                "PATCH",
                path,
                query=[("fieldManager", FIELD_MANAGER), ("force", "true"), ("dryRun", "All")],
                body=msgspec.json.encode(manifest),
                content_type="application/apply-patch+yaml",
            )
        except Forbidden as error:
            raise InstallError(
                f"the user of the kubeconfig may not create ClusterRole {manifest['metadata']['name']} ({error})",
                "use the kubeconfig of an administrator",
            ) from error
