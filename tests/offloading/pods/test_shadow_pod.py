"""The ShadowPod of a local pod: what the provider is given to run, and what stays here."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.offloading import OffloadingPatch
from isthmus.kube.builtin import Pod
from isthmus.offloading.inplace import REVISION, first_revision
from isthmus.offloading.pods.affinity import InvalidPodError
from isthmus.offloading.pods.api_server import HomeApiServer
from isthmus.offloading.pods.metadata import POD_NAMESPACE, POD_UID, Identity
from isthmus.offloading.pods.spec import Terms, forge_pod_spec, forge_shadow_pod

IDENTITY = Identity("rome", "milan", "milan-a")
TERMS = Terms(IDENTITY, OffloadingPatch())
HOME = Terms(IDENTITY, OffloadingPatch(), HomeApiServer(("10.70.0.7",), 6443))

SPEC: dict[str, Any] = {
    "nodeName": "milan-a",
    "nodeSelector": {"liqo.io/type": "virtual-node"},
    "affinity": {
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "z"}]}
    },
    "schedulerName": "default-scheduler",
    "priority": 7,
    "priorityClassName": "high",
    "preemptionPolicy": "Never",
    "overhead": {"cpu": "1"},
    "serviceAccount": "web",
    "serviceAccountName": "web",
    "hostNetwork": True,
    "hostPID": True,
    "restartPolicy": "OnFailure",
    "terminationGracePeriodSeconds": 3,
    "aFieldOfTomorrow": {"kept": True},
    "tolerations": [
        {"key": "virtual-node.liqo.io/not-allowed", "operator": "Exists"},
        {"key": "gpu", "operator": "Exists"},
    ],
    "containers": [
        {
            "name": "main",
            "image": "nginx",
            "ports": [{"containerPort": 80, "hostPort": 80}],
            "env": [
                {"name": "SA", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
        }
    ],
    "volumes": [
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "ca", "configMap": {"name": "kube-root-ca.crt"}},
        {
            "name": "kube-api-access-x",
            "projected": {
                "defaultMode": 420,
                "sources": [
                    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                    {
                        "configMap": {
                            "name": "kube-root-ca.crt",
                            "items": [{"key": "ca.crt", "path": "ca.crt"}],
                        }
                    },
                ],
            },
        },
    ],
}


def make_pod(
    spec: dict[str, Any] | None = None, labels: dict[str, str] | None = None, **annotations: str
) -> Pod:
    metadata = {
        "name": "web-0",
        "namespace": "demo",
        "uid": "uid-1",
        "labels": {"app": "web", "liqo.io/shadowPod": "true"} if labels is None else labels,
        "annotations": {key.replace("__", "/").replace("_", "-"): v for key, v in annotations.items()},
    }
    return msgspec.convert(
        {"metadata": metadata, "spec": msgspec.Raw(msgspec.json.encode(spec or SPEC))}, Pod
    )


def with_annotations(annotations: dict[str, str]) -> Pod:
    pod = make_pod()
    return msgspec.structs.replace(
        pod, metadata=msgspec.structs.replace(pod.metadata, annotations=annotations)
    )


def forged(spec: dict[str, Any] | None = None, terms: Terms = TERMS, **annotations: str) -> dict[str, Any]:
    return forge_shadow_pod(make_pod(spec, None, **annotations), "demo-rome", terms)["spec"]["pod"]  # type: ignore[no-any-return]


def test_it_is_named_and_marked_for_the_twin_namespace() -> None:
    metadata = forge_shadow_pod(make_pod(example__note="x"), "demo-rome", TERMS)["metadata"]
    assert metadata == {
        "name": "web-0",
        "namespace": "demo-rome",
        "labels": {
            "app": "web",
            "offloading.liqo.io/origin": "rome",
            "offloading.liqo.io/destination": "milan",
            "offloading.liqo.io/nodename": "milan-a",
        },
        "annotations": {
            "example/note": "x",
            POD_UID: "uid-1",
            REVISION: first_revision(make_pod().spec),
        },
    }


def test_keys_the_user_keeps_back_stay() -> None:
    identity = Identity("rome", "milan", "milan-a", frozenset({"app"}), frozenset({"example/note"}))
    metadata = forge_shadow_pod(make_pod(example__note="x"), "demo-rome", Terms(identity, OffloadingPatch()))[
        "metadata"
    ]
    assert "app" not in metadata["labels"]
    assert set(metadata["annotations"]) == {POD_UID, REVISION}


def test_what_names_this_cluster_stays_here() -> None:
    spec = forged()
    for field in (
        "nodeName",
        "nodeSelector",
        "affinity",
        "schedulerName",
        "priority",
        "priorityClassName",
        "preemptionPolicy",
        "overhead",
        "serviceAccount",
        "serviceAccountName",
    ):
        assert field not in spec


def test_the_providers_machines_are_out_of_reach() -> None:
    spec = forged()
    assert (spec["hostNetwork"], spec["hostIPC"], spec["hostPID"]) == (False, False, False)
    assert spec["automountServiceAccountToken"] is False
    assert spec["containers"][0]["ports"] == [{"containerPort": 80}]


def test_a_host_port_asked_for_without_the_hosts_network_stays() -> None:
    container = {"name": "main", "ports": [{"containerPort": 80, "hostPort": 8080}]}
    assert forged({"containers": [container]})["containers"][0]["ports"][0]["hostPort"] == 8080


def test_everything_else_is_copied_also_what_we_do_not_know() -> None:
    spec = forged()
    assert spec["aFieldOfTomorrow"] == {"kept": True}
    assert spec["restartPolicy"] == "OnFailure"
    assert spec["terminationGracePeriodSeconds"] == 3
    assert spec["volumes"][0] == SPEC["volumes"][0]


def test_only_the_virtual_nodes_toleration_is_dropped() -> None:
    assert forged()["tolerations"] == [{"key": "gpu", "operator": "Exists"}]


def test_tokens_become_a_secret_and_the_root_ca_is_renamed() -> None:
    volumes = forged()["volumes"]
    assert volumes[1]["configMap"]["name"] == "kube-root-ca.crt.rome"
    sources = volumes[2]["projected"]["sources"]
    key = "kube-api-access-x-3c469e"  # 3c469e…: sha256 of "token"
    assert sources[0] == {"secret": {"name": "web-0-token", "items": [{"key": key, "path": "token"}]}}
    assert sources[1]["configMap"]["name"] == "kube-root-ca.crt.rome"
    assert volumes[2]["projected"]["defaultMode"] == 420


def test_the_service_accounts_name_is_written_out() -> None:
    environment = forged()["containers"][0]["env"]
    assert environment[0] == {"name": "SA", "value": "web"}
    assert environment[1] == SPEC["containers"][0]["env"][1]


TOLD = [
    {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
    {"name": "ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
]
ITEMS = [
    {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
    {"path": "uid", "fieldRef": {"fieldPath": "metadata.uid"}},
    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
    {"path": "cpu", "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"}},
]
TELLING = {
    "containers": [{"name": "main", "env": TOLD}],
    "volumes": [
        {"name": "info", "downwardAPI": {"items": ITEMS}},
        {"name": "all", "projected": {"sources": [{"downwardAPI": {"items": ITEMS}}]}},
    ],
}


def test_the_downward_api_tells_the_namespace_and_the_uid_of_home() -> None:
    # What a pod owns by its UID, and the leases it asks for in its namespace, are objects of the home API server.
    spec = forged(TELLING)
    assert spec["containers"][0]["env"] == [
        {"name": "NAMESPACE", "value": "demo"},
        {"name": "ID", "value": "uid-1"},
    ]
    fields = [item["fieldRef"]["fieldPath"] for item in spec["volumes"][0]["downwardAPI"]["items"][:3]]
    assert fields == [
        f"metadata.annotations['{POD_NAMESPACE}']",
        f"metadata.annotations['{POD_UID}']",
        "metadata.labels",
    ]
    assert spec["volumes"][0]["downwardAPI"]["items"][3] == ITEMS[3]
    assert spec["volumes"][1]["projected"]["sources"] == [{"downwardAPI": spec["volumes"][0]["downwardAPI"]}]


def test_the_namespace_beside_a_token_comes_with_the_token() -> None:
    token = {"serviceAccountToken": {"path": "token"}}
    spec = forged(
        {
            "volumes": [
                {"name": "all", "projected": {"sources": [token, {"downwardAPI": {"items": ITEMS[:2]}}]}}
            ]
        }
    )
    _, namespace, rest = spec["volumes"][0]["projected"]["sources"]
    assert namespace == {
        "secret": {"name": "web-0-token", "items": [{"key": "namespace", "path": "namespace"}]}
    }
    assert [item["path"] for item in rest["downwardAPI"]["items"]] == ["uid"]


def test_only_a_pod_whose_volumes_tell_its_namespace_carries_it() -> None:
    telling = forge_shadow_pod(make_pod(spec={**SPEC, **TELLING}), "demo-rome", TERMS)
    assert telling["metadata"]["annotations"][POD_NAMESPACE] == "demo"
    assert POD_NAMESPACE not in forge_shadow_pod(make_pod(), "demo-rome", TERMS)["metadata"]["annotations"]


@pytest.mark.parametrize(
    "annotations", [{"isthmus.liqo.io/downward-api": "remote"}, {"liqo.io/api-server-support": "remote"}]
)
def test_the_downward_api_can_tell_of_the_pod_at_the_provider(annotations: dict[str, str]) -> None:
    pod = with_annotations(annotations)
    spec = forge_pod_spec({**SPEC, **TELLING}, pod, HOME)
    assert [variable for variable in spec["containers"][0]["env"] if variable in TOLD] == TOLD
    assert spec["volumes"] == TELLING["volumes"]


def test_without_networking_nothing_points_at_the_home_api_server() -> None:
    spec = forged()
    assert "hostAliases" not in spec
    assert not any(e["name"].startswith("KUBERNETES_") for e in spec["containers"][0]["env"])


def test_with_an_address_the_home_api_server_is_named() -> None:
    container = {"name": "main", "env": [{"name": "KUBERNETES_SERVICE_PORT", "value": "1"}]}
    spec = forged({"containers": [container], "initContainers": [{"name": "init"}]}, HOME)
    assert spec["hostAliases"] == [
        {"ip": "10.70.0.7", "hostnames": ["kubernetes.default", "kubernetes.default.svc"]}
    ]
    by_name = {e["name"]: e["value"] for e in spec["initContainers"][0]["env"]}
    assert by_name["KUBERNETES_SERVICE_HOST"] == "kubernetes.default"
    assert by_name["KUBERNETES_SERVICE_PORT"] == "6443"
    assert by_name["KUBERNETES_PORT_6443_TCP"] == "tcp://kubernetes.default:6443"
    main = [(e["name"], e["value"]) for e in spec["containers"][0]["env"]]
    assert main[-1] == ("KUBERNETES_SERVICE_PORT", "1"), (
        "the kubelet expands $(NAME) by what stands before it"
    )
    assert main.count(("KUBERNETES_SERVICE_PORT", "1")) == 1
    assert ("KUBERNETES_SERVICE_PORT", "6443") not in main


def test_remote_api_support_uses_the_providers_own_tokens() -> None:
    pod = with_annotations(
        {"liqo.io/api-server-support": "remote", "liqo.io/remote-service-account-name": "reader"}
    )
    remote = forge_pod_spec(copy.deepcopy(SPEC), pod, HOME)
    assert remote["serviceAccountName"] == "reader"
    assert remote["volumes"] == SPEC["volumes"]
    assert "hostAliases" not in remote
    assert remote["containers"][0]["env"] == SPEC["containers"][0]["env"]


def test_disabled_api_support_gives_no_token() -> None:
    pod = with_annotations({"liqo.io/api-server-support": "disabled"})
    spec = forge_pod_spec(SPEC, pod, HOME)
    sources = spec["volumes"][2]["projected"]["sources"]
    assert [list(source) for source in sources] == [["configMap"]]
    assert "hostAliases" not in spec
    only_token = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
    assert forge_pod_spec({"volumes": [only_token]}, pod, HOME)["volumes"] == [{"name": "t", "emptyDir": {}}]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [("liqo.io/api-server-support", "yes"), ("liqo.io/anti-affinity-preset", "strict")],
)
def test_a_wrong_annotation_is_named(annotation: str, value: str) -> None:
    with pytest.raises(InvalidPodError, match=f"{annotation}='{value}'"):
        forge_shadow_pod(with_annotations({annotation: value}), "demo-rome", TERMS)


def test_the_offloading_patch_places_the_pod() -> None:
    patch = OffloadingPatch(
        node_selector={"zone": "a"},
        tolerations=[{"key": "gpu", "operator": "Exists"}, {"key": "spot", "operator": "Exists"}],
        affinity={
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
        },
        runtime_class_name="gvisor",
    )
    spec = forged(None, Terms(IDENTITY, patch))
    assert spec["nodeSelector"] == {"zone": "a"}
    assert [t["key"] for t in spec["tolerations"]] == ["gpu", "spot"]
    assert spec["affinity"] == patch.affinity
    assert spec["runtimeClassName"] == "gvisor"


@pytest.mark.parametrize(
    ("annotation", "own", "patch", "expected"),
    [
        ("kata", "own", "patch", "kata"),
        ("", "own", "patch", "own"),
        ("", "liqo", "patch", "patch"),
        ("", "liqo", None, None),
        ("", None, None, None),
    ],
)
def test_runtime_class_precedence(
    annotation: str, own: str | None, patch: str | None, expected: str | None
) -> None:
    pod = with_annotations({"liqo.io/remote-runtime-class-name": annotation})
    terms = Terms(IDENTITY, OffloadingPatch(runtime_class_name=patch))
    assert forge_pod_spec({"runtimeClassName": own}, pod, terms).get("runtimeClassName") == expected


def test_the_runtime_class_for_virtual_nodes_stays_here_whatever_its_name() -> None:
    terms = Terms(IDENTITY, OffloadingPatch(), runtime_class="edge")
    assert "runtimeClassName" not in forge_pod_spec({"runtimeClassName": "edge"}, make_pod(), terms)
    assert forge_pod_spec({"runtimeClassName": "liqo"}, make_pod(), terms)["runtimeClassName"] == "liqo"


def anti_affinity(annotations: dict[str, str]) -> dict[str, Any]:
    pod = with_annotations(annotations)
    labels = {"app": "web", "tier": "front", "pod-template-hash": "abc"}
    pod = msgspec.structs.replace(pod, metadata=msgspec.structs.replace(pod.metadata, labels=labels))
    return forge_pod_spec(SPEC, pod, TERMS).get("affinity", {}).get("podAntiAffinity", {})  # type: ignore[no-any-return]


def test_anti_affinity_presets() -> None:
    assert anti_affinity({"liqo.io/anti-affinity-preset": "propagate"}) == SPEC["affinity"]["podAntiAffinity"]
    hard = anti_affinity({"liqo.io/anti-affinity-preset": "hard"})
    (term,) = hard["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term == {
        "labelSelector": {"matchLabels": {"app": "web", "tier": "front"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    soft = anti_affinity(
        {"liqo.io/anti-affinity-preset": "soft", "liqo.io/anti-affinity-labels": "tier, none"}
    )
    (preferred,) = soft["preferredDuringSchedulingIgnoredDuringExecution"]
    assert preferred["weight"] == 1
    assert preferred["podAffinityTerm"]["labelSelector"]["matchLabels"] == {"tier": "front"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=3).map(lambda t: "x" + t), json_values, max_size=5))
def test_unknown_fields_are_never_lost_and_the_input_is_left_alone(extra: dict[str, Any]) -> None:
    spec = {**SPEC, **extra}
    before = copy.deepcopy(spec)
    out = forge_pod_spec(spec, make_pod(), HOME)
    assert spec == before
    assert {key: out[key] for key in extra} == extra
