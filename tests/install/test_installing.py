"""An installation from start to end: what is applied and in which order, what is waited for, what an upgrade does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from isthmus.api import labels
from isthmus.install.errors import InstallError
from isthmus.install.render import render
from isthmus.install.served import resource_of
from isthmus.kube.errors import ApiError, NotFound
from tests.apiserver import ApiServer
from tests.install.cluster import Told, cluster, installed, standing, values

pytestmark = pytest.mark.looptime

NETWORK_OFF = ("networking.enabled=false",)


def applied(api: ApiServer) -> list[str]:
    """The kinds of what was written for good, in order."""
    writes = [one for one in api.asked("write") if "dryRun" not in one.query and one.code < 300]
    return [one.body["kind"] for one in writes if one.verb == "apply"]


async def test_a_cluster_is_brought_to_what_was_rendered_in_its_order() -> None:
    api = cluster()
    told = await installed(api)
    complete = values().with_ranges(["10.244.0.0/16"], "10.96.0.0/12")
    wanted = [one for one in render(complete, "liqo", "1.0.0") if one["kind"] not in ("Network", "ConfigMap")]
    for manifest in wanted:
        resource = resource_of(manifest)
        plural = api.kinds.find(resource.group, resource.plural)
        assert plural
        there = api.get(plural, manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"])
        assert there is not None
        parts = {"spec", "rules", "roleRef", "webhooks"} & manifest.keys()
        assert {part: there.get(part) for part in parts} == {part: manifest[part] for part in parts}
    kinds = applied(api)
    crds = kinds.count("CustomResourceDefinition")
    assert kinds[:crds] == ["CustomResourceDefinition"] * crds
    assert kinds[crds] == "Namespace"
    assert kinds.index("DaemonSet") < kinds.index("Deployment") < kinds.index("MutatingWebhookConfiguration")
    assert {one["spec"]["cidr"] for one in api.list("networks")} >= {"10.244.0.0/16", "10.96.0.0/16"}
    assert told.titles[0].endswith("nothing installed yet")
    assert told.titles[2:] == [
        f"{len(kinds) - crds} objects applied",
        "The controller is ready",
        "The network of nodes is ready",
        "The API server reaches the admission webhooks",
    ]


async def test_a_second_installation_changes_nothing() -> None:
    api = await standing()
    before = api.version
    told = await installed(api)
    assert api.version == before
    assert told.notes == []
    assert told.titles[0].endswith('version 1.0.0 installed as "rome", now 1.0.0')


async def test_an_upgrade_removes_what_is_no_longer_wanted_and_tells_which_values_change() -> None:
    api = cluster()
    await installed(api, "offloading.runtimeClass.enabled=true", "common.globalLabels.team=a")
    foreign = {
        "metadata": {"name": "theirs", "labels": {"app.kubernetes.io/instance": "liqo"}},
        "handler": "x",
    }
    api.create("runtimeclasses", foreign)
    told = await installed(api, "offloading.runtimeClass.enabled=false", version="1.1.0")
    assert api.named("runtimeclasses") == {"theirs"}
    assert told.steps[2].title.endswith("objects applied, 1 no longer wanted removed")
    assert told.notes == [
        "value common.globalLabels.team: a becomes unset",
        "value offloading.runtimeClass.enabled: true becomes false",
    ]
    record = api.get("configmaps", "liqo", "liqo-installation")
    assert record is not None
    assert record["data"]["version"] == "1.1.0"


async def test_a_webhook_that_is_no_longer_wanted_goes_whole() -> None:
    api = await standing()
    (configuration,) = api.list("mutatingwebhookconfigurations")
    name = configuration["metadata"]["name"]
    filled = [
        {**one, "clientConfig": {**one["clientConfig"], "caBundle": "Q0E="}}
        for one in configuration["webhooks"]
    ]
    api.merge("mutatingwebhookconfigurations", "", name, {"webhooks": filled})
    await installed(api, *NETWORK_OFF)
    kept = api.list("mutatingwebhookconfigurations")[0]["webhooks"]
    assert {one["name"] for one in filled} - {one["name"] for one in kept} == {
        "firewallconfigurations.mutate.liqo.io"
    }
    assert all("rules" in one and one["clientConfig"]["caBundle"] == "Q0E=" for one in kept)


async def test_a_kind_that_one_of_several_api_servers_does_not_serve_yet_is_waited_for() -> None:
    api = cluster()
    late = api.fail(404, "NotFound", verb="apply", plural="vkoptionstemplates", times=3)
    await installed(api)
    assert late.hits == 3
    assert api.named("vkoptionstemplates")


async def test_a_kind_that_nobody_serves_ends_the_installation_in_bounded_time() -> None:
    api = cluster()
    start = asyncio.get_running_loop().time()
    api.fail(404, "NotFound", verb="apply", plural="vkoptionstemplates", times=None)
    with pytest.raises(NotFound):
        await installed(api)
    assert 20 <= asyncio.get_running_loop().time() - start < 25


async def test_an_object_that_is_refused_is_the_one_error() -> None:
    api = cluster()
    why = "admission webhook policy.example denied the request: no ClusterRoles on Fridays"
    refuse = {"verb": "apply", "plural": "clusterroles", "when": lambda one: "dryRun" not in one.query}
    with (
        api.failing(403, "Forbidden", why, **refuse),
        pytest.raises(ApiError, match="no ClusterRoles on Fridays"),
    ):
        await installed(api)
    assert "Deployment" not in applied(api)
    told = await installed(api)
    assert told.titles[-1] == "The API server reaches the admission webhooks"


async def test_of_kinds_that_are_applied_together_the_one_refused_is_told() -> None:
    api = cluster()
    api.fail(422, "Invalid", "too long", verb="apply", name="tenants.authentication.liqo.io")
    with pytest.raises(ApiError, match="too long"):
        await installed(api)
    assert "Namespace" not in applied(api)


async def test_kinds_that_are_not_served_are_waited_for_by_name_and_not_forever() -> None:
    def empty(exchange: Any) -> Any:
        return exchange.respond(200, {"metadata": {}, "items": []})

    api = cluster()
    hidden = api.respond(empty, verb="list", plural="customresourcedefinitions")
    told = Told()
    with pytest.raises(InstallError, match="does not serve the kinds of Isthmus: look at kubectl get crd"):
        await installed(api, told=told)
    assert told.waited_for("Having 28 kinds served") == ["configurations.networking.liqo.io and 27 more"]
    assert api.get("namespaces", "", "liqo") is None
    api.faults.end(hidden)
    await installed(api)


async def test_an_installation_that_was_cut_off_anywhere_is_finished_by_the_next() -> None:
    whole = cluster()
    await installed(whole)
    api = cluster()
    for plural in ("customresourcedefinitions", "clusterroles", "networks", "daemonsets", "deployments"):
        late = {"verb": "apply", "plural": plural, "when": lambda one: "dryRun" not in one.query}
        with api.failing(422, "Invalid", "cut", **late), pytest.raises(ApiError, match="cut"):
            await installed(api)
    await installed(api)
    assert set(api.objects) == set(whole.objects)


async def test_networks_of_another_range_are_made_anew_where_no_peer_knows_them() -> None:
    api = cluster()
    await installed(api, "ipam.externalCIDR=10.70.0.0/16")
    before = {one["spec"]["cidr"]: one["metadata"]["uid"] for one in api.list("networks")}
    await installed(api, "ipam.externalCIDR=10.71.0.0/16")
    after = {one["spec"]["cidr"]: one["metadata"]["uid"] for one in api.list("networks")}
    assert before.keys() - after.keys() == {"10.70.0.0/16"}
    assert after["10.71.0.0/16"] not in before.values()
    assert after["10.244.0.0/16"] == before["10.244.0.0/16"]


def connect_peer(api: ApiServer) -> None:
    marks = {labels.REMOTE_CLUSTER_ID: "milan"}
    metadata = {"name": "milan", "namespace": "liqo-tenant-milan", "labels": marks}
    api.create("configurations", {"metadata": metadata, "spec": {}})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "ipam.externalCIDR=10.71.0.0/16",
            r"ranges cannot change while peers know them \(in liqo-tenant-milan\)",
        ),
        (
            "networking.enabled=false",
            r"networking.enabled: false, but peers are connected \(in liqo-tenant-milan\)",
        ),
    ],
)
async def test_what_peers_rely_on_is_not_taken_away(change: str, said: str) -> None:
    api = cluster()
    await installed(api, "ipam.externalCIDR=10.70.0.0/16")
    connect_peer(api)
    before = api.version
    with pytest.raises(InstallError, match=said):
        await installed(api, change)
    assert api.version == before


async def test_a_network_that_is_switched_off_is_taken_off_every_node_before_its_permissions_go() -> None:
    api = await standing()
    for name, finalizer in (("one", labels.FINALIZER_INTERNAL_NODE), ("two", "example.com/theirs")):
        api.create("internalnodes", {"metadata": {"name": name, "finalizers": [finalizer]}})
    told = await installed(api, *NETWORK_OFF)
    assert "The network is taken off the nodes" in told.titles
    assert "The network of nodes is ready" not in told.titles
    assert told.warnings == []
    assert not api.named("daemonsets") | api.named("networks")
    assert "liqo-fabric" not in api.named("clusterroles") | api.named("serviceaccounts")
    assert api.named("internalnodes") == {"two"}
    deleted = [one.plural for one in api.asked("delete")]
    assert deleted.index("internalnodes") < deleted.index("daemonsets") < deleted.index("clusterroles")


async def test_agents_that_do_not_end_are_named_and_do_not_keep_the_installation() -> None:
    api = await standing(graceful_pods=True)
    told = await installed(api, *NETWORK_OFF)
    assert told.waited_for("The network is taken off") == ["the agent of node one is still there"]
    assert told.warnings == [
        "the agents of one, two did not end in time: what they set up may be there until a restart"
    ]
    assert "liqo-fabric" not in api.named("clusterroles")
