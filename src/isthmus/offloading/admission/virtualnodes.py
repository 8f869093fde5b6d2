"""/mutate/virtualnodes and /validate/virtualnodes: defaults from a VkOptionsTemplate, and no node displaced."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import field

from isthmus.api import labels, names
from isthmus.api.offloading import VK_OPTIONS_TEMPLATES, VirtualNode, VirtualNodeSpec
from isthmus.api.quantity import LARGEST, parse_resources
from isthmus.kube.admission import ALLOWED, AdmissionRequest, Operations, Verdict, deny
from isthmus.kube.builtin import NODES
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Base, Object
from isthmus.kube.options import Options
from isthmus.offloading.namespaces.selector import selector_problems
from isthmus.offloading.placement import REQUIRED


class TemplateSpec(Base, frozen=True, kw_only=True):
    """What of a VkOptionsTemplate is a default for virtual nodes."""

    create_node: bool = True
    disable_network_check: bool = False
    labels_not_reflected: list[str] = field(default_factory=list)
    annotations_not_reflected: list[str] = field(default_factory=list)


class Template(Object, frozen=True, kw_only=True):
    """A VkOptionsTemplate."""

    spec: TemplateSpec = field(default_factory=TemplateSpec)


TEMPLATES = VK_OPTIONS_TEMPLATES.view(Template)


class VirtualNodeAdmission:
    """Answers for VirtualNodes; these are few, so templates and nodes are read when asked."""

    def __init__(self, manager: Manager, options: Options) -> None:
        self.client = manager.client
        self.namespace = options.namespace

    async def mutate(self, request: AdmissionRequest) -> Verdict:
        """Fill in what the VirtualNode leaves to its template."""
        node = msgspec.json.decode(request.object, type=VirtualNode)
        if node.deleting:
            return ALLOWED
        reference = node.spec.vk_options_template_ref
        name = reference.name if reference and reference.name else names.DEFAULT_VK_OPTIONS_TEMPLATE
        namespace = (reference.namespace if reference else "") or self.namespace
        template = await self.client.find(TEMPLATES, name, namespace)
        if template is None and reference is not None:
            return deny(f"spec.vkOptionsTemplateRef: there is no VkOptionsTemplate {namespace}/{name}")
        return Verdict(patch=plan_defaults(node.spec, template.spec if template else TemplateSpec()))

    async def validate(self, request: AdmissionRequest) -> Verdict:
        """Refuse a VirtualNode whose Node would displace one that is not ours."""
        node = msgspec.json.decode(request.object, type=VirtualNode)
        if node.deleting:
            return ALLOWED
        problem = spec_problem(node.spec)
        if problem:
            return deny(problem)
        if request.operation == "UPDATE":
            old = msgspec.json.decode(request.old_object, type=VirtualNode)
            if old.spec.cluster_id != node.spec.cluster_id:
                return deny("spec.clusterID is immutable")
            return ALLOWED
        found = await self.client.find(NODES.partial(), node.metadata.name)
        if found is not None and not labels.is_virtual_node(found.metadata.labels):
            return deny(
                f"a node named {node.metadata.name} exists and is not a virtual node: choose another name"
            )
        other = found.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "") if found is not None else ""
        if other not in ("", node.spec.cluster_id):
            return deny(
                f"a node named {node.metadata.name} exists and stands for cluster {other}: choose another name"
            )
        return ALLOWED


def spec_problem(spec: VirtualNodeSpec) -> str:
    """What is wrong with a VirtualNode by itself, naming the field, "" for nothing.

    Labels and taints are left to the API server, which judges the Node made of them: see the condition Node.
    """
    if not names.is_dns_label(spec.cluster_id):
        return f"spec.clusterID is {spec.cluster_id!r}: it must be the provider's cluster id"
    try:
        amounts = parse_resources(spec.resource_quota.hard)
    except ValueError as error:
        return f"spec.resourceQuota.hard: {error}"
    for name, amount in amounts.items():
        if not 0 <= amount <= LARGEST:
            return f"spec.resourceQuota.hard: {name} is {spec.resource_quota.hard[name]!r}: it must not be negative"
    affinity = (spec.offloading_patch.affinity if spec.offloading_patch else None) or {}
    problems = selector_problems((affinity.get("nodeAffinity") or {}).get(REQUIRED))
    return f"spec.offloadingPatch.affinity.nodeAffinity.{REQUIRED}.{problems[0]}" if problems else ""


def plan_defaults(node: VirtualNodeSpec, template: TemplateSpec) -> Operations:
    """The patch that fills in a VirtualNode's spec from its template."""
    patch: Operations = []
    if node.create_node is None:
        patch.append({"op": "add", "path": "/spec/createNode", "value": template.create_node})
    if node.disable_network_check is None:
        value = template.disable_network_check
        patch.append({"op": "add", "path": "/spec/disableNetworkCheck", "value": value})
    own = node.offloading_patch
    lists = {
        "labelsNotReflected": (own.labels_not_reflected if own else [], template.labels_not_reflected),
        "annotationsNotReflected": (
            own.annotations_not_reflected if own else [],
            template.annotations_not_reflected,
        ),
    }
    merged: dict[str, Any] = {
        name: [*mine, *missing]
        for name, (mine, theirs) in lists.items()
        if (missing := [key for key in theirs if key not in mine])
    }
    if merged and own is None:
        patch.append({"op": "add", "path": "/spec/offloadingPatch", "value": merged})
    elif merged:
        patch += [{"op": "add", "path": f"/spec/offloadingPatch/{k}", "value": v} for k, v in merged.items()]
    return patch
