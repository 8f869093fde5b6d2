"""discovery.k8s.io: EndpointSlice, and the endpoints it has in common with a ShadowEndpointSlice.

Fields that may be absent are None, so that what was absent stays absent in a copy. Every field is typed: what a
peer adds beyond them never gets into this process or any further.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, field

from isthmus.kube.objects import Base, Object
from isthmus.kube.resource import Resource

IPV4 = "IPv4"


class EndpointConditions(Base, frozen=True, kw_only=True):
    """Whether an endpoint takes traffic; None, the unknown, counts as yes but for `terminating`."""

    ready: bool | None = None
    serving: bool | None = None
    """Whether it answers, be it ending or not: where no endpoint is ready, those that end are used (KEP-1669)."""
    terminating: bool | None = None


class TargetReference(Base, frozen=True, kw_only=True):
    """The object behind an endpoint, mostly a Pod."""

    api_version: str | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    uid: str | None = None


class HintTarget(Base, frozen=True, kw_only=True):
    """A zone or a node that had better use an endpoint."""

    name: str = ""


class EndpointHints(Base, frozen=True, kw_only=True):
    """Who had better use an endpoint."""

    for_zones: list[HintTarget] | None = None
    for_nodes: list[HintTarget] | None = None


class Endpoint(Base, frozen=True, kw_only=True):
    """The addresses of one backend of a Service, all of them equivalent."""

    addresses: list[str] = field(default_factory=list)
    conditions: EndpointConditions = field(default_factory=EndpointConditions)
    hostname: str | None = None
    node_name: str | None = None
    target_ref: TargetReference | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class EndpointPort(Base, frozen=True, kw_only=True):
    """A port of all endpoints of a slice; without a number it stands for every port."""

    name: str | None = None
    protocol: str | None = None
    port: int | None = None
    app_protocol: str | None = None


class EndpointSlice(Object, frozen=True, kw_only=True):
    """Some of the endpoints of a Service."""

    address_type: str = ""
    endpoints: list[Endpoint] = field(default_factory=list)
    ports: list[EndpointPort] = field(default_factory=list)


class DirectConnections(Struct, frozen=True, rename="camel"):
    """Which addresses of a ShadowEndpointSlice are those of pods in third clusters, by the id of the cluster, each
    as that cluster itself knows it (behaviour.md 5.10): the content of an annotation."""

    cluster_addresses: dict[str, list[str]] = field(default_factory=dict)


def read_direct_connections(text: str) -> DirectConnections:
    """Read the annotation. Raises ValueError where it is not of this form."""
    try:
        return msgspec.json.decode(text, type=DirectConnections)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ValueError(str(error)) from None


ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", EndpointSlice)
