"""What is found out before the first write: who may not install, what is in the way, what a cluster is like."""

from __future__ import annotations

import pytest

from isthmus.install.errors import InstallError
from isthmus.install.prechecks import Checks
from isthmus.kube.errors import ApiError
from tests.apiserver import ApiServer, Json, Kind
from tests.install.cluster import Told, cluster, installed, standing

pytestmark = pytest.mark.looptime

CONTROLLER = {
    "app.kubernetes.io/name": "controller-manager",
    "app.kubernetes.io/component": "controller-manager",
}
SPEC = {"spec": {"selector": {"matchLabels": {}}}}


async def refused(api: ApiServer, *assignments: str, checks: Checks | None = None) -> str:
    """The one error of an installation that is refused before anything is changed."""
    before = api.version
    with pytest.raises(InstallError) as error:
        await installed(api, *assignments, checks=checks)
    assert api.version == before
    return str(error.value)


def allowing(api: ApiServer, denied: set[tuple[str, str]]) -> None:
    def review(body: Json) -> Json:
        asked = body["spec"]["resourceAttributes"]
        return {"allowed": (asked["verb"], asked["resource"]) not in denied}

    api.reviews["selfsubjectaccessreviews"] = review


async def test_a_user_who_may_not_install_is_told_what_is_missing() -> None:
    api = cluster()
    allowing(api, {("create", "clusterroles"), ("patch", "clusterroles"), ("patch", "daemonsets")})
    assert await refused(api) == (
        "the user of the kubeconfig may not create clusterroles, patch clusterroles, patch daemonsets in namespace "
        "liqo: use the kubeconfig of an administrator"
    )


async def test_a_user_who_may_not_even_ask_finds_out_by_the_write() -> None:
    api = cluster()
    api.fail(403, "Forbidden", verb="post", times=None, when=lambda one: "selfsubject" in one.path)
    api.fail(403, "Forbidden", verb="create", times=None, when=lambda one: "selfsubject" in one.path)
    told = await installed(api)
    assert told.titles[-1] == "The API server reaches the admission webhooks"


async def test_a_role_that_grants_more_than_its_author_has_is_named() -> None:
    api = cluster()
    why = "user is attempting to grant RBAC permissions not currently held"
    api.fail(403, "Forbidden", why, verb="apply", name="liqo-remote-controlplane")
    error = await refused(api)
    assert error.startswith(
        "the user of the kubeconfig may not create ClusterRole liqo-remote-controlplane ("
    )
    assert why in error


async def test_a_namespace_that_is_ending_is_not_installed_into() -> None:
    api = cluster()
    api.create("namespaces", {"metadata": {"name": "liqo", "finalizers": ["example.com/theirs"]}})
    api.delete("namespaces", "", "liqo")
    assert (
        await refused(api) == 'namespace "liqo" is being deleted: wait until it is gone, then run this again'
    )


@pytest.mark.parametrize(
    ("namespace", "manager", "said"),
    [
        ("liqo", "Helm", r"Deployment liqo/controller was installed by Helm: remove that installation first"),
        (
            "other",
            "isthmus",
            r'there is an installation in namespace "other" \(Deployment other/controller\)',
        ),
    ],
)
async def test_another_installation_is_not_touched(namespace: str, manager: str, said: str) -> None:
    api = cluster()
    own = {"app.kubernetes.io/instance": "liqo", "app.kubernetes.io/part-of": "liqo"}
    marks = {**CONTROLLER, **own, "app.kubernetes.io/managed-by": manager}
    api.create(
        "deployments", {"metadata": {"name": "controller", "namespace": namespace, "labels": marks}, **SPEC}
    )
    with pytest.raises(InstallError, match=said):
        await installed(api)
    assert api.get("namespaces", "", "liqo") is None


async def test_a_cluster_that_has_another_id_keeps_it() -> None:
    api = await standing()
    record = api.get("configmaps", "liqo", "liqo-clusterid-configmap")
    assert record is not None
    api.merge("configmaps", "liqo", "liqo-clusterid-configmap", {"data": {"CLUSTER_ID": "milan"}})
    assert '--cluster-id rome: this cluster is installed as "milan"' in await refused(api)


@pytest.mark.parametrize("text", ["a: [", "- list", ""])
async def test_a_record_that_cannot_be_read_does_not_stop_an_upgrade(text: str) -> None:
    api = await standing()
    api.merge("configmaps", "liqo", "liqo-installation", {"data": {"values": text, "version": None}})
    told = await installed(api)
    assert told.titles[0].endswith('version unknown installed as "rome", now 1.0.0')
    assert told.notes == []


async def test_a_kernel_that_is_too_old_is_told_and_may_be_let_pass() -> None:
    api = cluster()
    api.merge("nodes", "", "two", {"status": {"nodeInfo": {"kernelVersion": "4.18.0-553.el8"}}})
    error = await refused(api)
    assert "Linux 5.10 or later on every node: two (4.18.0-553.el8)" in error
    assert "--disable-kernel-version-check" in error
    await installed(api, "requirements.kernel.enabled=false")


def addressed(api: ApiServer, name: str, address: str, **spec: object) -> None:
    place = {"name": name, "namespace": "default"}
    status = {"phase": "Running", "podIP": address}
    api.create("pods", {"metadata": place, "spec": {"nodeName": "one", **spec}, "status": status})


async def test_ranges_that_leave_out_pods_are_told_and_may_be_let_pass() -> None:
    api = cluster()
    api.create("nodes", {"metadata": {"name": "milan", "labels": {"liqo.io/type": "virtual-node"}}})
    addressed(api, "inside", "10.244.1.5")
    addressed(api, "abroad", "10.99.0.5", nodeName="milan")
    addressed(api, "on-host", "172.18.0.2", hostNetwork=True)
    addressed(api, "stranger", "10.9.1.5")
    error = await refused(api)
    assert error.startswith(
        "pods have addresses outside 10.244.0.0/16 (--pod-cidr): default/stranger (10.9.1.5): peers would not"
    )
    await installed(api, checks=Checks(ranges=False, api_server=False))


async def test_a_service_outside_the_range_is_told() -> None:
    api = cluster()
    place = {"name": "web", "namespace": "default"}
    api.create("services", {"metadata": place, "spec": {"clusterIP": "10.200.0.7"}})
    error = await refused(api)
    assert "Services have addresses outside 10.96.0.0/16 (--service-cidr): default/web (10.200.0.7)" in error
    with api.failing(403, "Forbidden", verb="list", plural="services", when=lambda one: not one.namespace):
        await installed(api)


async def test_ranges_are_found_where_control_planes_keep_them() -> None:
    api = cluster()
    api.delete("configmaps", "kube-system", "kubeadm-config")
    place = {"name": "kube-controller-manager-one", "namespace": "kube-system"}
    place |= {"labels": {"component": "kube-controller-manager"}}
    words = {"command": ["kube-controller-manager", "--cluster-cidr=10.3.0.0/16"]}
    api.create("pods", {"metadata": place, "spec": {"containers": [words]}})
    stray = {"name": "stray", "namespace": "kube-system"}
    api.create(
        "pods", {"metadata": stray, "spec": {"containers": [{"args": ["--cluster-cidr=10.8.0.0/16"]}]}}
    )
    api.create("servicecidrs", {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.4.0.0/16"]}})
    await installed(api)
    assert {"10.3.0.0/16", "10.4.0.0/16"} <= {one["spec"]["cidr"] for one in api.list("networks")}


async def test_ranges_that_only_nodes_hint_at_are_said_to_be_a_guess() -> None:
    api = cluster()
    api.delete("configmaps", "kube-system", "kubeadm-config")
    api.create("servicecidrs", {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.4.0.0/16"]}})
    api.merge("nodes", "", "one", {"spec": {"podCIDRs": ["10.7.1.0/24"]}})
    told = await installed(api)
    assert told.notes == [
        "pods have 10.7.0.0/16, judging by the nodes; if it is another range, give it with --pod-cidr"
    ]


@pytest.mark.parametrize("code", [403, 404])
async def test_ranges_that_nobody_tells_have_to_be_given(code: int) -> None:
    api = cluster()
    reason = "Forbidden" if code == 403 else "NotFound"
    for plural in ("configmaps", "servicecidrs"):
        api.fail(code, reason, verb="get", plural=plural, namespace="kube-system", times=None)
    error = await refused(api)
    assert "the range of the cluster's pods cannot be found out: give it with --pod-cidr" in error
    error = await refused(api, "ipam.podCIDRs={10.244.0.0/16}")
    assert "the range of the cluster's Services cannot be found out: give it with --service-cidr" in error
    with pytest.raises(InstallError):
        await installed(api, "ipam.podCIDRs={10.244.0.0/16}", "ipam.serviceCIDR=10.244.0.0/20")


async def test_openshift_says_its_ranges_and_its_address_itself() -> None:
    api = cluster()
    group = "config.openshift.io"
    api.serve(Kind(group, "v1", "networks", "Network", namespaced=False))
    api.serve(Kind(group, "v1", "infrastructures", "Infrastructure", namespaced=False))
    api.delete("configmaps", "kube-system", "kubeadm-config")
    ranges = {"clusterNetwork": [{"cidr": "10.128.0.0/14"}], "serviceNetwork": ["172.30.0.0/16"]}
    api.create("networks", {"metadata": {"name": "cluster"}, "status": ranges})
    url = {"status": {"apiServerURL": "https://api.rome.example:6443"}}
    api.create("infrastructures", {"metadata": {"name": "cluster"}, **url})
    told = await installed(api)
    assert told.notes == ["peers reach the API server at https://api.rome.example:6443, as OpenShift says"]
    assert {"10.128.0.0/14", "172.30.0.0/16"} <= {
        one["spec"]["cidr"] for one in api.list("networks.ipam.liqo.io")
    }


async def test_a_cluster_that_does_not_answer_is_an_error_of_its_own() -> None:
    api = cluster()
    api.fail(401, "Unauthorized", verb="get", times=None, when=lambda one: one.path == "/version")
    told = Told()
    with pytest.raises(ApiError):
        await installed(api, told=told)
    assert told.titles == ["Checking the cluster"]
    assert told.steps[0].error is not None
