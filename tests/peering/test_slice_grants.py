"""What a provider answers to a slice (behaviour 3.5, 3.6)."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.api.authentication import Tenant
from isthmus.kube.options import Options
from isthmus.peering.errors import RefusedError
from isthmus.peering.slice_grants import (
    AUTHENTICATION,
    RESOURCES,
    Ruling,
    accept,
    decided,
    deny,
    find_objection,
    grant,
    plan_conditions,
    plan_status,
    rule_on_resources,
)
from isthmus.peering.slices_consumer import plan_ids
from isthmus.peering.slices_provider import parse_proof
from isthmus.peering.tenant_conditions import concerns, plan_cordon

from .objects import decode, slice_, tenant

OPTIONS = Options(cluster_id="milan")
NOW, EARLIER = "2026-11-23T12:00:00Z", "2026-11-23T10:00:00Z"


def ruled(kind: str, status: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": status, "reason": "R", "lastTransitionTime": EARLIER}]}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, "no Tenant"),
        (tenant("turin"), "no Tenant"),
        (tenant(tenantCondition="Drained"), "drained"),
        (tenant(tenantCondition="Cordoned"), "cordoned"),
        (tenant(), ""),
    ],
)
def test_objections(found: Tenant | None, said: str) -> None:
    objection = find_objection(slice_(), found, "milan")
    assert (said in objection) if said else not objection


def test_a_slice_for_another_provider_or_with_too_long_a_name_is_objected_to() -> None:
    assert "provider" in find_objection(slice_(providerClusterID="turin"), tenant(), "milan")
    assert "longer" in find_objection(slice_("a" * 51), tenant(), "milan")


def test_a_cordoned_tenant_keeps_what_it_has_and_gets_nothing_new() -> None:
    cordoned = tenant(tenantCondition="Cordoned")
    held = slice_(status=ruled(AUTHENTICATION, "Accepted"))
    assert find_objection(held, cordoned, "milan") == ""
    assert rule_on_resources(slice_(status=ruled(RESOURCES, "Accepted")), cordoned, OPTIONS) is None
    fresh = rule_on_resources(slice_(), cordoned, OPTIONS)
    assert fresh is not None
    assert (fresh.accepted, fresh.reason) == (False, "ResourceSliceResourcesDenied")


def test_reasons_are_those_of_stock() -> None:
    assert accept(AUTHENTICATION, "").reason == "ResourceSliceAuthenticationAccepted"
    assert deny(AUTHENTICATION, "").reason == "ResourceSliceAuthenticationDenied"
    assert accept(RESOURCES, "").reason == "ResourceSliceResourcesAccepted"
    off = Options(cluster_id="milan", default_slice_class_enabled=False)
    ruling = rule_on_resources(slice_(), tenant(), off)
    assert ruling is not None
    assert (ruling.accepted, ruling.reason) == (False, "DefaultResourceSliceClassDisabled")


def test_another_class_is_left_to_whoever_serves_it() -> None:
    assert rule_on_resources(slice_(class_="gpu"), tenant(), OPTIONS) is None
    assert rule_on_resources(slice_(class_=""), tenant(), OPTIONS) is not None


@pytest.mark.parametrize(
    "resources", [{"cpu": "-1"}, {"cpu": "many"}, {"cpu": "9" * 500}, {f"r{n}": "1" for n in range(65)}]
)
def test_senseless_resources_are_denied(resources: dict[str, Any]) -> None:
    ruling = rule_on_resources(slice_(resources=resources), tenant(), OPTIONS)
    assert ruling is not None
    assert not ruling.accepted


def test_what_is_asked_for_is_granted_verbatim_and_the_rest_by_default() -> None:
    granted = grant(slice_(resources={"cpu": "1500m", "example.com/gpu": 2}), OPTIONS)["resources"]
    assert granted["cpu"] == "1500m"
    assert granted["example.com/gpu"] == 2
    assert granted["memory"] == OPTIONS.default_node_resources["memory"]


def test_a_grant_tells_of_labels_and_classes_and_takes_back_what_is_no_longer_offered() -> None:
    classes = [{"loadBalancerClassName": "metallb", "default": True}]
    offering = Options(cluster_id="milan", cluster_labels={"region": "eu"}, load_balancer_classes=classes)
    told = {key: value for key, value in grant(slice_(), offering).items() if key != "resources"}
    assert told == {
        "nodeLabels": {"region": "eu"},
        "loadBalancerClasses": classes,
        "ingressClasses": None,
    }
    before = slice_(status=told | {"ingressClasses": [{"ingressClassName": "nginx"}]})
    patch = plan_status(before, grant(slice_(), Options(cluster_id="milan")))
    assert patch is not None
    assert patch["status"]["loadBalancerClasses"] is None
    assert patch["status"]["ingressClasses"] is None


def test_conditions_keep_their_time_while_their_status_stays() -> None:
    current = slice_(status=ruled(AUTHENTICATION, "Accepted")).status.conditions
    rulings: dict[Any, Ruling | None] = {AUTHENTICATION: accept(AUTHENTICATION, "m"), RESOURCES: None}
    [condition] = plan_conditions(current, rulings, NOW)
    assert condition["lastTransitionTime"] == EARLIER
    rulings[AUTHENTICATION] = deny(AUTHENTICATION, "m")
    [condition] = plan_conditions(current, rulings, NOW)
    assert (condition["status"], condition["lastTransitionTime"]) == ("Denied", NOW)


def test_conditions_of_others_stay() -> None:
    current = slice_(status=ruled(RESOURCES, "Accepted")).status.conditions
    rulings: dict[Any, Ruling | None] = {AUTHENTICATION: accept(AUTHENTICATION, "m"), RESOURCES: None}
    found = plan_conditions(current, rulings, NOW)
    assert [(one["type"], one["status"]) for one in found] == [
        (AUTHENTICATION, "Accepted"),
        (RESOURCES, "Accepted"),
    ]


def test_a_status_is_written_once_and_guarded() -> None:
    wanted = {"resources": {"cpu": "1"}, "authParams": None}
    patch = plan_status(slice_(status={"resources": {"cpu": "2", "pods": "9"}}), wanted)
    assert patch == {
        "metadata": {"uid": "uid-milan", "resourceVersion": "3"},
        "status": {"resources": {"cpu": "1", "pods": None}, "authParams": None},
    }
    assert plan_status(slice_(status={"resources": {"cpu": "1"}}), wanted) is None


def test_decided() -> None:
    assert decided(slice_(), RESOURCES) == ""
    assert decided(slice_(status=ruled(RESOURCES, "Denied")), RESOURCES) == "Denied"


def test_cordoning_marks_the_copies_only() -> None:
    assert plan_cordon(slice_(), "Cordoned") == {"liqo.io/cordon-tenant": "true"}
    assert plan_cordon(slice_(), "Active") is None
    assert plan_cordon(slice_(copy=False), "Cordoned") is None
    marked = decode(
        type(slice_()),
        {"metadata": {"labels": slice_().metadata.labels, "annotations": {"liqo.io/cordon-tenant": "true"}}},
    )
    assert plan_cordon(marked, "Cordoned") is None
    assert plan_cordon(marked, "Active") == {"liqo.io/cordon-tenant": None}
    assert concerns(slice_(), "Drained")
    assert not concerns(slice_(), "Active")


def test_the_request_is_parsed_and_bounded() -> None:
    csr, key = parse_proof(slice_(csr="AAAA"), tenant())
    assert (csr, key) == (b"\0\0\0", b"k" * 32)
    assert parse_proof(slice_(csr="AAAA"), tenant(authzPolicy="TolerateNoHandshake"))[1] is None
    for csr_text in ("!", "A" * 100_000):
        with pytest.raises(RefusedError):
            parse_proof(slice_(csr=csr_text), tenant())


def test_the_consumer_fills_in_the_ids() -> None:
    assert plan_ids(slice_(copy=False), "rome") == {"consumerClusterID": "rome", "providerClusterID": "milan"}
    with pytest.raises(RefusedError, match="own id"):
        plan_ids(slice_(copy=False), "milan")
    with pytest.raises(RefusedError, match="longer"):
        plan_ids(slice_("a" * 51, copy=False), "rome")
