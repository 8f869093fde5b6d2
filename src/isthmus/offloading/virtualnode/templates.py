"""What a VkOptionsTemplate says of the virtual nodes that have it, as long as it says so.

How each kind is reflected (behaviour.md 4.3), and what their Nodes carry beside the VirtualNodes' own labels and
annotations. A VirtualNode that names no template has the installation's; where that is gone, every kind has its own
defaults. What a template is the default of (`admission.virtualnodes`) is written into the VirtualNode instead.
"""

from __future__ import annotations

import msgspec
from msgspec import field

from isthmus.api import names
from isthmus.api.offloading import VIRTUAL_NODES, VK_OPTIONS_TEMPLATES, VirtualNode, VirtualNodeSpec
from isthmus.kube.informer import InformerSet
from isthmus.kube.objects import Base, Key, Object
from isthmus.reflection import ReflectorOptions

MOST_WORKERS = 100
"""Objects of one kind written at once at most, whatever a template says."""
_ALL = ("", "DenyList", "CustomLiqo")
"""Types by which all is reflected but what is marked; the last is a kind's own rule, and this is ours."""


class ReflectorConfig(Base, frozen=True, kw_only=True):
    """What a template says of one kind."""

    workers: int | None = None
    type: str = ""


class TemplateSpec(Base, frozen=True, kw_only=True):
    """What of a template is looked at while it holds."""

    reflectors_config: dict[str, ReflectorConfig] = field(default_factory=dict)
    node_extra_labels: dict[str, str] = field(default_factory=dict)
    node_extra_annotations: dict[str, str] = field(default_factory=dict)


class Template(Object, frozen=True, kw_only=True):
    """A VkOptionsTemplate."""

    spec: TemplateSpec = field(default_factory=TemplateSpec)


TEMPLATES = VK_OPTIONS_TEMPLATES.view(Template)


def template_of(spec: VirtualNodeSpec, namespace: str) -> Key:
    """Where a VirtualNode's template is; `namespace` is the installation's."""
    reference = spec.vk_options_template_ref
    if reference is None or not reference.name:
        return Key(namespace, names.DEFAULT_VK_OPTIONS_TEMPLATE)
    return Key(reference.namespace or namespace, reference.name)


def plan_reflectors(template: Template | None) -> dict[str, ReflectorOptions]:
    """How each kind that the template names is reflected.

    A type that is none lets only through what is annotated to be let: a misspelt one gives nothing away.
    """
    if template is None:
        return {}
    return {
        kind: ReflectorOptions(
            workers=None if config.workers is None else _bounded(config.workers),
            type="DenyList" if config.type in _ALL else "AllowList",
        )
        for kind, config in template.spec.reflectors_config.items()
    }


def workers_of(kind: str, template: Template | None, default: int) -> int:
    """How many objects of a kind are reflected at a time through a virtual node; 0 where none are."""
    config = None if template is None else template.spec.reflectors_config.get(kind)
    return default if config is None or config.workers is None else _bounded(config.workers)


def _bounded(workers: int) -> int:
    return max(0, min(workers, MOST_WORKERS))


def with_extras(virtual_node: VirtualNode, template: Template | None) -> VirtualNode:
    """The VirtualNode with the labels and annotations its template adds to the Node; its own go before."""
    if template is None or not (template.spec.node_extra_labels or template.spec.node_extra_annotations):
        return virtual_node
    spec = msgspec.structs.replace(
        virtual_node.spec,
        labels={**template.spec.node_extra_labels, **virtual_node.spec.labels},
        annotations={**template.spec.node_extra_annotations, **virtual_node.spec.annotations},
    )
    return msgspec.structs.replace(virtual_node, spec=spec)


class WishedNodes:
    """The VirtualNodes of this cluster with what their templates add, as a cluster selector sees them."""

    def __init__(self, informers: InformerSet, namespace: str) -> None:
        self.nodes = informers.get(VIRTUAL_NODES)
        self.templates = informers.get(TEMPLATES)
        self._namespace = namespace

    def list(self, namespace: str = "") -> list[VirtualNode]:
        """Those of one namespace, or all."""
        return [
            with_extras(node, self.templates.get(template_of(node.spec, self._namespace)))
            for node in self.nodes.list(namespace)
        ]
