"""Peering by hand and a provider's verbs: flags refused before any cluster is asked, and what is printed or made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from isthmus.api.authentication import Tenant, TenantSpec
from isthmus.api.networking import CONFIGURATIONS
from isthmus.cli.cluster import Cluster
from isthmus.cli.create_node import read_overrides, read_pairs
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import execute
from isthmus.cli.manual import Site, complete
from isthmus.cli.peering_users import forge_bindings, forge_request, render_kubeconfig
from isthmus.cli.root import root
from isthmus.cli.tenancy import ACTIVATE, CORDON, DRAIN, UNCORDON, Change, require_allowed
from isthmus.kube.certificates import KeyPair
from isthmus.kube.client import Client
from isthmus.kube.credentials import Credentials, parse_kubeconfig
from isthmus.kube.objects import Object
from tests.cli.test_peer import KUBECONFIG, fails

GROUPS = ("create", "generate", "get", "delete", "force", "cordon", "uncordon", "drain", "activate")
CONFIGURATION = (
    "create",
    "configuration",
    "--remote-cluster-id",
    "milan",
    "--remote-pod-cidr",
    "10.0.0.0/16",
)
SERVER = ("create", "gatewayserver", "--remote-cluster-id", "rome")
COMMON = ("create", "virtualnode", "--remote-cluster-id", "milan")


def subcommands() -> list[list[str]]:
    found = []
    for name in GROUPS:
        group = root.get_command(click.Context(root), name)
        assert isinstance(group, click.Group)
        found += [[name, each] for each in group.commands]
    return found


@pytest.fixture
def kubeconfig(tmp_path: Path) -> list[str]:
    """A flag with a kubeconfig of an address where nothing listens."""
    path = tmp_path / "rome"
    path.write_text(KUBECONFIG.format(name="rome", port=1))
    return ["--kubeconfig", str(path)]


def test_every_kind_liqoctl_knows_has_its_verb() -> None:
    known = {" ".join(each) for each in subcommands()}
    kinds = {"configuration", "gatewayserver", "gatewayclient", "publickey", "virtualnode"}
    assert {f"create {kind}" for kind in kinds | {"nonce", "resourceslice"}} <= known
    assert {f"delete {kind}" for kind in kinds | {"peering-user"}} <= known
    printed = ("configuration", "publickey", "tenant", "identity", "peering-user")
    assert {f"generate {kind}" for kind in printed} <= known
    assert {"get nonce", "get kubeconfig", "force unpeer"} <= known
    assert {"cordon tenant", "uncordon tenant", "drain tenant", "activate tenant"} <= known
    assert {"cordon resourceslice", "uncordon resourceslice"} <= known


@pytest.mark.parametrize("words", subcommands(), ids=" ".join)
def test_help_of_each_has_an_example_of_it(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([*words, "--help"], "isthmus") == 0
    assert f"isthmus {' '.join(words)}" in capsys.readouterr().out.split("Examples:")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "nonce"], "--remote-cluster-id"),
        (["create", "nonce", "--remote-cluster-id", "Rome"], '"Rome" is not a valid DNS label'),
        (["create", "resourceslice", "x" * 51, "--remote-cluster-id", "milan"], "has 51 characters"),
        (["create", "resourceslice", "A_b", "--remote-cluster-id", "milan"], '"A_b" cannot name a slice'),
        (
            ["create", "resourceslice", "--remote-cluster-id", "milan", "--cpu", "much"],
            '"much" is not a valid quantity',
        ),
        ([*COMMON], "--resource-slice-name and --kubeconfig-secret-name: neither is given"),
        (
            [*COMMON, "--resource-slice-name", "a", "--kubeconfig-secret-name", "b"],
            "--resource-slice-name and --kubeconfig-secret-name: both are given",
        ),
        ([*COMMON, "--resource-slice-name", "a", "--labels", "x"], '--labels "x" is not a valid label'),
        (
            [*COMMON, "--resource-slice-name", "a", "--vk-options-template", "x"],
            '--vk-options-template "x" names no template: write NAMESPACE/NAME',
        ),
        (
            [
                "create",
                "configuration",
                "--remote-cluster-id",
                "milan",
                "--remote-pod-cidr",
                "10.0.0.0/16",
                "--remote-external-cidr",
                "10.0.0.0",
            ],
            "--external-cidr",
        ),
        (
            ["create", "gatewayclient", "--remote-cluster-id", "milan", "--addresses", "a:1", "--port", "1"],
            '--addresses "a:1" is neither an IPv4 address nor a host name',
        ),
        (["create", "gatewayserver", "--remote-cluster-id", "rome", "--mtu", "9"], "--mtu 9 cannot work"),
        (
            [
                "create",
                "gatewayserver",
                "--remote-cluster-id",
                "rome",
                "--service-type",
                "ClusterIP",
                "--node-port",
                "30000",
            ],
            "--node-port 30000: a Service of type ClusterIP has no node port",
        ),
        (
            ["create", "publickey", "--remote-cluster-id", "milan", "--public-key", "c2hvcnQ="],
            '--public-key "c2hvcnQ=" is not base64 of 32 bytes',
        ),
        (
            ["generate", "tenant", "--remote-cluster-id", "milan", "--nonce", "x"],
            '--nonce "x" is not a valid nonce',
        ),
        (
            ["generate", "tenant", "--remote-cluster-id", "milan", "--proxy-url", "milan"],
            '--proxy-url "milan" is not a valid proxy URL',
        ),
        (["generate", "publickey", "--gateway-type", "both", "--gateway-name", "x"], "--gateway-type"),
        (["delete", "virtualnode"], "no VirtualNode named"),
        (["force", "unpeer"], "ID"),
        (["cordon", "resourceslice", "milan"], "--remote-cluster-id"),
    ],
)
def test_wrong_flags_are_told_before_any_cluster_is_asked(
    arguments: list[str], said: str, kubeconfig: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, error = fails([*arguments, *kubeconfig], capsys)
    assert code == 2
    assert said in error


def test_a_cluster_that_does_not_answer_is_named(
    kubeconfig: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["force", "unpeer", "milan"], ["drain", "tenant", "rome"], ["get", "resourceslice"]):
        code, error = fails([*arguments, *kubeconfig], capsys)
        assert code == 1
        assert "the local cluster at https://127.0.0.1:1 cannot be reached" in error


def test_a_printed_manifest_can_be_applied_in_any_namespace() -> None:
    manifest = {"metadata": {"name": "rome", "namespace": "", "labels": {}}, "spec": {}}
    shown = complete(CONFIGURATIONS, manifest)
    assert list(shown)[:2] == ["apiVersion", "kind"]
    assert (shown["apiVersion"], shown["kind"]) == ("networking.liqo.io/v1beta1", "Configuration")
    assert "namespace" not in shown["metadata"]


def flags(**given: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {
        "create_node": True,
        "disable_network_check": False,
        "cpu": None,
        "memory": None,
        "pods": None,
        "resource": (),
        "labels_": (),
        "node_selector": (),
        "runtime_class_name": "",
        "storage_classes": (),
        "ingress_classes": (),
        "load_balancer_classes": (),
        "vk_options_template": "",
    }
    return empty | given


def test_the_flags_of_a_virtual_node_are_its_spec() -> None:
    spec = read_overrides(
        flags(
            cpu="3",
            labels_=("tier=test,zone=a",),
            node_selector=("disk=ssd",),
            runtime_class_name="kata",
            storage_classes=("fast,slow",),
            vk_options_template="liqo/mine",
        )
    )
    assert spec["resourceQuota"] == {"hard": {"cpu": "3"}}
    assert spec["labels"] == {"tier": "test", "zone": "a"}
    assert spec["offloadingPatch"] == {"nodeSelector": {"disk": "ssd"}, "runtimeClassName": "kata"}
    assert spec["storageClasses"] == [
        {"storageClassName": "fast", "default": True},
        {"storageClassName": "slow"},
    ]
    assert (spec["vkOptionsTemplateRef"]["namespace"], spec["vkOptionsTemplateRef"]["name"]) == (
        "liqo",
        "mine",
    )
    assert read_overrides(flags(create_node=False)) == {"createNode": False}
    assert read_pairs("--labels", ("a=1", "b=")) == {"a": "1", "b": ""}


async def site() -> Site:
    client = Client(Credentials("https://127.0.0.1:1"))
    await client.close()
    return Site(Cluster(client, "local", "liqo", "milan"), "rome", "liqo-tenant-rome", True)


async def test_the_kubeconfig_of_a_peering_user_leads_to_the_tenant_namespace() -> None:
    keys = KeyPair("-----BEGIN PRIVATE KEY-----\n", "")
    authority = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
    text = render_kubeconfig(await site(), "https://milan:6443", authority, authority.encode(), keys)
    found = parse_kubeconfig(text.encode(), source="the test")
    assert (found.server, found.ca_data) == ("https://milan:6443", authority)
    assert '"namespace": "liqo-tenant-rome"' in text
    assert '"name": "rome-user"' in text


async def test_a_peering_user_is_bound_twice_and_nowhere_else() -> None:
    roles = [Object(), Object()]
    bindings = forge_bindings(await site(), "liqo-peer-user-rome-0123", roles)
    places = {(one["metadata"]["name"], one["metadata"]["namespace"]) for one in bindings}
    assert places == {
        ("liqo-peer-user-rome-liqo-ns-reader", "liqo"),
        ("liqo-peer-user-rome-tenant-ns-writer", "liqo-tenant-rome"),
    }
    for one in bindings:
        assert one["subjects"] == [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "liqo-peer-user-rome-0123"}
        ]
    spec = forge_request("rome", "pem")["spec"]
    assert spec["signerName"] == "kubernetes.io/kube-apiserver-client"
    assert "client auth" in spec["usages"]


@pytest.mark.parametrize(
    ("change", "condition", "mend"),
    [
        (CORDON, "Drained", "isthmus activate tenant"),
        (UNCORDON, "Drained", "isthmus activate tenant"),
        (CORDON, "Active", ""),
        (DRAIN, "Cordoned", ""),
        (ACTIVATE, "Drained", ""),
        (ACTIVATE, "Active", ""),
    ],
)
async def test_a_drained_tenant_is_let_in_only_by_activating_it(
    change: Change, condition: str, mend: str
) -> None:
    cluster = (await site()).cluster
    tenant = Tenant(spec=TenantSpec(tenant_condition=condition))
    if not mend:
        require_allowed(cluster, tenant, change)
        return
    with pytest.raises(CommandError, match=mend):
        require_allowed(cluster, tenant, change)
