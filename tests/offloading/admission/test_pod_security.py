"""What a consumer's pod may ask of the provider's machines."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from isthmus.offloading.admission.pod_security import (
    LONGEST_GRACE,
    Container,
    containers_problem,
    pod_problem,
)


def problem(spec: dict[str, Any], *, privileged: bool = False) -> str:
    return pod_problem(Raw(msgspec.json.encode(spec)), privileged=privileged)


def container(**fields: Any) -> dict[str, Any]:
    return {"name": "c", "image": "a", **fields}


def secured(**security: Any) -> dict[str, Any]:
    return container(securityContext=security)


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"hostPID": True}, "hostPID"),
        ({"hostIPC": True}, "hostIPC"),
        ({"nodeName": "cp"}, "nodeName"),
        ({"priorityClassName": "system-node-critical"}, "system-node-critical"),
        ({"priorityClassName": "the-providers-own"}, "the-providers-own"),
        ({"terminationGracePeriodSeconds": LONGEST_GRACE + 1}, "terminationGracePeriodSeconds"),
    ],
)
def test_what_no_consumer_sends_is_refused_whatever_is_allowed(spec: dict[str, Any], part: str) -> None:
    for privileged in (False, True):
        assert part in problem(spec, privileged=privileged)


@pytest.mark.parametrize("kind", ["containers", "initContainers", "ephemeralContainers"])
@pytest.mark.parametrize(
    ("bad", "part"),
    [
        (secured(privileged=True), "privileged"),
        (secured(procMount="Unmasked"), "procMount Unmasked"),
        (secured(windowsOptions={"hostProcess": True}), "hostProcess"),
        (secured(capabilities={"add": ["CHOWN", "SYS_ADMIN"]}), "capability SYS_ADMIN"),
        (secured(capabilities={"add": ["cap_sys_module"]}), "capability SYS_MODULE"),
        (secured(capabilities={"add": ["all"]}), "capability ALL"),
        (container(ports=[{"containerPort": 80}, {"containerPort": 80, "hostPort": 6443}]), "hostPort"),
    ],
)
def test_what_reaches_into_the_node_is_refused_unless_allowed(
    bad: dict[str, Any], part: str, kind: str
) -> None:
    spec = {"containers": [container()], kind: [container(), bad]}
    assert f"container c: {part} is not allowed for offloaded pods" in problem(spec)
    assert "offloading.privilegedPods" in problem(spec)
    assert not problem(spec, privileged=True)


def test_volumes_of_the_node_and_pods_that_are_host_processes() -> None:
    host = {"volumes": [{"name": "v", "emptyDir": {}}, {"name": "root", "hostPath": {"path": "/"}}]}
    assert "volume root: hostPath is not allowed" in problem(host)
    assert "hostProcess" in problem({"securityContext": {"windowsOptions": {"hostProcess": True}}})
    assert not problem(host, privileged=True)


def test_ordinary_pods_pass() -> None:
    ordinary = {
        "hostNetwork": False,
        "hostPID": False,
        "priorityClassName": "",
        "terminationGracePeriodSeconds": 3600,
        "securityContext": {"runAsUser": 1, "fsGroup": 2, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [
            {"name": "a", "emptyDir": {}},
            {"name": "b", "persistentVolumeClaim": {"claimName": "x"}},
            {"name": "c", "secret": {"secretName": "x"}},
            {"name": "d", "projected": {"sources": []}},
        ],
        "initContainers": [secured(capabilities={"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]})],
        "containers": [
            secured(privileged=False, allowPrivilegeEscalation=True, capabilities={"drop": ["ALL"]}),
            container(ports=[{"containerPort": 80, "hostPort": 0}]),
        ],
    }
    assert problem(ordinary) == ""
    for empty in ({}, {"containers": None, "volumes": None}, {"containers": [secured(capabilities=None)]}):
        assert problem(empty) == ""


def test_what_is_added_to_a_running_pod_is_judged_alike() -> None:
    bad = msgspec.convert([secured(privileged=True)], list[Container])
    assert "privileged" in containers_problem(bad, privileged=False)
    assert not containers_problem(bad, privileged=True)


def test_a_malformed_spec_cannot_be_read() -> None:
    with pytest.raises(msgspec.DecodeError):
        problem({"containers": [secured(privileged="yes")]})
