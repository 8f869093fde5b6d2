"""How each kind is reflected through a virtual node, as its VkOptionsTemplate says (behaviour.md 4.3). Pure functions.

A VirtualNode that names no template has the installation's; where that is gone, every kind has its own defaults.
"""

from __future__ import annotations

from msgspec import field

from isthmus.api import names
from isthmus.api.offloading import VK_OPTIONS_TEMPLATES, VirtualNodeSpec
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
    """What of a template is about reflection."""

    reflectors_config: dict[str, ReflectorConfig] = field(default_factory=dict)


class ReflectionTemplate(Object, frozen=True, kw_only=True):
    """A VkOptionsTemplate."""

    spec: TemplateSpec = field(default_factory=TemplateSpec)


REFLECTION_TEMPLATES = VK_OPTIONS_TEMPLATES.view(ReflectionTemplate)


def template_of(spec: VirtualNodeSpec, namespace: str) -> Key:
    """Where a VirtualNode's template is; `namespace` is the installation's."""
    reference = spec.vk_options_template_ref
    if reference is None or not reference.name:
        return Key(namespace, names.DEFAULT_VK_OPTIONS_TEMPLATE)
    return Key(reference.namespace or namespace, reference.name)


def plan_reflectors(template: ReflectionTemplate | None) -> dict[str, ReflectorOptions]:
    """How each kind that the template names is reflected.

    A type that is none lets only through what is annotated to be let: a misspelt one gives nothing away.
    """
    if template is None:
        return {}
    return {
        kind: ReflectorOptions(
            workers=None if config.workers is None else max(0, min(config.workers, MOST_WORKERS)),
            type="DenyList" if config.type in _ALL else "AllowList",
        )
        for kind, config in template.spec.reflectors_config.items()
    }
