"""The manifests: what users' scripts, peers and the controller itself rely on, and what security asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.install.assignments import parse_assignments
from isthmus.install.defaults import vk_options_template
from isthmus.install.documents import to_documents
from isthmus.install.errors import InstallError
from isthmus.install.ownership import OWN_LABELS, OWN_SELECTOR
from isthmus.install.render import render
from isthmus.install.roles import merged_rules
from isthmus.install.served import resource_of
from isthmus.install.values import resolve
from isthmus.install.workload import controller_options
from isthmus.kube.objects import Manifest
from isthmus.kube.options import Options, options_from_environment


def rendered(*texts: str, namespace: str = "liqo") -> list[Manifest]:
    values = resolve([("--set", parse_assignments("--set", texts))]).with_cluster_id("rome")
    return render(values, namespace, "1.2.3")


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name)
    return found


def names(manifests: list[Manifest], kind: str) -> list[str]:
    return [m["metadata"]["name"] for m in manifests if m["kind"] == kind]


def controller(manifests: list[Manifest]) -> Manifest:
    return one(manifests, "Deployment", "liqo-controller-manager")


def options(manifests: list[Manifest]) -> Options:
    (container,) = controller(manifests)["spec"]["template"]["spec"]["containers"]
    variables = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    return options_from_environment(variables)


def webhooks(manifests: list[Manifest]) -> Iterator[Manifest]:
    for manifest in manifests:
        yield from manifest.get("webhooks", [])


def test_everything_is_marked_as_ours_and_can_be_applied() -> None:
    for manifest in rendered():
        labels = manifest["metadata"]["labels"]
        assert OWN_LABELS.items() <= labels.items()
        assert labels["liqo.io/managed"] == "true"
        resource = resource_of(manifest)
        assert resource.namespaced == ("namespace" in manifest["metadata"])


def test_global_labels_and_annotations_are_on_everything_and_never_replace_ours() -> None:
    manifests = rendered(
        "common.globalLabels.team=a",
        r"common.globalLabels.app\.kubernetes\.io/managed-by=me",
        "common.globalAnnotations.note=b",
    )
    for manifest in manifests:
        assert manifest["metadata"]["labels"]["team"] == "a"
        assert manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "isthmus"
        assert manifest["metadata"]["annotations"]["note"] == "b"
    pod = controller(manifests)["spec"]["template"]["metadata"]
    assert pod["labels"]["team"] == "a"
    assert pod["annotations"]["note"] == "b"


def test_placeholders_are_those_of_each_object() -> None:
    manifests = rendered(
        "common.globalLabels.kind=${kind}",
        "common.globalAnnotations.track=x:${group}/${kind}:${namespace}/${name}",
    )
    noted = {(m["kind"], m["metadata"]["name"]): m["metadata"]["annotations"]["track"] for m in manifests}
    assert noted["Deployment", "liqo-controller-manager"] == "x:apps/Deployment:liqo/liqo-controller-manager"
    assert noted["RuntimeClass", "liqo"] == "x:node.k8s.io/RuntimeClass:/liqo"
    assert noted["Service", "liqo-webhook"] == "x:/Service:liqo/liqo-webhook"
    for workload in (controller(manifests), one(manifests, "DaemonSet", "liqo-fabric")):
        assert workload["metadata"]["labels"]["kind"] == workload["kind"]
        pod = workload["spec"]["template"]["metadata"]
        assert pod["labels"]["kind"] == "Pod"
        assert pod["annotations"]["track"] == f"x:/Pod:liqo/{workload['metadata']['name']}"
        assert "kind" not in workload["spec"]["selector"]["matchLabels"]


def test_order_of_application() -> None:
    kinds = [manifest["kind"] for manifest in rendered()]
    assert kinds[0] == "Namespace"
    assert kinds[1:29] == ["CustomResourceDefinition"] * 28
    assert kinds.index("ServiceAccount") < kinds.index("Deployment")
    assert kinds[-3:] == ["Deployment", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"]


def test_rendering_twice_gives_the_same() -> None:
    assert to_documents(rendered()) == to_documents(rendered())


def test_documents_are_yaml_without_anchors() -> None:
    manifests = rendered()
    text = to_documents(manifests)
    assert list(yaml.safe_load_all(text)) == manifests
    assert "&id" not in text


def test_cluster_id_config_map_is_found_as_peers_look_for_it() -> None:
    found = one(rendered(), "ConfigMap", "liqo-clusterid-configmap")
    assert found["data"] == {"CLUSTER_ID": "rome"}
    assert found["metadata"]["namespace"] == "liqo"
    assert found["metadata"]["labels"]["app.kubernetes.io/name"] == "clusterid-configmap"


def test_controller_is_found_as_liqoctl_looks_for_it() -> None:
    labels = controller(rendered())["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "controller-manager"
    assert labels["app.kubernetes.io/component"] == "controller-manager"


def test_controller_is_started_with_what_the_values_say() -> None:
    every = frozenset({"authentication", "networking", "offloading"})
    assert options(rendered()) == Options(cluster_id="rome", modules=every, proxy_port=8118)
    chosen = options(
        rendered(
            "authentication.enabled=false,networking.enabled=false",
            "ipam.pools={10.0.0.0/8}",
            "apiServer.address=https://1.2.3.4:6443,apiServer.trustedCA=true",
            "discovery.config.clusterLabels.region=eu",
            "offloading.defaultNodeResources.cpu=16",
            "controllerManager.config.enableResourceEnforcement=false",
            "controllerManager.config.defaultLimitsEnforcement=Hard",
            "webhook.port=9444",
        )
    )
    assert chosen.modules == {"offloading"}
    assert chosen.api_server_address == "https://1.2.3.4:6443"
    assert chosen.ipam_pools == ["10.0.0.0/8"]
    assert chosen.trusted_ca
    assert chosen.cluster_labels == {"region": "eu"}
    assert chosen.default_node_resources["cpu"] == "16"
    assert chosen.default_node_resources["memory"] == "8Gi"
    assert not chosen.enforcement
    assert chosen.default_limits_enforcement == "Hard"
    assert chosen.webhook_port == 9444
    assert options(rendered("authentication.tlsCompatibilityMode=true")).key_type == "RSA-2048"
    interval = "controllerManager.pod.extraArgs={--foreign-cluster-ping-interval=1m}"
    assert options(rendered(interval)).api_server_check_interval == 60
    never = interval.replace("1m", "0")
    assert options(rendered(never)).api_server_check_interval == 0


def test_classes_are_announced_to_consumers() -> None:
    reflection = {"service": {"loadBalancerClasses": [{"name": "metallb", "default": True}]}}
    values = resolve(
        [
            ("file", {"discovery": {"config": {"clusterID": "rome"}}}),
            ("file", {"offloading": {"reflection": reflection}}),
        ]
    )
    chosen = controller_options(values)
    assert chosen["load_balancer_classes"] == [{"loadBalancerClassName": "metallb", "default": True}]
    assert vk_options_template(values, "liqo")["spec"]["reflectorsConfig"]["service"] == {
        "workers": 3,
        "type": "DenyList",
    }


def test_a_changed_option_starts_the_controller_anew_and_only_that() -> None:
    template = controller(rendered())["spec"]["template"]
    assert controller(rendered("offloading.runtimeClass.enabled=false"))["spec"]["template"] == template
    changed = controller(rendered("authentication.defaultResourceSliceClassEnabled=false"))
    assert changed["spec"]["template"] != template


def test_controller_pod_has_no_privileges() -> None:
    spec = controller(rendered())["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert "hostNetwork" not in spec
    assert "volumes" not in spec
    assert "limits" not in container["resources"]


def test_controller_never_runs_on_a_virtual_node() -> None:
    affinity = controller(rendered())["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert {"key": "liqo.io/type", "operator": "DoesNotExist"} in term["matchExpressions"]


def test_services_and_selectors_meet_the_pod() -> None:
    manifests = rendered("webhook.port=9555")
    deployment = controller(manifests)
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    service = one(manifests, "Service", "liqo-webhook")
    assert deployment["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert ports[service["spec"]["ports"][0]["targetPort"]] == 9555
    assert ports["kubelet"] == 10250
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports


def test_more_replicas_keep_apart() -> None:
    spec = controller(rendered("controllerManager.replicas=2"))["spec"]
    assert spec["replicas"] == 2
    assert "podAntiAffinity" in spec["template"]["spec"]["affinity"]


def test_image_and_pull_settings() -> None:
    manifests = rendered(
        "controllerManager.image.name=registry.example:5000/team/isthmus,tag=v3,pullPolicy=Always"
    )
    (container,) = controller(manifests)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example:5000/team/isthmus:v3"
    assert container["imagePullPolicy"] == "Always"
    digest = "isthmus@sha256:" + "0" * 64
    (container,) = controller(rendered(f"controllerManager.image.name={digest}"))["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["image"] == digest


def test_a_controller_that_is_not_alone_knows_it() -> None:
    (alone,) = controller(rendered())["spec"]["template"]["spec"]["containers"]
    (one_of_two,) = controller(rendered("controllerManager.replicas=2"))["spec"]["template"]["spec"][
        "containers"
    ]
    options = [json.loads(each["env"][0]["value"]) for each in (alone, one_of_two)]
    assert [each.get("replicas") for each in options] == [None, 2]


def test_webhooks_ask_the_paths_the_controller_answers() -> None:
    paths = {webhook["clientConfig"]["service"]["path"] for webhook in webhooks(rendered())}
    assert paths == {
        "/mutate/pods",
        "/mutate/shadowedpods",
        "/mutate/daemonsets",
        "/mutate/shadowpods",
        "/mutate/virtualnodes",
        "/mutate/foreignclusters",
        "/mutate/tenants",
        "/mutate/firewallconfigurations",
        "/validate/shadowpods",
        "/validate/virtualnodes",
        "/validate/namespaceoffloadings",
        "/validate/tenants",
        "/validate/resourceslices",
        "/validate/firewallconfigurations",
        "/validate/routeconfigurations",
    }


def test_webhooks_leave_the_authority_to_the_controller() -> None:
    assert all("caBundle" not in webhook["clientConfig"] for webhook in webhooks(rendered()))


def test_webhooks_are_bounded_and_free_of_side_effects() -> None:
    seen = [webhook["name"] for webhook in webhooks(rendered())]
    assert len(seen) == len(set(seen))
    for webhook in webhooks(rendered()):
        # A CNI's, kube-proxy's; or what is only the smaller for it: never held up.
        optional = webhook["name"] in ("daemonsets.mutate.liqo.io", "shadowedpods.mutate.liqo.io")
        assert webhook["failurePolicy"] == ("Ignore" if optional else "Fail")
        assert webhook["sideEffects"] == "None"
        assert webhook["timeoutSeconds"] <= 5
        assert "*" not in json.dumps(webhook["rules"][0]["resources"])


def test_only_pods_of_extended_namespaces_are_asked_about() -> None:
    for webhook in webhooks(rendered()):
        if webhook["name"] == "shadowedpods.mutate.liqo.io":
            assert webhook["objectSelector"] == {"matchLabels": {"liqo.io/managed-by": "shadowpod"}}
        elif "pods" in webhook["rules"][0]["resources"]:
            assert webhook["namespaceSelector"] == {"matchLabels": {"liqo.io/scheduling-enabled": "true"}}
    namespace = one(rendered(), "Namespace", "liqo")
    assert "liqo.io/scheduling-enabled" not in namespace["metadata"]["labels"]


def test_webhooks_that_a_label_avoids() -> None:
    always = {
        webhook["rules"][0]["resources"][0]
        for webhook in webhooks(rendered())
        if "objectSelector" not in webhook
    }
    assert always == {"pods", "shadowpods", "resourceslices"}


def test_failure_policy_can_be_relaxed() -> None:
    manifests = rendered("webhook.failurePolicy=Ignore")
    assert {webhook["failurePolicy"] for webhook in webhooks(manifests)} == {"Ignore"}


def test_a_module_that_is_off_brings_nothing() -> None:
    manifests = rendered("offloading.enabled=false")
    text = json.dumps([m for m in manifests if m["kind"] != "CustomResourceDefinition"])
    assert names(manifests, "RuntimeClass") == []
    assert names(manifests, "VkOptionsTemplate") == []
    assert "WebhookConfiguration" not in text
    rules = json.dumps(one(manifests, "ClusterRole", "liqo-controller-manager")["rules"])
    assert "shadowpods" not in rules
    assert "kubelet-serving" not in rules
    without = rendered("authentication.enabled=false")
    assert "kube-apiserver-client" not in json.dumps(
        one(without, "ClusterRole", "liqo-controller-manager")["rules"]
    )
    assert not [w for w in webhooks(without) if w["rules"][0]["apiGroups"] == ["authentication.liqo.io"]]


def test_everything_can_live_in_another_namespace() -> None:
    manifests = rendered(namespace="isthmus-system")
    assert names(manifests, "Namespace") == ["isthmus-system"]
    assert {m["metadata"].get("namespace", "isthmus-system") for m in manifests} == {"isthmus-system"}
    assert {w["clientConfig"]["service"]["namespace"] for w in webhooks(manifests)} == {"isthmus-system"}
    for manifest in manifests:
        for subject in manifest.get("subjects", []):
            assert subject["namespace"] == "isthmus-system"


def test_defaults_for_virtual_nodes() -> None:
    template = one(
        rendered("offloading.reflection.skip.labels={a,b}", "virtualKubelet.virtualNode.extra.labels.x=y"),
        "VkOptionsTemplate",
        "virtual-kubelet-default",
    )
    assert template["metadata"]["namespace"] == "liqo"
    assert template["spec"]["createNode"] is True
    assert template["spec"]["labelsNotReflected"] == ["a", "b"]
    assert template["spec"]["nodeExtraLabels"] == {"x": "y"}
    assert template["spec"]["reflectorsConfig"]["pod"] == {"workers": 10}
    assert template["spec"]["reflectorsConfig"]["secret"] == {"workers": 3, "type": "DenyList"}


def test_runtime_class_leads_to_virtual_nodes() -> None:
    found = one(rendered(), "RuntimeClass", "liqo")
    assert found["scheduling"]["nodeSelector"] == {"liqo.io/type": "virtual-node"}
    assert found["scheduling"]["tolerations"] == [
        {"key": "virtual-node.liqo.io/not-allowed", "operator": "Exists", "effect": "NoExecute"}
    ]


def test_the_taint_of_virtual_nodes_has_the_chosen_effect() -> None:
    chosen = rendered("virtualKubelet.virtualNode.taintEffect=PreferNoSchedule")
    assert one(chosen, "RuntimeClass", "liqo")["scheduling"]["tolerations"] == []
    assert options(chosen).taint_effect == "PreferNoSchedule"
    assert options(rendered()).taint_effect == "NoExecute"


# What peers are allowed, to the letter of wire.md 7, and `get` of exec and attach (WebSocket):
# (group, resource) -> verbs.
WRITE = "create delete get list patch update watch"
EVERYTHING = "create delete deletecollection get list patch update watch"
CHANGE = "create delete get list update"
REMOTE_ROLES = {
    ("ClusterRole", "liqo-remote-controlplane"): {
        ("authentication.liqo.io", "renews"): EVERYTHING,
        ("authentication.liqo.io", "renews/status"): EVERYTHING,
        ("authentication.liqo.io", "resourceslices"): EVERYTHING,
        ("authentication.liqo.io", "resourceslices/status"): EVERYTHING,
        ("offloading.liqo.io", "namespacemaps"): EVERYTHING,
        ("offloading.liqo.io", "namespacemaps/status"): EVERYTHING,
    },
    ("ClusterRole", "liqo-virtual-kubelet-remote"): {
        ("", "configmaps"): WRITE,
        ("", "events"): WRITE,
        ("", "persistentvolumeclaims"): WRITE,
        ("", "secrets"): WRITE,
        ("", "services"): WRITE,
        ("networking.k8s.io", "ingresses"): WRITE,
        ("offloading.liqo.io", "shadowpods"): WRITE,
        ("offloading.liqo.io", "shadowendpointslices"): WRITE,
        ("", "pods"): "get list watch",
        ("metrics.k8s.io", "pods"): "get list watch",
        ("", "pods/log"): "get list",
        ("", "pods/exec"): "create get",
        ("", "pods/attach"): "create get",
        ("", "pods/portforward"): "create get",
    },
    ("ClusterRole", "liqo-virtual-kubelet-remote-clusterwide"): {
        ("metrics.liqo.io", "scrape/metrics"): "get list watch",
    },
    ("ClusterRole", "liqo-peering-user-tenant-ns"): {
        ("", "namespaces"): "get",
        ("", "services"): "get",
        ("", "secrets"): "create delete get list",
        ("apps", "deployments"): "get",
        ("authentication.liqo.io", "tenants"): CHANGE,
        ("ipam.liqo.io", "ips"): "create delete get update",
        ("networking.liqo.io", "configurations"): CHANGE,
        ("networking.liqo.io", "gatewayclients"): CHANGE,
        ("networking.liqo.io", "gatewayservers"): CHANGE,
        ("networking.liqo.io", "publickeies"): CHANGE,
        ("networking.liqo.io", "connections"): "get list",
        ("networking.liqo.io", "gatewayclients/status"): "get",
        ("networking.liqo.io", "gatewayservers/status"): "get",
    },
    ("Role", "liqo-peering-user-liqo-ns"): {
        ("", "configmaps"): "get list watch",
        ("ipam.liqo.io", "ips"): "get",
        ("ipam.liqo.io", "networks"): "get list",
        ("networking.liqo.io", "wggatewayclienttemplates"): "get list",
        ("networking.liqo.io", "wggatewayservertemplates"): "get list",
    },
}


def granted(rules: list[Manifest]) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                assert (group, resource) not in found
                found[group, resource] = " ".join(sorted(rule["verbs"]))
    return found


@pytest.mark.parametrize(("kind", "name"), REMOTE_ROLES)
def test_peers_get_exactly_what_the_protocol_says(kind: str, name: str) -> None:
    found = one(rendered(), kind, name)
    assert granted(found["rules"]) == REMOTE_ROLES[kind, name]
    assert not any("resourceNames" in rule for rule in found["rules"])


def test_peers_find_the_roles_by_their_labels() -> None:
    manifests = rendered()
    for name in ("remote-controlplane", "virtual-kubelet-remote-clusterwide"):
        labelled = [
            m["metadata"]["name"]
            for m in manifests
            if m["kind"] == "ClusterRole" and m["metadata"]["labels"].get("app.kubernetes.io/name") == name
        ]
        assert labelled == [f"liqo-{name}"]
    peering_user = [
        (m["kind"], m["metadata"]["name"])
        for m in manifests
        if m["metadata"]["labels"].get("app.kubernetes.io/component") == "peering-user"
    ]
    assert sorted(peering_user) == [
        ("ClusterRole", "liqo-peering-user-tenant-ns"),
        ("Role", "liqo-peering-user-liqo-ns"),
    ]


def test_controller_cannot_give_itself_more() -> None:
    manifests = rendered()
    for kind in ("ClusterRole", "Role"):
        for rule in one(manifests, kind, "liqo-controller-manager")["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            assert "escalate" not in rule["verbs"]
            assert "impersonate" not in rule["verbs"]
            if "bind" in rule["verbs"]:
                assert set(rule["resourceNames"]) <= {
                    "liqo-gateway",
                    "liqo-gateway-cluster",
                    "liqo-remote-controlplane",
                    "liqo-virtual-kubelet-remote",
                    "liqo-virtual-kubelet-remote-clusterwide",
                }
            if "approve" in rule["verbs"]:
                assert rule["resourceNames"]


def test_pruning_can_select_what_was_applied() -> None:
    wanted = dict(part.split("=") for part in OWN_SELECTOR.split(","))
    assert all(wanted.items() <= m["metadata"]["labels"].items() for m in rendered())


RULES = st.lists(
    st.fixed_dictionaries(
        {
            "apiGroups": st.lists(st.sampled_from(["", "apps"]), min_size=1, unique=True),
            "resources": st.lists(st.sampled_from(["pods", "secrets", "nodes"]), min_size=1, unique=True),
            "verbs": st.lists(st.sampled_from(["get", "list", "patch"]), min_size=1, unique=True),
        },
        optional={"resourceNames": st.lists(st.sampled_from(["a", "b"]), min_size=1, unique=True)},
    ),
    max_size=8,
)


def permissions(rules: list[Any]) -> set[tuple[str, str, str, str]]:
    """Every single permission; the name "" stands for any object, and makes the same on a name needless."""
    found = {
        (group, resource, verb, name)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", [""])
    }
    return {p for p in found if p[3] == "" or (*p[:3], "") not in found}


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a busy machine is no failure
@given(RULES)
def test_merging_rules_changes_no_permission(rules: list[Any]) -> None:
    assert permissions(merged_rules(rules)) == permissions(rules)


def test_proxy_is_found_by_its_label_and_served_by_the_controller_that_is_ready() -> None:
    manifests = rendered()
    service = one(manifests, "Service", "liqo-proxy")
    assert service["metadata"]["labels"]["app.kubernetes.io/name"] == "proxy"
    (port,) = service["spec"]["ports"]
    assert port["port"] == 8118
    pod = controller(manifests)["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    (container,) = pod["spec"]["containers"]
    assert {p["name"]: p["containerPort"] for p in container["ports"]}[port["targetPort"]] == 8118
    assert options(manifests).proxy_port == 8118


def test_proxy_that_is_switched_off_leaves_nothing() -> None:
    manifests = rendered("proxy.enabled=false")
    assert "liqo-proxy" not in names(manifests, "Service")
    assert options(manifests).proxy_port == 0


@pytest.mark.parametrize("text", ["proxy.config.listeningPort=9443", "proxy.service.type=ExternalName"])
def test_unusable_value_of_the_proxy_is_refused_by_name(text: str) -> None:
    with pytest.raises(InstallError, match=text.partition("=")[0]):
        rendered(text)


def test_peers_pods_can_be_led_to_the_api_servers_own_addresses() -> None:
    chosen = rendered("networking.apiServerAccessThroughEndpointSlices=true")
    assert options(chosen).api_server_through_endpoint_slices
    assert not options(rendered()).api_server_through_endpoint_slices
