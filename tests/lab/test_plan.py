"""The address plan: everything apart that must be, everything the same that should be."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from isthmus.lab.errors import LabError
from isthmus.lab.plan import CITIES, MAX_WORKERS, Site, namespaces, plan_clusters, site_from_environment

SITE = site_from_environment({})


def test_two_clusters_are_named_as_in_the_documentation_and_share_their_ranges() -> None:
    rome, milan = plan_clusters(SITE, 2, 2)
    assert (rome.name, milan.name) == ("rome", "milan")
    assert rome.pod_cidr == milan.pod_cidr
    assert rome.service_cidr == milan.service_cidr
    assert rome.url == "https://172.29.1.1:6443"
    assert [worker.name for worker in milan.workers] == ["milan-worker-1", "milan-worker-2"]
    assert [worker.pod_cidr for worker in rome.workers] == [
        IPv4Network("10.244.1.0/24"),
        IPv4Network("10.244.2.0/24"),
    ]


def test_no_address_is_given_twice_in_the_largest_lab() -> None:
    clusters = plan_clusters(SITE, len(CITIES), MAX_WORKERS)
    given = [SITE.host_address]
    for cluster in clusters:
        given += [cluster.address, *(worker.address for worker in cluster.workers)]
    assert len(set(given)) == len(given)
    assert all(address in SITE.network for address in given)


def test_names_fit_what_the_kernel_allows() -> None:
    site = Site("abcdefgh", IPv4Network("172.30.0.0/16"))
    names = namespaces(site, plan_clusters(site, len(CITIES), MAX_WORKERS))
    assert len(set(names)) == len(names)
    assert len(site.bridge) <= 15


@pytest.mark.parametrize(("clusters", "workers"), [(0, 1), (17, 1), (1, 0), (1, 51), (-1, 2)])
def test_impossible_numbers_are_refused(clusters: int, workers: int) -> None:
    with pytest.raises(LabError, match="must be 1 to"):
        plan_clusters(SITE, clusters, workers)


@pytest.mark.parametrize(
    "environment",
    [
        {"ISTHMUS_LAB_NAME": "Upper"},
        {"ISTHMUS_LAB_NAME": "far-too-long-for-a-link"},
        {"ISTHMUS_LAB_NAME": "../etc"},
        {"ISTHMUS_LAB_NETWORK": "nonsense"},
        {"ISTHMUS_LAB_NETWORK": "172.30.0.0/24"},
        {"ISTHMUS_LAB_NETWORK": "172.30.0.1/16"},
        {"ISTHMUS_LAB_NETWORK": "10.244.0.0/16"},
        {"ISTHMUS_LAB_NETWORK": "10.96.0.0/16"},
    ],
)
def test_a_name_or_network_that_cannot_be_used_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(LabError):
        site_from_environment(environment)


def test_another_site_has_nothing_in_common() -> None:
    other = site_from_environment({"ISTHMUS_LAB_NAME": "try", "ISTHMUS_LAB_NETWORK": "172.30.0.0/16"})
    assert other.state != SITE.state
    assert other.cgroup != SITE.cgroup
    assert other.host_address == IPv4Address("172.30.0.1")
    ours = namespaces(SITE, plan_clusters(SITE, 2, 2))
    assert set(ours).isdisjoint(namespaces(other, plan_clusters(other, 2, 2)))


def test_disjoint_clusters_share_no_address() -> None:
    clusters = plan_clusters(SITE, len(CITIES), 2, disjoint=True)
    ranges = [range_ for cluster in clusters for range_ in (cluster.pod_cidr, cluster.service_cidr)]
    assert not any(one.overlaps(other) for i, one in enumerate(ranges) for other in ranges[:i])
    assert all(worker.pod_cidr.subnet_of(one.pod_cidr) for one in clusters for worker in one.workers)
    assert clusters[0] == plan_clusters(SITE, 1, 2)[0]
