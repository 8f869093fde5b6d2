"""The denials a consumer reads, word for word as peers running stock Liqo know them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from isthmus.api import labels
from isthmus.api.authentication import ResourceSlice
from isthmus.api.offloading import Quota
from isthmus.api.quantity import NANO
from isthmus.offloading.quota.creator import forge_quota, is_cordoned, is_current, is_granted
from isthmus.offloading.quota.enforcement import exceeded, missing_limit, mode_problem
from isthmus.offloading.quota.requests import PodResources, read_pod


def pod(requests: dict[str, str], limits: dict[str, str]) -> PodResources:
    container = {"name": "c", "resources": {"requests": requests, "limits": limits}}
    return read_pod(Raw(msgspec.json.encode({"containers": [container]})))


BOTH = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("mode", "requests", "limits", "problem"),
    [
        ("None", {}, {}, ""),
        ("Soft", {}, {}, "CPU and/or memory requests not set for container c"),
        ("Soft", {"cpu": "1"}, {}, "CPU and/or memory requests not set for container c"),
        ("Soft", BOTH, {}, ""),
        ("Soft", {}, BOTH, ""),
        ("Hard", {}, {}, "CPU and/or memory requests not set for container c"),
        ("Hard", BOTH, {}, "cpu limits and requests are not equal for container c"),
        (
            "Hard",
            BOTH,
            {"cpu": "1", "memory": "2Gi"},
            "memory limits and requests are not equal for container c",
        ),
        ("Hard", BOTH, {"cpu": "1000m", "memory": "1024Mi"}, ""),
        ("Hard", {**BOTH, "x/y": "1"}, BOTH, "x/y limits and requests are not equal for container c"),
    ],
)
def test_modes(mode: str, requests: dict[str, str], limits: dict[str, str], problem: str) -> None:
    assert mode_problem(mode, pod(requests, limits)) == problem


def test_the_modes_hold_for_init_containers_too() -> None:
    spec = {"containers": [{"name": "c", "resources": {"requests": BOTH}}], "initContainers": [{"name": "i"}]}
    found = mode_problem("Soft", read_pod(Raw(msgspec.json.encode(spec))))
    assert found == "CPU and/or memory requests not set for container i"


def test_messages() -> None:
    asked = {"cpu": NANO, "nvidia.com/gpu": NANO, "pods": NANO}
    assert missing_limit({"cpu": NANO}, asked) == "nvidia.com/gpu quota limit not found for this peering"
    assert missing_limit({"cpu": NANO, "nvidia.com/gpu": 0}, asked) == ""
    assert exceeded("cpu", NANO // 2, NANO) == "peering cpu quota usage exceeded - free 500m / requested 1"


def granted(**annotations: str) -> ResourceSlice:
    manifest: dict[str, Any] = {
        "metadata": {
            "name": "milan",
            "namespace": "liqo-tenant-rome",
            "uid": "s1",
            "annotations": {f"liqo.io/{k.replace('_', '-')}": v for k, v in annotations.items()},
        },
        "spec": {"consumerClusterID": "rome"},
        "status": {
            "resources": {"cpu": "4"},
            "conditions": [
                {"type": "Authentication", "status": "Accepted"},
                {"type": "Resources", "status": "Accepted"},
            ],
        },
    }
    return msgspec.convert(manifest, ResourceSlice)


def test_a_quota_carries_the_slices_user_and_grant() -> None:
    manifest = forge_quota(granted(), "Soft")
    assert manifest["metadata"]["name"] == "milan-a8a4c692b93b"  # the example of wire.md 2
    quota = msgspec.convert(manifest, Quota)
    assert (quota.spec.user, quota.spec.limits_enforcement) == ("milan-a8a4c692b93b", "Soft")
    assert quota.metadata.labels[labels.REMOTE_CLUSTER_ID] == "rome"
    assert is_current(quota, granted(), "Soft")
    assert not is_current(quota, granted(), "Hard")
    assert not is_current(quota, granted(cordon="true"), "Soft")
    assert not is_current(None, granted(), "Soft")


@pytest.mark.parametrize("value", ["false", "False", "0"])
def test_a_cordon_can_be_switched_off_by_its_value(value: str) -> None:
    assert not is_cordoned(granted(cordon=value).metadata.annotations)
    assert is_cordoned(granted(cordon=value, cordon_tenant="true").metadata.annotations)


def test_a_slice_is_granted_by_both_conditions() -> None:
    assert is_granted(granted())
    half = msgspec.structs.replace(
        granted(),
        status=msgspec.structs.replace(granted().status, conditions=granted().status.conditions[:1]),
    )
    assert not is_granted(half)
