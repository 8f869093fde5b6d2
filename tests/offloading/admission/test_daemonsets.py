"""Which DaemonSets are kept off virtual nodes, and that none is restarted for it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from isthmus.kube.admission import Review
from isthmus.offloading.admission.daemonsets import mutate_daemon_set

EVERYTHING = {"operator": "Exists"}
OURS = {"key": "virtual-node.liqo.io/not-allowed", "operator": "Exists", "effect": "NoExecute"}
NOT_VIRTUAL = {"key": "liqo.io/type", "operator": "NotIn", "values": ["virtual-node"]}


def required(*expressions: dict[str, Any]) -> dict[str, Any]:
    terms = [{"matchExpressions": list(expressions)}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def affinity_of(pod: dict[str, Any], old: dict[str, Any] | None = None, effect: str = "NoExecute") -> Any:
    """The affinity the webhook gives a DaemonSet with that pod template, None for none."""

    def daemon_set(spec: dict[str, Any] | None) -> Any:
        return None if spec is None else {"spec": {"template": {"spec": spec}}}

    body = {
        "request": {
            "operation": "CREATE" if old is None else "UPDATE",
            "object": daemon_set(pod),
            "oldObject": daemon_set(old),
        }
    }
    request = msgspec.json.decode(msgspec.json.encode(body), type=Review).request
    verdict = asyncio.run(mutate_daemon_set(request, effect))
    assert verdict.allowed
    assert [each["path"] for each in verdict.patch] in ([], ["/spec/template/spec/affinity"])
    return verdict.patch[0]["value"] if verdict.patch else None


@pytest.mark.parametrize(
    ("toleration", "lands"),
    [
        (EVERYTHING, True),
        ({"operator": "Exists", "effect": "NoExecute"}, True),
        (OURS, True),
        ({**OURS, "operator": "Equal", "value": "true"}, True),
        # These do not land on virtual nodes in the first place.
        ({"operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}, False),
        ({**OURS, "operator": "Equal", "value": "false"}, False),
    ],
)
def test_only_what_would_land_on_virtual_nodes_is_kept_off(toleration: dict[str, Any], lands: bool) -> None:
    assert affinity_of({"tolerations": [toleration]}) == (required(NOT_VIRTUAL) if lands else None)
    assert affinity_of({}) is None


def test_what_lands_on_virtual_nodes_depends_on_the_effect_of_their_taint() -> None:
    system = {"tolerations": [{"operator": "Exists", "effect": "NoSchedule"}]}
    assert affinity_of(system, effect="NoSchedule") == required(NOT_VIRTUAL)
    assert affinity_of({"tolerations": [OURS]}, effect="NoSchedule") is None
    assert affinity_of({}, effect="NoSchedule") is None
    assert affinity_of({}, effect="PreferNoSchedule") == required(NOT_VIRTUAL), "it keeps no pod away"


def test_an_affinity_of_its_own_is_kept_and_one_about_virtual_nodes_is_obeyed() -> None:
    linux = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}
    spec = {"tolerations": [EVERYTHING], "affinity": {**required(linux), "podAffinity": {}}}
    assert affinity_of(spec) == {**required(linux, NOT_VIRTUAL), "podAffinity": {}}
    wanted = {"key": "liqo.io/type", "operator": "Exists"}
    assert affinity_of({"tolerations": [EVERYTHING], "affinity": required(wanted)}) is None
    assert (
        affinity_of({"tolerations": [EVERYTHING], "nodeSelector": {"liqo.io/type": "virtual-node"}}) is None
    )


def test_no_daemon_is_restarted_for_it() -> None:
    spec = {"tolerations": [EVERYTHING], "containers": [{"name": "c", "image": "a:1"}]}
    kept_off = {**spec, "affinity": required(NOT_VIRTUAL)}
    assert affinity_of(spec, old=spec) is None, "a label was set: the template stays"
    newer = {**spec, "containers": [{"name": "c", "image": "a:2"}]}
    assert affinity_of(newer, old=spec) == required(NOT_VIRTUAL), "it is rolled out anyway"
    assert affinity_of(spec, old=kept_off) == required(NOT_VIRTUAL), (
        "replaced by its manifest: nothing changes"
    )
