"""Which namespaces a command is about: those named, or those a label selector finds, checked before any is touched."""

from __future__ import annotations

from isthmus.api import labels, names
from isthmus.cli.cluster import Cluster, explained
from isthmus.cli.errors import CommandError
from isthmus.kube.builtin import NAMESPACES
from isthmus.kube.objects import Object


def reserved_reason(name: str, marked: dict[str, str], liqo_namespace: str) -> str:
    """Why a namespace is never offloaded; "" where it may be."""
    if name.startswith("kube-"):
        return "it belongs to Kubernetes"
    if name in (liqo_namespace, "liqo-storage"):
        return "Isthmus itself lives there"
    if labels.TENANT_NAMESPACE in marked or name.startswith(names.tenant_namespace("")):
        return "it is the tenant namespace of a peering"
    return ""


async def pick_namespaces(
    cluster: Cluster, named: tuple[str, ...], selector: str, *, offloadable: bool
) -> list[str]:
    """The namespaces named or selected, each once. Raises CommandError where one is missing or reserved."""
    if bool(named) == bool(selector):
        raise CommandError(
            "give the names of namespaces, or --ns-selector" + (", not both" if named else ""), code=2
        )
    for name in named:
        if not names.is_dns_label(name):
            raise CommandError(
                f'"{name}" cannot be the name of a namespace: it is not a valid DNS label', code=2
            )
    if selector:
        return await _select(cluster, selector, offloadable)
    picked: dict[str, None] = {}
    for name in named:
        with explained(cluster, f'reading namespace "{name}"'):
            found = await cluster.client.find(NAMESPACES, name)
        if found is None:
            raise CommandError(
                f'namespace "{name}" does not exist in {cluster.title}', f"kubectl create namespace {name}"
            )
        _check(found, cluster, offloadable)
        picked[name] = None
    return list(picked)


async def _select(cluster: Cluster, selector: str, offloadable: bool) -> list[str]:
    with explained(cluster, f'listing namespaces by --ns-selector "{selector}"'):
        found = (await cluster.client.list(NAMESPACES, label_selector=selector)).items
    if not found:
        raise CommandError(f'--ns-selector "{selector}": no namespace of {cluster.title} has such labels')
    for each in found:
        _check(each, cluster, offloadable)
    return [each.metadata.name for each in found]


def _check(found: Object, cluster: Cluster, offloadable: bool) -> None:
    if not offloadable:
        return
    name = found.metadata.name
    reason = reserved_reason(name, found.metadata.labels, cluster.namespace)
    if reason:
        raise CommandError(f'namespace "{name}" cannot be offloaded', reason)
    if found.deleting:
        raise CommandError(f'namespace "{name}" is being deleted', "create it anew once it is gone")
