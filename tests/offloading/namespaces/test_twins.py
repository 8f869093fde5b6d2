"""What a consumer may and may not have on a provider."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from isthmus.api import labels
from isthmus.api.offloading import NamespaceMap
from isthmus.api.tenancy import is_tenant_namespace_of
from isthmus.kube.objects import Key, Object
from isthmus.offloading.namespaces.twins import (
    MOST_TWINS,
    RoleBinding,
    binds_rightly,
    forge_role_binding,
    forge_twin,
    is_copy,
    is_twin_of,
    map_key_of,
    name_refused,
    number_refused,
)


def copy(origin: str = "rome") -> NamespaceMap:
    metadata = {
        "name": "milan",
        "namespace": "liqo-tenant-rome",
        "labels": {labels.REPLICATED: "true", labels.ORIGIN_ID: origin},
    }
    return msgspec.convert({"metadata": metadata}, NamespaceMap)


def namespace(**found: str) -> Object:
    metadata = {"name": "liqo-tenant-rome", "labels": {k.replace("_", "/"): v for k, v in found.items()}}
    return msgspec.convert({"metadata": metadata}, Object)


def test_a_twin_is_known_by_its_map_and_its_original() -> None:
    twin = msgspec.convert(forge_twin(copy(), "demo", "demo-rome"), Object)
    assert map_key_of(twin) == Key("liqo-tenant-rome", "milan")
    assert is_twin_of(twin, copy().key, "demo")
    assert not is_twin_of(twin, copy().key, "other")
    assert not is_twin_of(twin, Key("liqo-tenant-paris", "milan"), "demo")
    assert twin.metadata.labels[labels.REMOTE_CLUSTER_ID] == "rome"


@pytest.mark.parametrize(
    "name",
    ["default", "kube-system", "kube-public", "liqo", "liqo-tenant-paris", "own", "Bad", "", "a" * 64, "a/b"],
)
def test_names_of_the_system_are_refused(name: str) -> None:
    assert name_refused(name, "own")


@pytest.mark.parametrize("name", ["demo-rome", "liqo-demo", "liqo-demo-rome", "liqonia", "liqo-tenants"])
def test_ordinary_names_are_given(name: str) -> None:
    assert not name_refused(name, "liqo")


def test_a_consumer_cannot_fill_the_cluster_with_namespaces() -> None:
    assert not number_refused(MOST_TWINS - 1)
    assert str(MOST_TWINS) in number_refused(MOST_TWINS)


def test_a_map_speaks_only_from_its_own_tenant_namespace() -> None:
    tenant = msgspec.convert(
        {"metadata": {"labels": {labels.TENANT_NAMESPACE: "true", labels.REMOTE_CLUSTER_ID: "rome"}}}, Object
    )
    plain = msgspec.convert({"metadata": {"labels": {labels.REMOTE_CLUSTER_ID: "rome"}}}, Object)
    assert is_tenant_namespace_of(tenant, "rome")
    assert not is_tenant_namespace_of(tenant, "paris")
    assert not is_tenant_namespace_of(plain, "rome")
    assert not is_tenant_namespace_of(None, "rome")


def test_copies_are_told_from_own_maps() -> None:
    assert is_copy(copy())
    assert not is_copy(msgspec.convert({"metadata": {"labels": {labels.REPLICATION: "true"}}}, NamespaceMap))


def test_a_binding_that_was_tampered_with_is_noticed() -> None:
    manifest: dict[str, Any] = forge_role_binding(copy(), "demo-rome")
    assert binds_rightly(msgspec.convert(manifest, RoleBinding), copy())
    more = {**manifest, "subjects": [*manifest["subjects"], {"kind": "User", "name": "eve"}]}
    assert not binds_rightly(msgspec.convert(more, RoleBinding), copy())
    other = {**manifest, "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"}}
    assert not binds_rightly(msgspec.convert(other, RoleBinding), copy())
