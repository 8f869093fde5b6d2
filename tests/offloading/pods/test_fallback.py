"""Pods on a virtual node whose namespace is not offloaded: they wait or end, and are told why."""

from __future__ import annotations

import pytest

from isthmus.kube.objects import ObjectMeta, OwnerReference
from isthmus.offloading.pods.fallback import LEAVE, REMOVE, plan_fallback

POD = ObjectMeta(name="p", namespace="demo")


def test_a_new_pod_waits_and_is_told_what_to_do() -> None:
    verdict = plan_fallback(POD, "Pending", wished=False)
    assert (verdict.action, verdict.phase, verdict.reason) == ("set", "Pending", "OffloadingBackOff")
    assert "isthmus offload namespace demo" in verdict.message


def test_a_daemon_sets_pod_is_told_of_the_affinity() -> None:
    owner = OwnerReference(kind="DaemonSet", name="agent", controller=True)
    verdict = plan_fallback(ObjectMeta(namespace="demo", owner_references=[owner]), "Pending", wished=False)
    assert "DaemonSet agent" in verdict.message
    assert "liqo.io/type NotIn [virtual-node]" in verdict.message


def test_a_running_pod_ends_so_that_its_controller_replaces_it() -> None:
    verdict = plan_fallback(POD, "Running", wished=False)
    assert (verdict.action, verdict.phase, verdict.reason) == ("set", "Failed", "OffloadingAborted")


def test_a_running_pod_survives_a_provider_that_hesitates() -> None:
    assert plan_fallback(POD, "Running", wished=True) == LEAVE


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_what_ended_is_left_alone(phase: str) -> None:
    assert plan_fallback(POD, phase, wished=False) == LEAVE


def test_a_deleted_pod_goes() -> None:
    deleted = ObjectMeta(deletion_timestamp="2026-11-23T16:00:00Z")
    assert plan_fallback(deleted, "Running", wished=False) == REMOVE
