"""What the flags of offload make of a namespace, and how the outcome is told."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.api.offloading import NamespaceOffloading, NamespaceOffloadingStatus, RemoteNamespaceCondition
from isthmus.cli.errors import CommandError
from isthmus.cli.namespaces import reserved_reason
from isthmus.cli.offload import failures, forge_offloading, read_spec


def test_defaults_are_liqos() -> None:
    assert read_spec("DefaultName", "", "LocalAndRemote", ()) == {
        "namespaceMappingStrategy": "DefaultName",
        "podOffloadingStrategy": "LocalAndRemote",
    }


def test_a_mapping_that_is_not_given_is_left_as_it_is() -> None:
    assert "namespaceMappingStrategy" not in read_spec(None, "", "Remote", ())


def test_everything_at_once() -> None:
    spec = read_spec("SelectedName", "shop-there", "Remote", ("region=eu", "!slow"))
    assert spec["remoteNamespaceName"] == "shop-there"
    assert spec["clusterSelector"]["nodeSelectorTerms"][1] == {
        "matchExpressions": [{"key": "slow", "operator": "DoesNotExist"}]
    }
    manifest = forge_offloading("shop", spec)
    assert manifest["metadata"] == {"name": "offloading", "namespace": "shop"}
    assert manifest["apiVersion"] == "offloading.liqo.io/v1beta1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("SelectedName", "", "Local", ()), "add --remote-namespace-name"),
        ((None, "there", "Local", ()), "--namespace-mapping-strategy DefaultName"),
        (("DefaultName", "there", "Local", ()), '--remote-namespace-name "there" is not used'),
        (("SelectedName", "Not_A_Label", "Local", ()), '"Not_A_Label" cannot be the name of a namespace'),
        (("DefaultName", "", "Local", ("a=b=c",)), '--selector "a=b=c"'),
    ],
)
def test_contradictions_are_refused(arguments: Any, said: str) -> None:
    with pytest.raises(CommandError) as caught:
        read_spec(*arguments)
    assert said in str(caught.value)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("name", "marked", "reserved"),
    [
        ("kube-system", {}, True),
        ("liqo", {}, True),
        ("liqo-storage", {}, True),
        ("liqo-tenant-milan", {}, True),
        ("any", {"liqo.io/tenant-namespace": "true"}, True),
        ("liqo-demo", {}, False),
        ("default", {}, False),
        ("shop", {}, False),
    ],
)
def test_reserved_namespaces(name: str, marked: dict[str, str], reserved: bool) -> None:
    assert bool(reserved_reason(name, marked, "liqo")) is reserved


def test_failures_name_provider_and_reason() -> None:
    found = NamespaceOffloading(
        status=NamespaceOffloadingStatus(
            remote_namespaces_conditions={
                "milan": [RemoteNamespaceCondition(type="Ready", status="True")],
                "turin": [
                    RemoteNamespaceCondition(type="OffloadingRequired", status="True"),
                    RemoteNamespaceCondition(
                        type="Ready",
                        status="False",
                        reason="CreationLoopBackOff",
                        message="the name is in use",
                    ),
                ],
            }
        )
    )
    assert failures(found) == ["turin: CreationLoopBackOff: the name is in use"]
