"""What a consumer's pod may ask of the machines it runs on: pure rulings over a PodSpec.

A pod that reaches into its node owns that node, and with it much of the cluster. What a consumer of stock Liqo never
sends, for its virtual kubelet drops or resets it, is refused always. What only somebody whom the provider trusts with
its nodes may have is refused unless the installation says otherwise (value `offloading.privilegedPods`): about what
Kubernetes' Pod Security Standard `baseline` refuses, but for capabilities that end at the pod's own namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Raw, field

from isthmus.kube.objects import Base

CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
        # Beyond the standard: service meshes, VPNs, databases and debuggers use them within their own pod.
        *("IPC_LOCK", "NET_ADMIN", "NET_RAW", "SYS_NICE", "SYS_PTRACE"),
    }
)
"""The capabilities a container may add."""

LONGEST_GRACE = 7 * 24 * 3600
"""Seconds a pod may take to end: as long it stays, though its consumer may be gone."""

_SWITCH = "; the provider's value offloading.privilegedPods allows it"


class _Capabilities(Base, frozen=True, kw_only=True):
    add: list[str] | None = None


class _Windows(Base, frozen=True, kw_only=True):
    host_process: bool | None = None


class _Security(Base, frozen=True, kw_only=True):
    """Of a container; the pod's own has only the last one."""

    privileged: bool | None = None
    proc_mount: str = ""
    capabilities: _Capabilities | None = None
    windows_options: _Windows | None = None


class _Port(Base, frozen=True, kw_only=True):
    host_port: int = 0


class Container(Base, frozen=True, kw_only=True):
    """What of a container may concern its node."""

    name: str = ""
    security_context: _Security | None = None
    ports: list[_Port] | None = None


class _Volume(Base, frozen=True, kw_only=True):
    name: str = ""
    host_path: dict[str, Any] | None = None


class HostFields(Base, frozen=True, kw_only=True):
    """The fields of a PodSpec that are the provider's to decide on."""

    host_network: bool | None = None
    host_pid: bool | None = field(default=None, name="hostPID")
    host_ipc: bool | None = field(default=None, name="hostIPC")
    node_name: str = ""
    priority_class_name: str = ""
    termination_grace_period_seconds: int | None = None
    security_context: _Security | None = None
    volumes: list[_Volume] | None = None
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    ephemeral_containers: list[Container] | None = None


def pod_problem(spec: Raw, *, privileged: bool) -> str:
    """Why a pod asks for more of the provider than a consumer may have, "" where it does not.

    `privileged`: whether the provider lets consumers into its nodes. Raises msgspec.DecodeError on a malformed spec.
    """
    pod = msgspec.json.decode(spec, type=HostFields)
    problem = _scheduling_problem(pod)
    if problem or privileged:
        return problem
    return _node_problem(pod)


def containers_problem(containers: Iterable[Container], *, privileged: bool) -> str:
    """The same of single containers, which may be added to a pod that runs."""
    if privileged:
        return ""
    return next((problem for one in containers if (problem := _container_problem(one))), "")


def _scheduling_problem(pod: HostFields) -> str:
    """What no consumer that behaves ever sends."""
    for name, value in (
        ("hostNetwork", pod.host_network),
        ("hostPID", pod.host_pid),
        ("hostIPC", pod.host_ipc),
    ):
        if value:
            return f"{name} is not allowed for offloaded pods"
    if pod.node_name:
        return "nodeName is not allowed for offloaded pods: the provider's scheduler chooses the node"
    if pod.priority_class_name:
        return (
            f"priorityClassName {pod.priority_class_name[:64]} is not allowed for offloaded pods: "
            "which pods go first is the provider's to say"
        )
    grace = pod.termination_grace_period_seconds
    if grace is not None and grace > LONGEST_GRACE:
        return f"terminationGracePeriodSeconds {grace} is over {LONGEST_GRACE}, the most for offloaded pods"
    return ""


def _node_problem(pod: HostFields) -> str:
    for volume in pod.volumes or []:
        if volume.host_path is not None:
            return f"volume {volume.name[:64]}: hostPath is not allowed for offloaded pods{_SWITCH}"
    if _is_host_process(pod.security_context):
        return f"hostProcess is not allowed for offloaded pods{_SWITCH}"
    for kind in (pod.init_containers, pod.containers, pod.ephemeral_containers):
        if problem := containers_problem(kind or [], privileged=False):
            return problem
    return ""


def _container_problem(container: Container) -> str:
    if any(port.host_port for port in container.ports or []):
        what = "hostPort"
    else:
        what = _security_problem(container.security_context)
    return (
        f"container {container.name[:64]}: {what} is not allowed for offloaded pods{_SWITCH}" if what else ""
    )


def _security_problem(security: _Security | None) -> str:
    if security is None:
        return ""
    if security.privileged:
        return "privileged"
    if _is_host_process(security):
        return "hostProcess"
    if security.proc_mount not in ("", "Default"):
        return f"procMount {security.proc_mount[:64]}"
    added = security.capabilities.add if security.capabilities else None
    beyond = sorted({_capability(each) for each in added or []} - CAPABILITIES)
    return f"capability {beyond[0][:64]}" if beyond else ""


def _capability(name: str) -> str:
    """A capability as container runtimes read it: they take it in any case, with its prefix or without."""
    return name.upper().removeprefix("CAP_")


def _is_host_process(security: _Security | None) -> bool:
    return bool(security and security.windows_options and security.windows_options.host_process)
