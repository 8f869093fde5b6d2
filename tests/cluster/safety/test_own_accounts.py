"""What our own processes may do: exactly what their roles say, nothing by a wildcard, and nothing they never need."""

from __future__ import annotations

import pytest

from isthmus.kube.objects import Manifest
from tests.cluster.safety.access import Asker, Permission, discover, every_permission
from tests.cluster.safety.conftest import AWAY, HOME, Stage
from tests.cluster.support import Cluster

NEVER = {
    Permission("impersonate", "", "users"),
    Permission("impersonate", "", "groups"),
    Permission("impersonate", "", "serviceaccounts"),
    Permission("escalate", "rbac.authorization.k8s.io", "clusterroles"),
    Permission("escalate", "rbac.authorization.k8s.io", "roles"),
    Permission("bind", "rbac.authorization.k8s.io", "clusterroles"),
    Permission("bind", "rbac.authorization.k8s.io", "roles"),
    Permission("approve", "certificates.k8s.io", "signers"),
    Permission("sign", "certificates.k8s.io", "signers"),
    Permission("*", "*", "*"),
    *(Permission(verb, "", "nodes/proxy") for verb in ("get", "create", "update", "patch", "delete")),
    *(
        Permission(verb, "rbac.authorization.k8s.io", kind)
        for verb in ("create", "update", "patch", "delete", "deletecollection")
        for kind in ("clusterroles", "roles")
    ),
    *(Permission(verb, "", "pods/exec") for verb in ("get", "create")),
    *(Permission(verb, "", "secrets") for verb in ("delete", "deletecollection", "update")),
}
"""What none of our accounts may do on whatever object: roles that can be bound and signers are named one by one."""

BASIC = {
    Permission("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
    Permission("create", "authorization.k8s.io", "selfsubjectrulesreviews"),
    Permission("create", "authentication.k8s.io", "selfsubjectreviews"),
}
"""What Kubernetes lets everybody do."""


def role_rules(cluster: Cluster, kind: str, name: str, *where: str) -> list[Manifest]:
    found = cluster.get(kind, name, *where)
    assert found is not None, f"{kind} {name}"
    return list(found["rules"] or [])


def granted(rules: list[Manifest]) -> set[Permission]:
    """What rules give on every object of a kind."""
    return {
        Permission(verb, group, resource)
        for rule in rules
        if not rule.get("resourceNames")
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


OURS = {"liqo-controller-manager", "liqo-fabric", "liqo-gateway", "liqo-gateway-cluster"}


def test_no_role_of_ours_has_a_wildcard(stage: Stage) -> None:
    for cluster in (stage.rome, stage.milan):
        roles = cluster.items("clusterroles", "-l", "liqo.io/managed=true")
        assert {one["metadata"]["name"] for one in roles} >= OURS
        for role in roles:
            for rule in role["rules"]:
                for part in ("apiGroups", "resources", "verbs"):
                    assert not [text for text in rule[part] if "*" in text], role["metadata"]["name"]
                assert not rule.get("nonResourceURLs")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("account", "namespace", "role"),
    [
        ("liqo-controller-manager", "liqo", "liqo-controller-manager"),
        ("liqo-fabric", "liqo", "liqo-fabric"),
        ("rome", AWAY, "liqo-gateway-cluster"),
    ],
)
async def test_an_account_may_do_what_its_role_says_and_nothing_else(
    stage: Stage, account: str, namespace: str, role: str
) -> None:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    rules = role_rules(stage.milan, "clusterrole", role)
    wanted = granted(rules) | BASIC
    async with stage.admin() as admin:
        known = set(every_permission(await discover(admin))) | wanted | NEVER
        asker = Asker(admin, f"system:serviceaccount:{namespace}:{account}", groups)
        found = await asker.allowed(known, "kube-system")
    service_accounts = {
        one for one in found if one.group == "certificates.k8s.io" and "trustbundles" in one.resource
    }
    assert found - wanted - service_accounts == set()
    assert wanted - found == set()
    assert found & NEVER == set()


async def test_a_gateway_changes_pods_and_leases_of_its_own_namespace_only(stage: Stage) -> None:
    async with stage.admin() as admin:
        asker = Asker(admin, f"system:serviceaccount:{AWAY}:rome", ("system:serviceaccounts",))
        change = {Permission("patch", "", "pods"), Permission("patch", "coordination.k8s.io", "leases")}
        assert await asker.allowed(change, AWAY) == change
        for other in (HOME, "liqo", stage.others_tenant, stage.twin, ""):
            assert await asker.allowed(change, other) == set()
