"""What a VkOptionsTemplate says of reflection is what happens, and a misspelt word gives nothing away."""

from __future__ import annotations

from msgspec import json

from isthmus.api.offloading import ObjectReference, VirtualNode, VirtualNodeSpec
from isthmus.kube.objects import Key
from isthmus.offloading.virtualnode.templates import (
    Template,
    plan_reflectors,
    template_of,
    with_extras,
    workers_of,
)
from isthmus.reflection import ReflectorOptions


def template(**kinds: dict[str, object]) -> Template:
    return json.decode(json.encode({"spec": {"reflectorsConfig": kinds}}), type=Template)


def test_workers_and_type_are_taken_by_kind() -> None:
    found = plan_reflectors(
        template(secret={"workers": 0, "type": "AllowList"}, endpointslice={"workers": 10}, configmap={})
    )
    assert found == {
        "secret": ReflectorOptions(workers=0, type="AllowList"),
        "endpointslice": ReflectorOptions(workers=10),
        "configmap": ReflectorOptions(),
    }
    assert plan_reflectors(None) == {}


def test_numbers_are_bounded_and_unknown_types_let_nothing_through_unasked() -> None:
    found = plan_reflectors(
        template(
            secret={"workers": 1_000_000, "type": "Allowlist"},
            configmap={"workers": -1, "type": "CustomLiqo"},
        )
    )
    assert found["secret"] == ReflectorOptions(workers=100, type="AllowList")
    assert found["configmap"] == ReflectorOptions(workers=0, type="DenyList")


def test_a_virtual_node_without_a_template_has_the_installations() -> None:
    assert template_of(VirtualNodeSpec(), "liqo") == Key("liqo", "virtual-kubelet-default")
    named = VirtualNodeSpec(vk_options_template_ref=ObjectReference(name="mine"))
    assert template_of(named, "liqo") == Key("liqo", "mine")
    elsewhere = VirtualNodeSpec(vk_options_template_ref=ObjectReference(name="mine", namespace="other"))
    assert template_of(elsewhere, "liqo") == Key("other", "mine")


def test_pods_have_workers_of_their_own() -> None:
    assert workers_of("pod", None, 10) == 10
    assert workers_of("pod", template(secret={"workers": 0}), 10) == 10
    assert workers_of("pod", template(pod={"workers": 0}), 10) == 0
    assert workers_of("pod", template(pod={"workers": 3}), 10) == 3


def test_a_template_adds_to_the_node_what_the_virtual_node_does_not_say() -> None:
    node = VirtualNode(spec=VirtualNodeSpec(labels={"region": "north"}))
    found = json.decode(
        json.encode(
            {
                "spec": {
                    "nodeExtraLabels": {"region": "south", "tier": "gold"},
                    "nodeExtraAnnotations": {"note": "x"},
                }
            }
        ),
        type=Template,
    )
    wished = with_extras(node, found).spec
    assert wished.labels == {"region": "north", "tier": "gold"}
    assert wished.annotations == {"note": "x"}
    assert with_extras(node, None) is node
    assert with_extras(node, template()) is node
