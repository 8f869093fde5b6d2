"""What is found wrong with a cluster before anything is written, and what is left alone."""

from __future__ import annotations

import pytest

from isthmus.install.api_server import address_of, is_own_address
from isthmus.install.prechecks import KernelInfo, KernelNode, KernelStatus, old_kernels, outside
from isthmus.kube.credentials import Credentials
from isthmus.kube.objects import ObjectMeta


def node(name: str, kernel: str, *, virtual: bool = False) -> KernelNode:
    return KernelNode(
        metadata=ObjectMeta(name=name, labels={"liqo.io/type": "virtual-node"} if virtual else {}),
        status=KernelStatus(node_info=KernelInfo(kernel_version=kernel)),
    )


@pytest.mark.parametrize(
    ("kernel", "is_old"),
    [
        ("5.9.16", True),
        ("4.18.0-553.el8_10.x86_64", True),
        ("3.10.0", True),
        ("5.10.0-28-amd64", False),
        ("5.15.0-1051-raspi", False),
        ("6.1", False),
        ("10.0.1", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_kernels_are_compared_by_number(kernel: str, is_old: bool) -> None:
    assert old_kernels([node("n", kernel)]) == ([f"n ({kernel})"] if is_old else [])


def test_virtual_nodes_have_no_kernel_and_others_are_named_in_order() -> None:
    nodes = [node("v", "4.19.0", virtual=True), node("b", "4.19.0"), node("a", "5.4.0"), node("c", "6.1.0")]
    assert old_kernels(nodes) == ["a (5.4.0)", "b (4.19.0)"]


def test_addresses_outside_every_range_are_found() -> None:
    addresses = [
        ("shop/a", "10.244.1.5"),
        ("shop/b", "10.0.1.5"),
        ("shop/c", "10.1.0.5"),
        ("shop/headless", "None"),
        ("shop/external", ""),
        ("shop/six", "fd00::5"),
    ]
    assert outside(addresses, ["10.244.0.0/16", "10.1.0.0/16"]) == ["shop/b (10.0.1.5)"]
    assert outside(addresses, ["10.0.0.0/8"]) == []


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://127.0.0.1:6443", True),
        ("https://localhost:6443", True),
        ("https://0.0.0.0:6443", True),
        ("https://[::1]:6443", True),
        ("https://10.0.0.1:6443", False),
        ("https://localhost.example:6443", False),
    ],
)
def test_addresses_that_lead_a_peer_to_itself(url: str, own: bool) -> None:
    assert is_own_address(url) is own


@pytest.mark.parametrize(
    ("credentials", "address"),
    [
        (Credentials("https://203.0.113.5:6443"), "https://203.0.113.5:6443"),
        (Credentials("https://abc.eks.amazonaws.com/"), "https://abc.eks.amazonaws.com"),
        (Credentials("https://127.0.0.1:6443"), ""),
        (Credentials("http://10.0.0.1:8080"), ""),
        (Credentials("https://rancher.example/k8s/clusters/c-1"), ""),
        (Credentials("https://10.0.0.1:6443", proxy_url="http://proxy:3128"), ""),
        (Credentials("https://10.0.0.1:6443", tls_server_name="kubernetes"), ""),
    ],
)
def test_a_kubeconfigs_address_is_told_to_peers_only_where_it_works_without_the_rest_of_it(
    credentials: Credentials, address: str
) -> None:
    assert address_of(credentials) == address
