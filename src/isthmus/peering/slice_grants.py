"""What a provider answers to a slice: the rulings on its authentication and its resources (behaviour 3.5).

Pure. The default class grants whatever was asked for, and the installation's defaults for what was not; other
classes are ruled on by whoever serves them. A cordoned Tenant keeps what was decided and gets nothing new.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from isthmus.api.authentication import Condition, ResourceSlice, ResourceSliceStatus, Tenant
from isthmus.api.quantity import parse_resources
from isthmus.kube.objects import Manifest
from isthmus.kube.options import Options
from isthmus.peering.conditions import transition_time
from isthmus.peering.handshake import MAXIMUM_SLICE_NAME
from isthmus.peering.tenant_conditions import ACTIVE, CORDONED, DRAINED

ACCEPTED, DENIED = "Accepted", "Denied"
DEFAULT_CLASSES = ("", "default")
MAXIMUM_RESOURCES = 64

Kind = Literal["Authentication", "Resources"]

AUTHENTICATION: Kind = "Authentication"
RESOURCES: Kind = "Resources"


class Ruling(Struct, frozen=True):
    """Whether a part of a slice is accepted, and why."""

    accepted: bool
    reason: str
    message: str


def accept(kind: Kind, message: str) -> Ruling:
    """A ruling in favour, with the reason stock Liqo gives (wire.md 4)."""
    return Ruling(True, f"ResourceSlice{kind}Accepted", message)


def deny(kind: Kind, message: str, reason: str = "") -> Ruling:
    """A ruling against."""
    return Ruling(False, reason or f"ResourceSlice{kind}Denied", message)


def decided(slice_: ResourceSlice, kind: Kind) -> str:
    """Accepted or Denied as the status has it, "" where there is no ruling yet."""
    return next((one.status for one in slice_.status.conditions if one.type == kind), "")


def find_objection(slice_: ResourceSlice, tenant: Tenant | None, own_id: str) -> str:
    """Why a slice cannot be its consumer's, before any certificate is looked at; "" where it can."""
    consumer = slice_.spec.consumer_cluster_id
    if tenant is None or tenant.spec.cluster_id != consumer:
        return f"there is no Tenant of cluster {consumer[:64]!r} in this namespace"
    if slice_.spec.provider_cluster_id not in ("", own_id):
        return f"the slice is for provider {slice_.spec.provider_cluster_id[:64]!r}, this is {own_id!r}"
    if len(slice_.metadata.name) > MAXIMUM_SLICE_NAME:
        return f"the slice's name is longer than {MAXIMUM_SLICE_NAME} characters"
    condition = tenant.spec.tenant_condition
    if condition == DRAINED:
        return "the Tenant is drained"
    if condition == CORDONED and decided(slice_, AUTHENTICATION) != ACCEPTED:
        return "the Tenant is cordoned"
    return ""


def rule_on_resources(slice_: ResourceSlice, tenant: Tenant | None, options: Options) -> Ruling | None:
    """The ruling on the resources, None where another controller serves the class or nothing changes."""
    if slice_.spec.class_ not in DEFAULT_CLASSES:
        return None
    if not options.default_slice_class_enabled:
        message = "slices of the default class are switched off on the provider"
        return deny(RESOURCES, message, "DefaultResourceSliceClassDisabled")
    condition = ACTIVE if tenant is None else tenant.spec.tenant_condition
    if condition == CORDONED and decided(slice_, RESOURCES):
        return None
    if condition != ACTIVE:
        return deny(RESOURCES, f"the Tenant is {condition.lower()}")
    if fault := find_resource_fault(slice_.spec.resources):
        return deny(RESOURCES, fault)
    return accept(RESOURCES, "the resources are granted")


def find_resource_fault(resources: dict[str, Any]) -> str:
    """What is wrong with the resources asked for, "" where nothing is."""
    if len(resources) > MAXIMUM_RESOURCES:
        return f"more than {MAXIMUM_RESOURCES} resources are asked for"
    try:
        amounts = parse_resources(resources)
    except ValueError as error:
        return str(error)
    return next((f"resource {name} is negative" for name, amount in amounts.items() if amount < 0), "")


def grant(slice_: ResourceSlice, options: Options) -> dict[str, Any]:
    """The fields of the status that a grant fills, None where there is nothing to say.

    The resources are everything asked for, verbatim, and the defaults for what was not.
    """
    return {
        "resources": {**options.default_node_resources, **slice_.spec.resources},
        "nodeLabels": dict(options.cluster_labels) or None,
        "loadBalancerClasses": options.load_balancer_classes or None,
        "ingressClasses": options.ingress_classes or None,
    }


def plan_conditions(
    current: list[Condition], rulings: dict[Kind, Ruling | None], now: str
) -> list[dict[str, str]]:
    """The conditions with the rulings in them; those without a ruling stay as they are."""
    changed: dict[str, Ruling] = {kind: ruling for kind, ruling in rulings.items() if ruling is not None}
    conditions = [
        {
            "type": one.type,
            "status": one.status,
            "reason": one.reason,
            "message": one.message,
            "lastTransitionTime": one.last_transition_time or now,
        }
        for one in current
        if one.type not in changed
    ]
    for kind, ruling in changed.items():
        status = ACCEPTED if ruling.accepted else DENIED
        conditions.append(
            {
                "type": kind,
                "status": status,
                "reason": ruling.reason,
                "message": ruling.message,
                "lastTransitionTime": transition_time(current, kind, status, now),
            }
        )
    return sorted(conditions, key=lambda one: one["type"])


def plan_status(slice_: ResourceSlice, wanted: Manifest) -> Manifest | None:
    """The merge patch that makes the status say `wanted`, None where it does; fields left out stay.

    It carries the resourceVersion: whoever serves another class writes conditions too.
    """
    if all(_plain(slice_.status, field) == value for field, value in wanted.items()):
        return None
    meta = slice_.metadata
    status: Manifest = {}
    for field, value in wanted.items():
        present = _plain(slice_.status, field)
        if isinstance(value, dict) and isinstance(present, dict):
            value = dict.fromkeys(present) | value  # A merge patch keeps what is not named as null.
        status[field] = value
    return {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version}, "status": status}


def _plain(status: ResourceSliceStatus, field: str) -> Any:
    import msgspec

    plain = msgspec.to_builtins(status)
    if field == "conditions":
        return sorted(plain.get(field, []), key=lambda one: one["type"])
    return plain.get(field)
