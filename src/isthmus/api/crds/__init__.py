"""The CustomResourceDefinitions of the 28 liqo.io kinds, written by hand as Python values (api-fields.md).

Only installation imports this package: a role's process reads objects through the structs of `isthmus.api` and
never needs the schemas. `schema` is the notation, `shared` the pieces several kinds have in common, and each of
the other modules holds the kinds of one group. Nothing in here talks to a cluster or can fail at run time.
"""

from __future__ import annotations

from isthmus.api.crds import authentication, core, gateways, ipam, networking, offloading, wireguard
from isthmus.api.crds.schema import Kind
from isthmus.kube.objects import Manifest

KINDS: tuple[Kind, ...] = (
    *core.KINDS,
    *authentication.KINDS,
    *offloading.KINDS,
    *networking.KINDS,
    *gateways.KINDS,
    *wireguard.KINDS,
    *ipam.KINDS,
)
"""Every kind that is served, in the order it is installed."""


def custom_resource_definitions() -> list[Manifest]:
    """The manifest of every kind's CustomResourceDefinition."""
    return [kind.manifest() for kind in KINDS]
