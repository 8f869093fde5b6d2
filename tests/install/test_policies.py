"""The admission policies: whom they judge, and that each is in force."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.install.policies import REPLICATED_OBJECTS, TENANT_SECRETS, TWIN_OBJECTS, admission_policies
from isthmus.install.values import resolve
from isthmus.kube.objects import Manifest


def policies(**modules: bool) -> list[Manifest]:
    layer: dict[str, Any] = {name: {"enabled": enabled} for name, enabled in modules.items()}
    return admission_policies(resolve([("test", layer)]))


def test_each_policy_is_in_force_and_fails_closed() -> None:
    found = policies()
    names = [each["metadata"]["name"] for each in found if each["kind"] == "ValidatingAdmissionPolicy"]
    assert names == [REPLICATED_OBJECTS, TENANT_SECRETS, TWIN_OBJECTS]
    bound = {
        each["spec"]["policyName"]: each["spec"]["validationActions"]
        for each in found
        if each["kind"] == "ValidatingAdmissionPolicyBinding"
    }
    assert bound == {name: ["Deny"] for name in names}
    for each in found:
        assert each["spec"].get("failurePolicy", "Fail") == "Fail"


def test_only_namespaces_of_peers_and_only_peers_are_judged() -> None:
    for policy in policies():
        if policy["kind"] != "ValidatingAdmissionPolicy":
            continue
        spec = policy["spec"]
        keys = {each["key"] for each in spec["matchConstraints"]["namespaceSelector"]["matchExpressions"]}
        assert keys & {"liqo.io/tenant-namespace", "liqo.io/remote-cluster-id"}
        conditions = [each["expression"] for each in spec.get("matchConditions", [])]
        if policy["metadata"]["name"] == TWIN_OBJECTS:
            assert all(
                each["expression"].startswith("!variables.consumer || ") for each in spec["validations"]
            )
        else:
            assert conditions == ["'liqo.io' in request.userInfo.?groups.orValue([])"]
        assert all(each["message"] for each in spec["validations"])


@pytest.mark.parametrize(
    ("off", "left"),
    [("authentication", {TWIN_OBJECTS}), ("offloading", {REPLICATED_OBJECTS, TENANT_SECRETS})],
)
def test_a_module_that_is_off_brings_none(off: str, left: set[str]) -> None:
    assert {each["metadata"]["name"] for each in policies(**{off: False})} == left
