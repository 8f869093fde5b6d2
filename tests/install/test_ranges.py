"""How the ranges of a cluster are found out: the surest word counts, a guess is said to be one."""

from __future__ import annotations

import pytest

from isthmus.install.errors import InstallError
from isthmus.install.network_validation import check_ranges
from isthmus.install.network_values import AddressManagement
from isthmus.install.ranges import (
    Evidence,
    NodeInfo,
    OpenShiftNetwork,
    OpenShiftRange,
    OpenShiftStatus,
    RangeNode,
    RangeSpec,
    VersionStatus,
    conclude,
    flag_value,
    guess_pods,
)
from isthmus.kube.objects import ObjectMeta


def node(*ranges: str, version: str = "v1.36.0", virtual: bool = False) -> RangeNode:
    return RangeNode(
        metadata=ObjectMeta(name="n", labels={"liqo.io/type": "virtual-node"} if virtual else {}),
        spec=RangeSpec(pod_cidrs=list(ranges)),
        status=VersionStatus(node_info=NodeInfo(kubelet_version=version)),
    )


KUBEADM = "networking:\n  podSubnet: 10.1.0.0/16,fd00::/48\n  serviceSubnet: 10.2.0.0/16\n"
FLAGS = ["kube-controller-manager", "--cluster-cidr=10.3.0.0/16", "--service-cluster-ip-range", "10.4.0.0/16"]


OPENSHIFT = OpenShiftNetwork(
    metadata=ObjectMeta(name="cluster"),
    status=OpenShiftStatus(
        cluster_network=[OpenShiftRange(cidr="10.128.0.0/14")], service_network=["172.30.0.0/16"]
    ),
)


@pytest.mark.parametrize(
    ("evidence", "pods", "service"),
    [
        (Evidence(kubeadm=KUBEADM, commands=FLAGS), ["10.1.0.0/16"], "10.2.0.0/16"),
        (Evidence(openshift=[OPENSHIFT], commands=FLAGS), ["10.128.0.0/14"], "172.30.0.0/16"),
        (Evidence(commands=FLAGS, service_cidrs=["10.5.0.0/16"]), ["10.3.0.0/16"], "10.4.0.0/16"),
        (
            Evidence(kube_proxy="clusterCIDR: 10.6.0.0/16", service_cidrs=["fd01::/108", "10.5.0.0/16"]),
            ["10.6.0.0/16"],
            "10.5.0.0/16",
        ),
        (Evidence(nodes=[node("10.42.0.0/24", version="v1.34.1+k3s1")]), ["10.42.0.0/16"], "10.43.0.0/16"),
        (
            Evidence(
                recorded={"ipam": {"podCIDRs": ["10.7.0.0/16"], "serviceCIDR": "10.8.0.0/16"}},
                nodes=[node("10.7.3.0/24")],
            ),
            ["10.7.0.0/16"],
            "10.8.0.0/16",
        ),
    ],
)
def test_the_surest_word_counts(evidence: Evidence, pods: list[str], service: str) -> None:
    found = conclude(evidence)
    assert (found.pod_cidrs, found.service_cidr, found.guessed) == (pods, service, False)


def test_a_k3s_with_other_ranges_is_not_taken_for_a_usual_one() -> None:
    found = conclude(Evidence(nodes=[node("10.9.1.0/24", version="v1.34.1+k3s1")]))
    assert found.pod_cidrs == ["10.9.0.0/16"]
    assert found.guessed


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([], []),
        ([node()], []),
        ([node("10.244.1.0/24"), node("10.244.2.0/24")], ["10.244.0.0/16"]),
        ([node("10.244.1.0/24"), node("10.245.2.0/24")], ["10.244.0.0/15"]),
        ([node("10.0.0.0/14")], ["10.0.0.0/14"]),
        ([node("10.244.1.0/24", "fd00::/64")], ["10.244.0.0/16"]),
        ([node("10.1.0.0/24"), node("192.168.0.0/24")], []),
        ([node("10.1.0.0/24"), node("192.168.0.0/24", virtual=True)], ["10.1.0.0/16"]),
    ],
)
def test_what_nodes_hint_at(nodes: list[RangeNode], expected: list[str]) -> None:
    assert guess_pods(nodes) == expected
    assert conclude(Evidence(nodes=nodes)).guessed == bool(expected)


@pytest.mark.parametrize(
    "text", ["a: [", "- list", "networking: 3", "networking:\n  podSubnet: nonsense", ""]
)
def test_a_record_that_says_nothing_is_passed_over(text: str) -> None:
    assert conclude(Evidence(kubeadm=text, kube_proxy=text)).pod_cidrs == []


def test_flags_of_commands() -> None:
    assert flag_value(["--cluster-cidr"], "--cluster-cidr") == ""
    assert flag_value(["--cluster-cidr-x=1"], "--cluster-cidr") == ""


def test_ranges_found_are_checked_like_those_given() -> None:
    with pytest.raises(InstallError, match="--service-cidr"):
        check_ranges(AddressManagement(pod_cidrs=["10.96.0.0/16"], service_cidr="10.96.0.0/12"))
