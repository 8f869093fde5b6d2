"""/mutate/shadowpods and /validate/shadowpods: what a consumer may have run here (wire.md 8).

The origin is checked always; creator and Quota only under enforcement. The check against the Quota and the
reservation of what is let through are one step without a wait between, so concurrent requests cannot pass on
the same free amount.
"""

from __future__ import annotations

from typing import Any

import msgspec

from isthmus.api import labels, names
from isthmus.api.offloading import QUOTAS, SHADOW_PODS, Quota, ShadowPod
from isthmus.api.tenancy import is_tenant_namespace_of
from isthmus.kube.admission import ALLOWED, AdmissionRequest, Verdict, deny, set_label
from isthmus.kube.builtin import NAMESPACES
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key
from isthmus.kube.options import Options
from isthmus.offloading.admission.managedfields import strip_managed_fields
from isthmus.offloading.admission.pod_security import Container, containers_problem, pod_problem
from isthmus.offloading.inplace import CHANGES, parse_changes, resized_spec
from isthmus.offloading.quota.enforcement import (
    exceeded,
    missing_limit,
    mode_problem,
    quota_limits,
)
from isthmus.offloading.quota.ledger import Ledger, amounts_of
from isthmus.offloading.quota.requests import PodResources, pod_requests, read_pod

BY_USER = "user"
MAX_LABEL = 63
MUTABLE = frozenset({"activeDeadlineSeconds", "tolerations"})


def fixed_part(spec: dict[str, Any]) -> dict[str, Any]:
    """What of a PodSpec may never change: all but images, deadline and tolerations."""
    fixed = {key: value for key, value in spec.items() if key not in MUTABLE}
    for kind in ("containers", "initContainers"):
        if isinstance(fixed.get(kind), list):
            fixed[kind] = [{k: v for k, v in container.items() if k != "image"} for container in fixed[kind]]
    return fixed


def changes_problem(shadow: ShadowPod, *, privileged: bool) -> str:
    """What is wrong with the changes in place a ShadowPod tells of, "" for nothing."""
    if CHANGES not in shadow.metadata.annotations:
        return ""
    try:
        changes = parse_changes(shadow.metadata.annotations)
        pod = read_pod(resized_spec(shadow))
        pod_requests(pod)
        added = msgspec.convert(changes.ephemeral_containers, list[Container])
    except (ValueError, msgspec.DecodeError) as error:
        return str(error)
    if problem := containers_problem(added, privileged=privileged):
        return f"annotation {CHANGES}: {problem}"
    known = {container.name for container in [*(pod.containers or []), *pod.init_containers]}
    unknown = sorted(changes.resources.keys() - known)
    return f"annotation {CHANGES}: there is no container {unknown[0]}" if unknown else ""


class ShadowPodAdmission:
    """Answers for ShadowPods."""

    def __init__(self, manager: Manager, options: Options, ledger: Ledger) -> None:
        self.client = manager.client
        self.enforcement = options.enforcement
        self.privileged = options.privileged_pods
        self.ledger = ledger
        informers = manager.informers
        self.shadows = informers.get(SHADOW_PODS)
        self.quotas = informers.get(QUOTAS)
        self.quotas.add_index(BY_USER, lambda quota: [names.creator_label(quota.spec.user)])
        self.namespaces = informers.get(NAMESPACES.partial(), label_selector=labels.REMOTE_CLUSTER_ID)

    async def mutate(self, request: AdmissionRequest) -> Verdict:
        """Force the creator label to who really asks; on an update to who asked first."""
        stripped = strip_managed_fields(request)
        if not self.enforcement:
            return Verdict(patch=stripped)
        shadow = msgspec.json.decode(request.object, type=ShadowPod)
        creator = names.creator_label(request.user_info.username)
        if request.operation == "UPDATE":
            old = msgspec.json.decode(request.old_object, type=ShadowPod)
            creator = old.metadata.labels.get(labels.CREATOR_USER, "")
            if not creator:
                return ALLOWED
        elif not creator or len(creator) > MAX_LABEL or not (creator[0] + creator[-1]).isalnum():
            return deny(f"failed getting quota: user {request.user_info.username} has none")
        return Verdict(patch=stripped + set_label(shadow.metadata.labels, labels.CREATOR_USER, creator))

    async def validate(self, request: AdmissionRequest) -> Verdict:
        """The verdict on a ShadowPod created or updated; deleting is always allowed."""
        if request.operation == "DELETE":
            return ALLOWED
        shadow = msgspec.json.decode(request.object, type=ShadowPod)
        if request.operation == "UPDATE":
            return await self._validate_update(request, shadow)
        origin = shadow.metadata.labels.get(labels.ORIGIN, "")
        if not origin:
            return deny("missing origin Cluster ID label")
        if await self._cluster_of(request.namespace) != origin:
            return deny("shadowpod Cluster ID label mismatch")
        pod = read_pod(resized_spec(shadow))
        if pod.containers is None:
            return deny("spec.pod.containers must be set")
        problem = changes_problem(shadow, privileged=self.privileged) or pod_problem(
            shadow.spec.pod, privileged=self.privileged
        )
        if problem:
            return deny(problem)
        return await self._validate_quota(request, shadow, pod) if self.enforcement else ALLOWED

    async def _cluster_of(self, namespace: str) -> str:
        """The consumer a namespace belongs to, "" for none."""
        found = self.namespaces.get(Key("", namespace)) or await self.client.find(
            NAMESPACES.partial(), namespace
        )
        return found.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "") if found else ""

    async def _validate_quota(
        self, request: AdmissionRequest, shadow: ShadowPod, pod: PodResources, token: str = ""
    ) -> Verdict:
        if not all(cache.synced.is_set() for cache in (self.shadows, self.quotas, self.namespaces)):
            return deny("initialization in progress", 500)
        creator = shadow.metadata.labels.get(labels.CREATOR_USER, "")
        if creator != names.creator_label(request.user_info.username):
            return deny("creator name cannot be modified")
        quota = await self._quota_of(request.user_info.username, creator, shadow)
        if quota is None:
            return deny(f"failed getting quota: user {request.user_info.username} has none")
        if quota.spec.cordoned:
            return deny("user is cordoned")
        return self._check_and_reserve(request, shadow, pod, quota, token)

    def _check_and_reserve(
        self,
        request: AdmissionRequest,
        shadow: ShadowPod,
        pod: PodResources,
        quota: Quota,
        token: str = "",
    ) -> Verdict:
        """One step, never to be interrupted: check what is free, and take it.

        What is taken is held until the object is seen; with a `token` for as long as a request may last, for the
        object may be seen as it was before.
        """
        try:
            limits, asked = quota_limits(quota), pod_requests(pod)
            problem = mode_problem(quota.spec.limits_enforcement, pod)
        except ValueError as error:
            return deny(str(error))
        problem = problem or missing_limit(limits, asked)
        if problem:
            return deny(problem)
        creator, key = shadow.metadata.labels[labels.CREATOR_USER], shadow.key
        short = self.ledger.shortage(creator, key, limits, asked)
        if short is not None:
            name, free = short
            return deny(exceeded(name, free, asked[name]))
        if not request.dry_run:
            self.ledger.reserve(creator, key, token or shadow.metadata.uid, asked)
        return ALLOWED

    async def _quota_of(self, user: str, creator: str, shadow: ShadowPod) -> Quota | None:
        """The Quota of a user, in a tenant namespace of its cluster: what another was granted counts for nobody else.

        A user's own name goes before one that only looks like it as a label.
        """
        origin = shadow.metadata.labels[labels.ORIGIN]
        places = [one.metadata.name for one in self.namespaces.list() if is_tenant_namespace_of(one, origin)]
        candidates = [
            one for one in self.quotas.by_index(BY_USER, creator) if one.metadata.namespace in places
        ]
        if candidates:
            return min(candidates, key=lambda quota: quota.spec.user != user)
        for place in places:  # The cache may be behind.
            if (found := await self.client.find(QUOTAS, creator, place)) is not None:
                return found
        return None

    async def _validate_update(self, request: AdmissionRequest, shadow: ShadowPod) -> Verdict:
        old = msgspec.json.decode(request.old_object, type=ShadowPod)
        before, after = old.metadata.labels, shadow.metadata.labels
        if before.get(labels.ORIGIN) != after.get(labels.ORIGIN):
            return deny("shadowpod Cluster ID label mismatch")
        if bytes(old.spec.pod) != bytes(shadow.spec.pod) and fixed_part(
            msgspec.json.decode(old.spec.pod)
        ) != fixed_part(msgspec.json.decode(shadow.spec.pod)):
            return deny("spec.pod is immutable, except for images, activeDeadlineSeconds and tolerations")
        changed = old.metadata.annotations.get(CHANGES) != shadow.metadata.annotations.get(CHANGES)
        problem = changes_problem(shadow, privileged=self.privileged) if changed else ""
        if problem:
            return deny(problem)
        if not self.enforcement:
            return ALLOWED
        creator = before.get(labels.CREATOR_USER, "")
        if after.get(labels.CREATOR_USER, "") != creator:
            return deny("creator name cannot be modified")
        # A consumer's other slices may not touch it. The provider's own administrators and its garbage
        # collector may change metadata: stock refuses them too, which leaves objects nobody can release.
        consumer = before.get(labels.ORIGIN, "") in request.user_info.groups
        if consumer and creator and names.creator_label(request.user_info.username) != creator:
            return deny("creator name cannot be modified")
        return await self._validate_resize(request, old, shadow) if changed else ALLOWED

    async def _validate_resize(self, request: AdmissionRequest, old: ShadowPod, shadow: ShadowPod) -> Verdict:
        """The verdict on resources changed in place: what they grow by must be free, as for a new pod."""
        before, pod = amounts_of(old), read_pod(resized_spec(shadow))
        try:
            after = pod_requests(pod)
        except ValueError as error:
            return deny(str(error))
        if all(amount <= before.get(name, 0) for name, amount in after.items()):
            return ALLOWED
        return await self._validate_quota(request, shadow, pod, token=f"{shadow.metadata.uid} resized")
