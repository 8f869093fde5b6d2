"""`isthmus test network`: which probes a topology asks for, by which addresses, and what their results mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from isthmus.api.networking import Configuration
from isthmus.api.offloading import (
    NamespaceOffloading,
    NamespaceOffloadingStatus,
    RemoteNamespaceCondition,
)
from isthmus.api.peer_ranges import PeerRanges, read_ranges
from isthmus.cli.cluster import Cluster
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import execute
from isthmus.cli.nettest import manifests
from isthmus.cli.nettest.command import read_sizes
from isthmus.cli.nettest.execution import match_results
from isthmus.cli.nettest.plan import (
    HOSTS,
    NAMES,
    NODE_PORTS,
    NODES,
    PODS,
    SERVICES,
    Check,
    Choice,
    plan_checks,
)
from isthmus.cli.nettest.probes import Probe, Result, Results
from isthmus.cli.nettest.report import as_document, render
from isthmus.cli.nettest.topology import (
    LentHost,
    ProbePod,
    ServiceView,
    Site,
    Topology,
    address_at_home,
    pick_nodes,
)
from isthmus.cli.nettest.verdict import Outcome, Path, judge
from isthmus.cli.nettest.workload import describe_wait, explain_refused_namespace
from isthmus.kube.objects import ObjectMeta


def ranges(pods: tuple[str, str], external: tuple[str, str]) -> PeerRanges:
    found = read_ranges(
        msgspec.convert(
            {
                "spec": {"remote": {"cidr": {"pod": [pods[0]], "external": [external[0]]}}},
                "status": {"remote": {"cidr": {"pod": [pods[1]], "external": [external[1]]}}},
            },
            Configuration,
        )
    )
    assert found is not None
    return found


def lab() -> Topology:
    """Two clusters with the same pod range; a pod of rome runs on its virtual node milan."""
    sites = {
        "rome": Site(
            "rome",
            {"milan": ranges(("10.200.0.0/16", "10.71.0.0/16"), ("10.70.0.0/16", "10.72.0.0/16"))},
            {"r1": "172.29.1.11", "r2": "172.29.1.12"},
        ),
        "milan": Site(
            "milan",
            {"rome": ranges(("10.200.0.0/16", "10.81.0.0/16"), ("10.70.0.0/16", "10.82.0.0/16"))},
            {"m1": "172.29.2.11"},
        ),
    }
    pods = (
        ProbePod("rome", "rome", "pod-r1", "r1", "10.200.1.5"),
        ProbePod("rome", "rome", "pod-r2", "r2", "10.200.2.5"),
        ProbePod("rome", "milan", "pod-milan", "milan", "10.200.1.9"),
        ProbePod("rome", "rome", "node-r1", "r1", "172.29.1.11", "node"),
        ProbePod("milan", "milan", "pod-m1", "m1", "10.200.1.5"),
    )
    services = (
        ServiceView("rome", "rome", "10.96.0.7", {"tcp": 30001, "udp": 30002}),
        ServiceView("rome", "milan", "10.96.0.9", {"tcp": 30003, "udp": 30004}),
        ServiceView("milan", "milan", "10.96.0.8", {"tcp": 30005, "udp": 30006}),
    )
    return Topology(sites, pods, services, (LentHost("milan", "10.70.0.3", 6443),))


def probed(checks: list[Check]) -> set[tuple[str, str, str]]:
    return {(check.source.title, check.target, check.probe.address) for check in checks}


def test_every_pod_is_probed_by_every_other_by_the_address_its_cluster_sees() -> None:
    checks = plan_checks(lab(), Choice((64, 8000)))[PODS]
    assert probed(checks) == {
        ("pod-r1", "pod-r2", "10.200.2.5"),
        ("pod-r1", "pod-milan (of rome)", "10.71.1.9"),
        ("pod-r1", "pod-m1", "10.71.1.5"),
        ("pod-r2", "pod-r1", "10.200.1.5"),
        ("pod-r2", "pod-milan (of rome)", "10.71.1.9"),
        ("pod-r2", "pod-m1", "10.71.1.5"),
        ("pod-milan (of rome)", "pod-r1", "10.81.1.5"),
        ("pod-milan (of rome)", "pod-r2", "10.81.2.5"),
        ("pod-milan (of rome)", "pod-m1", "10.200.1.5"),
        ("pod-m1", "pod-r1", "10.81.1.5"),
        ("pod-m1", "pod-r2", "10.81.2.5"),
        ("pod-m1", "pod-milan (of rome)", "10.200.1.9"),
    }
    assert len(checks) == 12 * 3 * 2
    assert {(check.probe.protocol, check.probe.size) for check in checks} == {
        (protocol, size) for protocol in ("tcp", "udp", "icmp") for size in (64, 8000)
    }


def test_tcp_insists_on_the_right_pod() -> None:
    checks = plan_checks(lab(), Choice((64,)))[PODS]
    told = {
        check.probe.replicas for check in checks if check.probe.protocol == "tcp" and check.target == "pod-m1"
    }
    assert told == {("milan/pod-m1",)}


def test_nodes_probe_pods_of_all_clusters() -> None:
    checks = plan_checks(lab(), Choice((64,)))[NODES]
    assert probed(checks) == {
        ("node r1", "pod-r1", "10.200.1.5"),
        ("node r1", "pod-r2", "10.200.2.5"),
        ("node r1", "pod-milan (of rome)", "10.71.1.9"),
        ("node r1", "pod-m1", "10.71.1.5"),
    }


def test_an_offloaded_pod_uses_the_twin_of_its_service() -> None:
    checks = plan_checks(lab(), Choice((64,)))[SERVICES]
    used = {(check.source.title, check.probe.address, check.probe.replicas) for check in checks}
    of_rome = ("rome/pod-r1", "rome/pod-r2", "rome/pod-milan")
    assert used == {
        ("pod-r1", "10.96.0.7", of_rome),
        ("pod-r2", "10.96.0.7", of_rome),
        ("pod-milan (of rome)", "10.96.0.9", of_rome),
        ("pod-m1", "10.96.0.8", ("milan/pod-m1",)),
    }


def test_names_are_expected_to_lead_to_the_addresses_seen_there() -> None:
    expected = {
        check.source.title: (check.probe.expected, check.probe.count)
        for check in plan_checks(lab(), Choice((64,)))[NAMES]
    }
    assert expected["pod-r1"] == (("10.200.1.5", "10.200.2.5", "10.71.1.9"), 3)
    assert expected["pod-milan (of rome)"] == (("10.81.1.5", "10.81.2.5", "10.200.1.9"), 3)


def test_of_a_pod_in_a_third_cluster_only_an_address_is_expected_joined_or_not() -> None:
    known = lab()
    milan = Site(
        "milan",
        {
            **known.sites["milan"].ranges,
            "naples": ranges(("10.200.0.0/16", "10.91.0.0/16"), ("10.70.0.0/16", "10.92.0.0/16")),
        },
    )
    rome = Site(
        "rome",
        {
            **known.sites["rome"].ranges,
            "naples": ranges(("10.200.0.0/16", "10.93.0.0/16"), ("10.70.0.0/16", "10.94.0.0/16")),
        },
    )
    pods = (*known.pods, ProbePod("rome", "naples", "pod-naples", "naples", "10.200.1.4"))
    topology = Topology({"rome": rome, "milan": milan, "naples": Site("naples")}, pods, known.services)
    expected = {
        check.source.title: (check.probe.expected, check.probe.count)
        for check in plan_checks(topology, Choice((64,)))[NAMES]
    }
    assert expected["pod-milan (of rome)"] == (("10.81.1.5", "10.81.2.5", "10.200.1.9"), 4)
    assert expected["pod-r1"] == (("10.200.1.5", "10.200.2.5", "10.71.1.9", "10.93.1.4"), 4)


def test_node_ports_of_each_node() -> None:
    checks = plan_checks(lab(), Choice((64,)))[NODE_PORTS]
    mine = {
        (check.probe.address, check.probe.port, check.probe.protocol)
        for check in checks
        if check.source.title == "pod-r1"
    }
    assert mine == {
        (address, port, protocol)
        for address in ("172.29.1.11", "172.29.1.12")
        for port, protocol in ((30001, "tcp"), (30002, "udp"))
    }


def test_a_lent_host_is_probed_from_other_clusters_only() -> None:
    checks = plan_checks(lab(), Choice((64,), hosts=True))[HOSTS]
    assert {(check.source.title, check.probe.address) for check in checks} == {
        ("pod-r1", "10.72.0.3"),
        ("pod-r2", "10.72.0.3"),
    }


def test_basic_is_pod_to_pod_only() -> None:
    assert list(plan_checks(lab(), Choice((64,), basic=True))) == [PODS]


def test_clusters_that_are_not_joined_are_told_and_not_probed() -> None:
    topology = lab()
    topology.sites["turin"] = Site("turin")
    assert ("turin", "rome") in topology.separate()
    assert ("rome", "milan") not in topology.separate()
    assert topology.see("turin", topology.pods[0]) == ""


def test_an_offloaded_pods_own_address_is_found_from_the_one_its_owner_shows() -> None:
    seen = lab().sites["rome"].ranges["milan"]
    assert address_at_home("10.71.1.9", seen) == "10.200.1.9"
    assert address_at_home("10.99.1.9", seen) == ""
    assert address_at_home("10.71.1.9", None) == ""


def test_nodes_are_picked_by_what_they_are() -> None:
    nodes = [("a", "10.0.0.1", True), ("b", "10.0.0.2", False), ("c", "", False)]
    assert pick_nodes(nodes, "all") == {"a": "10.0.0.1", "b": "10.0.0.2"}
    assert pick_nodes(nodes, "workers") == {"b": "10.0.0.2"}
    assert pick_nodes(nodes, "control-planes") == {"a": "10.0.0.1"}


def outcomes(passes: Callable[[Check], bool], kinds: tuple[str, ...] = (PODS,)) -> list[Path]:
    planned = plan_checks(lab(), Choice((64, 1400, 8000)))
    checks = [check for kind in kinds for check in planned[kind]]
    return judge(
        [Outcome(check, Result(0, ok := passes(check), 1.0, "" if ok else "no answer")) for check in checks]
    )


def suspicion(paths: list[Path], source: str, target: str) -> str:
    return next(path.suspicion for path in paths if (path.source, path.target) == (source, target))


def crosses(check: Check) -> bool:
    return check.source.cluster != check.target_cluster


def test_all_green() -> None:
    paths = outcomes(lambda check: True, (PODS, NODES, SERVICES, NAMES))
    assert all(path.ok and not path.suspicion for path in paths)
    shown = render(paths, every=False)
    assert "FAILED" not in shown
    assert as_document(paths, [])["ok"] is True


@pytest.mark.parametrize(
    ("passes", "said"),
    [
        (lambda check: check.probe.size < 1400, "the MTU: packets of 64 bytes pass, of 1400 do not"),
        (lambda check: check.probe.protocol != "icmp", "drops ICMP"),
        (lambda check: check.probe.protocol == "icmp", "ICMP passes, TCP and UDP do not"),
        (lambda check: check.probe.protocol != "udp", "TCP and ICMP pass, UDP does not"),
        (lambda check: check.probe.protocol != "udp" or check.probe.size < 8000, "or the MTU"),
        (lambda check: not crosses(check), "the tunnel: nothing at all passes from rome to milan"),
        (
            lambda check: not crosses(check) or check.source.node != "r1",
            "from node r1 to the gateway of rome",
        ),
        (lambda check: not crosses(check) or check.target_node != "m1", "gateway of milan to node m1"),
    ],
)
def test_what_is_suspected(passes: Callable[[Check], bool], said: str) -> None:
    assert said in suspicion(outcomes(passes), "pod-r1", "pod-m1")


def test_a_failure_within_a_cluster_is_not_blamed_on_the_tunnel() -> None:
    paths = outcomes(lambda check: crosses(check))
    assert "network plugin of rome" in suspicion(paths, "pod-r1", "pod-r2")


def test_nodes_alone_failing_is_about_the_address_they_go_by() -> None:
    paths = outcomes(lambda check: check.kind == PODS or not crosses(check), (PODS, NODES))
    assert "unknown-source address of rome" in suspicion(paths, "node r1", "pod-m1")


def test_failures_are_shown_with_address_and_detail() -> None:
    shown = render(outcomes(lambda check: not crosses(check)), every=False)
    assert "FAILED pod to pod: pod-r1 -> pod-m1" in shown
    assert "TCP 64 bytes" in shown
    assert "to 10.71.1.5: no answer" in shown
    document = as_document(outcomes(lambda check: not crosses(check)), ["a note"])
    assert (document["ok"], document["notes"]) == (False, ["a note"])
    json.dumps(document)


def test_results_that_are_not_for_these_probes_are_refused() -> None:
    probes = [Probe(0, "tcp", "10.0.0.1"), Probe(1, "tcp", "10.0.0.2")]
    answer = msgspec.json.encode(Results([Result(1, False), Result(0, True)]))
    assert [one.ok for one in match_results(probes, answer)] == [True, False]
    with pytest.raises(ValueError, match="1 results for 2 probes"):
        match_results(probes, msgspec.json.encode(Results([Result(0, True)])))


def test_pods_are_named_within_bounds_and_never_alike() -> None:
    long = "ip-10-0-0-1." + "a" * 70
    names = {manifests.pod_name("pod", node) for node in ("r1", "r.1", "r-1", long, long + "b")}
    assert len(names) == 5
    assert all(len(name) <= 63 and "." not in name for name in names)


def test_a_pod_of_another_image_is_made_anew() -> None:
    def digest(image: str) -> str:
        pod = manifests.pod("rome", "r1", "pod", manifests.Image(image))
        return str(pod["metadata"]["annotations"][manifests.DIGEST])

    assert digest("a:1") == digest("a:1") != digest("a:2")


def test_only_the_probe_on_the_nodes_network_gets_a_capability() -> None:
    on_host = manifests.pod("rome", "r1", "node", manifests.Image("a"))["spec"]
    in_pod = manifests.pod("rome", "r1", "pod", manifests.Image("a"))["spec"]
    assert on_host["containers"][0]["securityContext"]["capabilities"] == {
        "drop": ["ALL"],
        "add": ["NET_RAW"],
    }
    assert "securityContext" not in on_host  # The kubelet refuses network sysctls there.
    assert in_pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not in_pod["automountServiceAccountToken"]


def test_what_a_pod_waits_for_is_told() -> None:
    from isthmus.cli.nettest.workload import _PodStatus

    waiting = msgspec.convert(
        {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]},
        _PodStatus,
    )
    ready = msgspec.convert(
        {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}, _PodStatus
    )
    assert describe_wait("pod-r1", waiting) == "pod-r1: ErrImagePull"
    assert describe_wait("pod-r1", ready) == ""


def test_sizes() -> None:
    assert read_sizes("8000,64, 1400,64") == (64, 1400, 8000)
    for wrong in ("", "10", "65001", "64,x", "64,,65"):
        with pytest.raises(CommandError, match="--sizes"):
            read_sizes(wrong)


@pytest.mark.parametrize(
    "arguments",
    [["test", "network"], ["test", "network", "-p", "x", "--sizes", "7"], ["test", "network", "-p", ","]],
)
def test_a_wrong_call_is_exit_code_2(
    arguments: list[str],
    tmp_path: object,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kubeconfig = f"{tmp_path}/kubeconfig"
    with open(kubeconfig, "w") as file:
        json.dump(
            {
                "current-context": "a",
                "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
                "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "a", "user": {"token": "x"}}],
            },
            file,
        )
    monkeypatch.setenv("KUBECONFIG", kubeconfig)
    assert execute(arguments, "isthmus") == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("phase", ["AllFailed", "SomeFailed"])
def test_a_namespace_that_a_provider_refuses_is_told_with_the_providers_words(phase: str) -> None:
    said = RemoteNamespaceCondition(
        type="Ready", status="False", reason="CreationLoopBackOff", message="the name is in use"
    )
    cluster = cast(Cluster, SimpleNamespace(title='cluster "rome"'))

    def offloaded(phase: str) -> NamespaceOffloading:
        status = NamespaceOffloadingStatus(
            offloading_phase=phase,
            remote_namespace_name="isthmus-test-rome",
            remote_namespaces_conditions={"milan": [said]},
        )
        return NamespaceOffloading(metadata=ObjectMeta(name="offloading", namespace="n"), status=status)

    error = explain_refused_namespace(cluster, offloaded(phase))
    assert error is not None
    assert "milan: CreationLoopBackOff: the name is in use" in str(error)
    assert "isthmus-test-rome" in error.mend
    assert explain_refused_namespace(cluster, offloaded("InProgress")) is None
