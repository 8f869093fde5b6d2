"""`isthmus test network` from beginning to end, with what pods answer played."""

from __future__ import annotations

import json

import pytest

from isthmus.cli.nettest import execution
from isthmus.cli.nettest.manifests import NAMESPACE
from isthmus.cli.nettest.probes import Probe, Result, Work
from isthmus.kube.errors import TransportError
from isthmus.kube.remote_command import Output
from tests.apiserver import Outcome
from tests.cli.nettest_stage import TWIN, Stage, place_node
from tests.cli.played import Duo, failure


@pytest.fixture
async def stage(sites: Duo, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Rome and milan, joined."""
    assert (await sites("network", "connect", "--gw-server-service-type", "NodePort")).code == 0
    sites.journal.clear()
    made = Stage(sites)
    monkeypatch.setattr(execution, "run_command", made.run_command)
    return made


async def run(stage: Stage, *words: str) -> Outcome:
    return await stage.duo.alone("test", "network", "-p", str(stage.duo.folder / "milan"), *words)


def rows(ended: Outcome) -> list[list[str]]:
    """The cells of the table that people see."""
    table = ended.out.split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in table]


async def test_all_paths_of_two_joined_clusters(stage: Stage) -> None:
    ended = await run(stage)
    assert ended.code == 0, ended
    assert rows(ended)[:3] == [
        ["CHECK", "FROM", "TO", "PATHS", "TCP", "UDP", "ICMP", "RESULT"],
        ["pod to pod", "rome", "rome", "2/2", "ok", "ok", "ok", "ok"],
        ["pod to pod", "rome", "milan", "2/2", "ok", "ok", "ok", "ok"],
    ]
    assert {row[0] for row in rows(ended)[1:]} == {
        "pod to pod", "pod to service", "pod to name", "node to pod", "pod to NodePort",
    }  # fmt: skip
    assert "✓ Clusters rome, milan: 3 nodes, 0 virtual nodes" in ended.err
    assert "✓ Pod to pod: 54 of 54 probes passed" in ended.err
    assert "the probes are left for the next time; --rm removes them" in ended.err
    pods = {one["metadata"]["name"]: one for one in stage.duo.rome.list("pods", NAMESPACE)}
    assert set(pods) == {"pod-r1", "pod-r2", "node-r1", "node-r2"}
    assert pods["pod-r1"]["spec"]["containers"][0]["image"] == "isthmus:1.2.3"
    stage.duo.journal.clear()
    assert (await run(stage, "--info")).code == 0
    assert not stage.duo.wrote("pods"), "what is there is used again"


async def test_pods_on_virtual_nodes_take_part(stage: Stage) -> None:
    place_node(stage.duo.rome, "milan", peer="milan")
    place_node(stage.duo.rome, "turin", peer="turin")
    place_node(stage.duo.rome, "r3", "172.18.1.3", ready="False")
    ended = await run(stage, "-o", "json")
    assert ended.code == 0, ended
    report = json.loads(ended.out)
    assert report["notes"] == [
        "node r3 of rome is not Ready: not tested",
        "virtual node turin of rome is of turin, whose kubeconfig is not given with --remote-kubeconfigs: not tested",
    ]
    targets = {(one["check"], one["to"]["name"], one["to"]["cluster"]) for one in report["paths"]}
    assert ("pod to pod", "pod-milan (of rome)", "milan") in targets
    assert stage.duo.rome.get("namespaceoffloadings", NAMESPACE, "offloading") is not None
    ((_, work),) = [
        one for one in stage.batches if one[0] == "rome/pod-milan" and one[1].probes[0].protocol == "names"
    ]
    assert work.probes[0].count == 3


async def test_what_fails_is_told_with_what_to_suspect(stage: Stage) -> None:
    stage.passes = lambda pod, probe: (
        "no answer" if pod == "rome/pod-r1" and "10.201" in probe.address else ""
    )
    ended = await run(stage, "--basic")
    assert failure(ended) == "1 of 6 paths failed: see above what to suspect"
    assert ["pod to pod", "rome", "milan", "1/2", "1 failed", "1 failed", "1 failed", "FAILED"] in rows(ended)
    assert "FAILED pod to pod: pod-r1 -> pod-m1" in ended.out
    assert "suspect: the way from node r1 to the gateway of rome" in ended.out


async def test_failing_fast_stops_after_the_first_kind(stage: Stage) -> None:
    stage.passes = lambda pod, probe: "no answer" if probe.protocol == "udp" else ""
    ended = await run(stage, "--fail-fast")
    assert ended.code == 1
    assert {row[0] for row in rows(ended)[1:]} == {"pod to pod"}
    assert len({row[0] for row in rows(await run(stage))[1:]}) == 5


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (TransportError("the connection was cut"), "not done: the connection was cut"),
        (Output(b"", b"Traceback:\nno module\n", 1), "not done: the agent ended with 1: no module"),
        (Output(b"", b"", 137), "not done: the agent ended with 137: no word"),
        (Output(b"hello", b"", 0), "not done: the agent's answer cannot be read: "),
        (Output(b'{"results": []}', b"", 0), "cannot be read: 0 results for 6 probes"),
    ],
)
async def test_a_pod_that_cannot_be_driven_does_not_end_the_test(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, output: Output | Exception, said: str
) -> None:
    async def command(client: object, *words: object, **more: object) -> Output:
        if words[1] != "pod-m1":
            return await stage.run_command(client, *words, **more)  # type: ignore[arg-type]
        if isinstance(output, Exception):
            raise output
        return output

    monkeypatch.setattr(execution, "run_command", command)
    ended = await run(stage, "--basic", "--sizes", "64")
    assert failure(ended).startswith("2 of 6 paths failed")
    assert said in ended.out
    assert "nothing is known: the probes were not done" in ended.out


async def test_probes_that_no_time_is_left_for_are_told(stage: Stage) -> None:
    stage.idle.add("endpointslices")
    ended = await run(stage, "--timeout", "4s", "--info")
    assert "! (rome) the EndpointSlices of isthmus-test-network/probe of the local" in ended.err
    assert "(lacking 10.200.0.1, 10.200.0.2, beyond none)" in ended.err
    assert ended.code == 1
    assert "not tried: no time was left" in ended.out


async def test_everything_goes_at_the_end_when_asked_for(stage: Stage) -> None:
    ended = await run(stage, "--basic", "--rm")
    assert ended.code == 0
    assert "left for the next time" not in ended.err
    for name, api in (("rome", stage.duo.rome), ("milan", stage.duo.milan)):
        assert f"{name}: delete namespaces {NAMESPACE}" in stage.duo.journal
        assert api.get("namespaces", "", NAMESPACE) is None
        assert not api.list("pods")


async def test_it_goes_also_when_the_test_could_not_be_done(stage: Stage) -> None:
    stage.pod_status = {
        "phase": "Pending",
        "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}],
    }
    stage.duo.milan.fail(501, "NotImplemented", "not now", verb="delete", plural="namespaces")
    told = failure(ended := await run(stage, "--basic", "--rm", "--timeout", "5s"))
    assert told == (
        'the probe pods of the local cluster "rome" were not ready within 5.0 s (pod-r1: ErrImagePull; pod-r2: '
        f"ErrImagePull): see kubectl describe pods -n {NAMESPACE} in rome"
    )
    assert f"! removing namespace {NAMESPACE} in the remote cluster" in ended.err, "told besides"
    assert "not now" in ended.err


async def test_pods_of_another_make_and_of_nodes_that_are_gone_are_replaced(stage: Stage) -> None:
    await run(stage, "--basic")
    stage.duo.rome.delete("nodes", "", "r2")
    stage.duo.rome.merge(
        "pods", NAMESPACE, "pod-r1", {"metadata": {"annotations": {"isthmus.liqo.io/digest": "old"}}}
    )
    stage.duo.journal.clear()
    assert (await run(stage, "--basic", "--image", "isthmus:1.2.3")).code == 0
    assert [one for one in stage.duo.journal if "pods" in one] == [
        f"rome: delete pods {NAMESPACE}/pod-r2",
        f"rome: delete pods {NAMESPACE}/pod-r1",
        f"rome: create pods {NAMESPACE}/pod-r1",
    ]


async def test_a_new_namespaces_service_account_is_waited_for(stage: Stage) -> None:
    said = 'error looking up service account isthmus-test-network/default: serviceaccount "default" not found'
    fault = stage.duo.rome.fail(403, "Forbidden", said, times=2, verb="create", plural="pods")
    assert (await run(stage, "--basic")).code == 0
    assert fault.hits == 2
    stage.duo.milan.delete("pods", NAMESPACE, "pod-m1")
    stage.duo.milan.fail(403, "Forbidden", "violates PodSecurity", times=None, verb="create", plural="pods")
    told = failure(await run(stage, "--basic"))
    assert "violates PodSecurity" in told


async def test_everything_that_can_be_tested_besides(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    here: list[Probe] = []

    def perform_all(work: Work) -> list[Result]:
        here.extend(work.probes)
        return [Result(one.id, True) for one in work.probes]

    monkeypatch.setattr(execution, "perform_all", perform_all)
    ended = await run(stage, "--lb", "--ip", "--np-ext", "--np-nodes", "workers", "--info")
    assert ended.code == 0, ended
    kinds = {row[0] for row in rows(ended)[1:]}
    assert kinds >= {"pod to external IP", "this machine to NodePort", "this machine to LoadBalancer"}
    assert {one.address for one in here if one.port == 8207} == {"203.0.113.5"}
    assert stage.duo.rome.get("ips", NAMESPACE, "api-server")["spec"] == {
        "ip": "172.18.1.9",
        "masquerade": True,
    }
    stage.idle.add("loadbalancers")
    stage.duo.rome.merge("services", NAMESPACE, "probe-lb", {"status": {"loadBalancer": {"ingress": None}}})
    told = failure(await run(stage, "--lb"))
    assert told == (
        f'Service {NAMESPACE}/probe-lb of the local cluster "rome" was given no address within 45 s: leave out --lb '
        "where there is no load balancer"
    )


async def test_a_provider_that_refuses_the_namespace(stage: Stage) -> None:
    place_node(stage.duo.rome, "milan", peer="milan")
    stage.idle.add("namespaceoffloadings")
    told = failure(await run(stage, "--timeout", "3s"))
    assert (
        f'namespace {NAMESPACE} of the local cluster "rome" was not offloaded everywhere within 3.0 s' in told
    )
    refused = [
        {"type": "Ready", "status": "False", "reason": "CreationLoopBackOff", "message": "it is there"}
    ]
    status = {"offloadingPhase": "AllFailed", "observedGeneration": 1, "remoteNamespaceName": TWIN}
    status |= {"remoteNamespacesConditions": {"milan": refused}}
    stage.duo.rome.merge("namespaceoffloadings", NAMESPACE, "offloading", {"status": status})
    told = failure(await run(stage))
    assert told.startswith(
        f'namespace {NAMESPACE} of the local cluster "rome" is not taken by every provider: milan: '
        f"CreationLoopBackOff: it is there: delete namespace {TWIN} there if nobody needs it"
    )


async def test_clusters_that_are_not_joined(duo: Duo) -> None:
    for api in (duo.rome, duo.milan):
        place_node(api, "one", "172.18.0.1")
    told = failure(await duo.alone("test", "network", "-p", str(duo.folder / "milan")))
    assert told == (
        "the pod networks of rome, milan are not joined: none has a settled Configuration for another: run isthmus "
        "peer or isthmus network connect, and see isthmus info"
    )
    assert duo.journal == []
    told = failure(await duo.alone("test", "network", "-p", str(duo.folder / "rome")))
    assert 'are both cluster "rome": give each cluster once with --remote-kubeconfigs' in told


async def test_clusters_that_cannot_be_tested(stage: Stage) -> None:
    api = stage.duo.milan
    controller = ("deployments", "liqo", "liqo-controller-manager")
    spec = api.get(*controller)["spec"]
    api.merge(*controller, {"spec": {"template": None}})
    told = failure(await run(stage))
    assert told == (
        'the remote cluster "milan" does not run Isthmus in namespace liqo, so the image of the probe pods is not '
        "known: name it with --image, or say with --namespace where Isthmus is installed"
    )
    api.merge(*controller, {"spec": spec})
    api.create("namespaces", {"metadata": {"name": NAMESPACE, "labels": {"team": "a"}}})
    told = failure(await run(stage, "--rm"))
    assert told.startswith(
        f'namespace {NAMESPACE} of the remote cluster "milan" was not made by isthmus test network'
    )
    assert api.get("namespaces", "", NAMESPACE) is not None, "and is not removed"
    api.merge("nodes", "", "m1", {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})
    told = failure(await run(stage))
    assert told == 'the remote cluster "milan" has no node that is Ready: see kubectl get nodes'
    told = failure(await run(stage, "-p", str(stage.duo.folder / "none")))
    assert told.startswith("remote cluster, --remote-kubeconfigs: ")
