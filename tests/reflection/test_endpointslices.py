"""EndpointSlices: whether one is reflected, what marks its copy, and what its caches say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec import convert

from isthmus.api import labels
from isthmus.api.authentication import RESOURCE_SLICES
from isthmus.api.endpoints import DirectConnections, read_direct_connections
from isthmus.api.ipam import IPS, NETWORKS
from isthmus.api.networking import CONFIGURATIONS
from isthmus.api.offloading import ShadowEndpointSlice
from isthmus.kube.builtin import NAMESPACES, NODES
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Object
from isthmus.kube.resource import Resource
from isthmus.reflection import endpointslices
from isthmus.reflection.endpointslices import LocalSlice
from isthmus.reflection.engine import NotReflectableError, index_name
from isthmus.reflection.services import REFLECTED_SERVICES
from isthmus.reflection.session import ReflectionSession, ReflectorOptions
from tests.reflection.support import UNUSED, session

SKIP, ALLOW = labels.SKIP_REFLECTION, labels.ALLOW_REFLECTION


def slice_(*endpoints: dict[str, Any], **metadata: Any) -> LocalSlice:
    marks = {labels.SERVICE_NAME: "web", labels.ENDPOINT_SLICE_MANAGED_BY: "endpointslice-controller.k8s.io"}
    found = {"name": "web-1", "namespace": "shop", "uid": "u", "labels": marks} | metadata
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    return convert(
        {"metadata": found, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}, LocalSlice
    )


def cache(resource: Resource[Any], *manifests: dict[str, Any]) -> Informer[Any]:
    """An informer that holds the objects."""
    informer: Informer[Any] = Informer(UNUSED, resource)
    for source in endpointslices.SOURCES + endpointslices.NETWORK_SOURCES:
        if source.resource == resource:
            informer.add_index(index_name("endpointslice"), source.links)
    for manifest in manifests:
        informer._put(convert(manifest, resource.type))
    return informer


def named(name: str, namespace: str = "", **rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "labels": rest.pop("labels", {})}, **rest}


def peer(id_: str) -> dict[str, str]:
    return {labels.REMOTE_CLUSTER_ID: id_}


def configuration(namespace: str) -> dict[str, Any]:
    spec = {"remote": {"cidr": {"pod": ["10.244.0.0/16"], "external": ["10.70.0.0/16"]}}}
    status = {"remote": {"cidr": {"pod": ["10.71.0.0/16"], "external": ["10.75.0.0/16"]}}}
    return named("naples", namespace, labels=peer("naples"), spec=spec, status=status)


def caches(
    service: dict[str, Any] | None, *configurations: dict[str, Any], slices: Sequence[dict[str, Any]] = ()
) -> tuple[Informer[Any], ...]:
    tenant = peer("naples") | {labels.TENANT_NAMESPACE: "true"}
    pods = {labels.NETWORK_TYPE: "pod-cidr"}
    return (
        cache(REFLECTED_SERVICES, *([service] if service else [])),
        cache(
            NODES.partial(),
            named("worker"),
            named("milan", labels=peer("milan")),
            named("naples", labels=peer("naples")),
        ),
        cache(
            IPS,
            named("b", "shop", spec={"ip": "10.71.0.5"}, status={"ip": "10.70.0.9"}),
            named("a", "shop", spec={"ip": "10.71.0.5"}),
            named("c", "other", spec={"ip": "192.0.2.1"}, status={"ip": "10.70.0.10"}),
        ),
        cache(
            NETWORKS,
            named("pod-cidr", "liqo", labels=pods, status={"cidr": "10.244.0.0/16"}),
            named("pod-cidr", "shop", labels=pods, status={"cidr": "0.0.0.0/0"}),
            named("external-cidr", "liqo", status={"cidr": "10.70.0.0/16"}),
        ),
        cache(CONFIGURATIONS, *configurations),
        cache(NAMESPACES.partial(), named("liqo-tenant-naples", labels=tenant)),
        cache(RESOURCE_SLICES, *slices),
    )


def prepared(
    local: LocalSlice,
    service: dict[str, Any] | None = None,
    *configurations: dict[str, Any],
    view: ReflectionSession | None = None,
) -> LocalSlice:
    service = service or named("web", "shop")
    return endpointslices.prepare(view or session(), local, caches(service, *configurations))


OURS, THEIRS, OTHERS = (
    {"addresses": ["10.244.1.7"], "nodeName": "worker"},
    {"addresses": ["10.73.0.5"], "nodeName": "milan"},
    {"addresses": ["10.71.0.5"], "nodeName": "naples"},
)


def test_the_providers_own_pods_are_told_of_where_it_is_known_to_understand_that() -> None:
    local = slice_({"addresses": ["10.71.1.20"]})
    web, ranges = named("web", "shop"), configuration("liqo-tenant-naples")
    view = msgspec.structs.replace(session(), provider_id="naples")
    told = []
    for mark in ({}, {labels.PROVIDER_NETWORK: "{}"}):
        slice_of = named("naples", "liqo-tenant-naples", spec={"providerClusterID": "naples"})
        slice_of["metadata"]["annotations"] = mark
        found = endpointslices.prepare(view, local, caches(web, ranges, slices=[slice_of]))
        told.append([one.addresses for one in found.endpoints])
    assert told == [[], [["10.244.1.20"]]]


def test_the_copy_has_the_endpoints_of_everywhere_but_the_provider() -> None:
    local = prepared(slice_(OURS, THEIRS, OTHERS, {"addresses": ["192.0.2.1"]}))
    assert local.wanted
    template = endpointslices.forge(local)["spec"]["template"]
    assert [one["addresses"] for one in template["endpoints"]] == [["10.244.1.7"], ["10.70.0.9"]]
    assert template["addressType"] == "IPv4"
    assert template["ports"] == [{"name": "http", "port": 80, "protocol": "TCP"}]
    text = endpointslices.shortcoming(local)
    assert "192.0.2.1" in text, "an IP object of another namespace is not ours"
    assert "namespace shop" in text
    remote = convert(msgspec.to_builtins(endpointslices.forge(local)), ShadowEndpointSlice)
    assert endpointslices.same(local, remote)
    assert not endpointslices.same(prepared(slice_(OURS)), remote)
    assert endpointslices.shortcoming(prepared(slice_(OURS))) == ""


def test_the_copy_is_marked_and_changes_only_when_it_should() -> None:
    annotations = {endpointslices.LAST_CHANGE: "2026-11-23T10:00:00Z", "note": "n"}
    metadata = prepared(slice_(OURS, annotations=annotations)).metadata
    assert metadata.annotations == {"note": "n"}
    assert metadata.labels == {
        labels.SERVICE_NAME: "web",
        labels.ENDPOINT_SLICE_MANAGED_BY: "endpointslice.reflection.liqo.io",
    }
    owns = endpointslices.plan(session()).owns
    assert owns(ShadowEndpointSlice(metadata=metadata))
    assert not owns(ShadowEndpointSlice())


@pytest.mark.parametrize(
    ("slice_says", "service_says", "deny", "allow"),
    [
        ({}, {}, True, False),
        ({}, {SKIP: "true"}, False, False),
        ({SKIP: "false"}, {SKIP: "true"}, True, False),
        ({SKIP: "true"}, {}, False, False),
        ({}, {ALLOW: "true"}, True, True),
        ({ALLOW: "true"}, {}, True, True),
        ({ALLOW: "false"}, {ALLOW: "true"}, True, False),
        ({ALLOW: "true"}, {SKIP: "true"}, True, True),
    ],
)
def test_the_policy_is_the_services_unless_the_slice_says_otherwise(
    slice_says: dict[str, str], service_says: dict[str, str], deny: bool, allow: bool
) -> None:
    service = named("web", "shop")
    service["metadata"]["annotations"] = service_says
    local = slice_(OURS, annotations=slice_says)
    assert prepared(local, service).wanted is deny
    view = session(reflectors={"service": ReflectorOptions(type="AllowList")})
    assert prepared(local, service, view=view).wanted is allow


def test_what_is_never_reflected() -> None:
    imported = {labels.ENDPOINT_SLICE_MANAGED_BY: labels.ENDPOINT_SLICE_REFLECTION}
    assert not prepared(slice_(OURS, labels=imported)).wanted
    assert not prepared(msgspec.structs.replace(slice_(OURS), address_type="IPv6")).wanted
    orphan = slice_(OURS, labels={labels.SERVICE_NAME: "gone"})
    assert not prepared(orphan).wanted
    assert prepared(slice_(OURS, labels={})).wanted, "a slice of no Service is its user's own"
    api_server = slice_(OURS, namespace="default", labels={labels.SERVICE_NAME: "kubernetes"})
    assert not endpointslices.prepare(session(), api_server, caches(named("kubernetes", "default"))).wanted


def direct_service() -> dict[str, Any]:
    service = named("web", "shop")
    service["metadata"]["annotations"] = {labels.USE_DIRECT_CONNECTIONS: "true"}
    return service


def test_direct_connections() -> None:
    local = prepared(slice_(OURS, OTHERS), direct_service(), configuration("liqo-tenant-naples"))
    assert [one.addresses for one in local.endpoints] == [["10.244.1.7"], ["10.244.0.5"]]
    data = local.metadata.annotations[labels.DIRECT_CONNECTIONS_DATA]
    assert msgspec.json.decode(data) == {"clusterAddresses": {"naples": ["10.244.0.5"]}}
    assert read_direct_connections(data) == DirectConnections({"naples": ["10.244.0.5"]})


def test_nobody_speaks_for_another_cluster() -> None:
    local = prepared(slice_(OTHERS), direct_service(), configuration("liqo-tenant-evil"))
    assert [one.addresses for one in local.endpoints] == [["10.70.0.9"]]
    assert labels.DIRECT_CONNECTIONS_DATA not in local.metadata.annotations


def test_the_data_is_ours_to_write_and_bounded() -> None:
    forged = slice_(OURS, annotations={labels.DIRECT_CONNECTIONS_DATA: "{}"})
    assert labels.DIRECT_CONNECTIONS_DATA not in prepared(forged).metadata.annotations
    with pytest.raises(NotReflectableError, match=r"262144 are possible.*use-direct-connections"):
        endpointslices.forge_metadata(forged.metadata, {"naples": ["10.244.0.5"] * 30000})


def test_without_a_network_only_services_and_nodes_are_read() -> None:
    view = session(translate=False)
    kind = endpointslices.plan(view)
    assert len(kind.sources) == 2
    some = slice_(OURS, {"addresses": ["192.0.2.1"]}, THEIRS)
    local = endpointslices.prepare(view, some, caches(named("web", "shop"))[:2])
    assert [one.addresses for one in local.endpoints] == [["10.244.1.7"], ["192.0.2.1"]]


def test_links_lead_from_what_changed_to_the_slices() -> None:
    local = slice_(OURS, THEIRS)
    known = set(endpointslices.links(local))
    objects: list[tuple[Resource[Any], dict[str, Any], bool]] = [
        (REFLECTED_SERVICES, named("web", "shop"), True),
        (REFLECTED_SERVICES, named("db", "shop"), False),
        (NODES.partial(), named("milan"), True),
        (NODES.partial(), named("other"), False),
        (IPS, named("x", "shop", spec={"ip": "10.73.0.5"}), True),
        (IPS, named("x", "other", spec={"ip": "10.73.0.5"}), False),
        (NETWORKS, named("n", "liqo", labels={labels.NETWORK_TYPE: "pod-cidr"}), True),
        (NETWORKS, named("n", "liqo"), False),
        (CONFIGURATIONS, configuration("liqo-tenant-naples"), True),
    ]
    sources = {s.resource.plural: s for s in endpointslices.SOURCES + endpointslices.NETWORK_SOURCES}
    for resource, manifest, linked in objects:
        found: Object = convert(manifest, resource.type)
        assert bool(known & set(sources[resource.plural].links(found))) is linked, manifest
