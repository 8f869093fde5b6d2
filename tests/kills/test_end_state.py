"""What the end of a phase is compared by: objects said in one line each, and pods paired with those abroad."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.cluster.kills.inventory import compare, describe, held
from tests.cluster.kills.workload import find_unpaired


def item(name: str, kind: str = "Secret", api: str = "v1", **more: Any) -> dict[str, Any]:
    status = more.pop("status", None)
    meta = {"name": name, "namespace": "life", **more}
    return {"apiVersion": api, "kind": kind, "metadata": meta, "status": status}


def pod(uid: str, *, of: str = "", shadow: str = "", phase: str = "Running") -> dict[str, Any]:
    meta: dict[str, Any] = {"uid": uid, "name": f"pod-{of or uid}"}
    if of:
        meta |= {"annotations": {"isthmus.liqo.io/pod-uid": of}, "ownerReferences": [{"uid": shadow}]}
    return {"metadata": meta, "status": {"phase": phase}}


def shadow(uid: str, of: str) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "name": f"pod-{of}"}}


def test_an_object_is_one_line_with_all_that_counts() -> None:
    assert list(describe(item("a"))) == ["Secret life/a"]
    assert list(describe(item("a-x7k2p"))) == ["Secret life/a-*"]
    assert list(describe(item("liqo-proxy"))) == ["Secret life/liqo-proxy"]
    assert list(describe(item("a-x7k2p", "ShadowPod", "offloading.liqo.io/v1beta1"))) == []
    assert list(describe(item("kube-root-ca.crt", "ConfigMap"))) == []
    going = item("a", finalizers=["z.liqo.io/f", "b"], deletionTimestamp="2026-01-02T03:04:05Z")
    assert list(describe(going)) == ["Secret life/a b z.liqo.io/f deleting"]
    assert held(Counter(describe(going))) == ["Secret life/a b z.liqo.io/f deleting"]


def test_what_an_object_of_ours_says_about_itself_counts() -> None:
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "modules": {"networking": {"conditions": [{"type": "Up", "status": "False"}]}},
        "offloadingPhase": "Ready",
        "value": "Connected",
    }
    (line,) = describe(item("a", "Connection", "networking.liqo.io/v1beta1", status=status))
    assert line == "Connection life/a Ready=True Up=False offloadingPhase=Ready value=Connected"
    assert list(describe(item("a", "Deployment", "apps/v1", status=status))) == ["Deployment life/a"]


def test_differences_go_both_ways_and_count() -> None:
    assert compare(Counter("aab"), Counter("abb")) == ["+ b", "- a"]
    assert compare(Counter("ab"), Counter("ba")) == []


def test_each_pod_has_one_abroad() -> None:
    here = [pod("a"), pod("b", phase="Succeeded")]
    there, shadows = [pod("x", of="a", shadow="s")], [shadow("s", "a")]
    assert find_unpaired(here, there, shadows) == []
    assert find_unpaired([*here, pod("c")], there, shadows) == ["pod-c has no pod abroad"]
    assert find_unpaired(here[1:], there, shadows) == [
        "pod-a runs abroad for nobody",
        "ShadowPod pod-a is of nobody",
    ]
    assert find_unpaired(here, there, []) == ["pod-a runs abroad for nobody"]
    twice = [*there, pod("y", of="a", shadow="s")]
    assert find_unpaired(here, twice, shadows) == ["two pods abroad run for the same one"]
