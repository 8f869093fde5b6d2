"""What is in a cluster already: whether it answers, and whose installation it holds. Reads only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from isthmus.api import labels, names
from isthmus.install.errors import InstallError
from isthmus.install.ownership import is_own
from isthmus.install.render import RECORD
from isthmus.install.values import Tree
from isthmus.kube.builtin import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, ConfigMap
from isthmus.kube.client import Client

_CONTROLLER_SELECTOR = f"{labels.APP_NAME}=controller-manager,{labels.APP_COMPONENT}=controller-manager"
_CLUSTER_ID_SELECTOR = f"{labels.APP_NAME}=clusterid-configmap"


@dataclass(frozen=True, slots=True)
class Survey:
    """An existing installation; `cluster_id` is "" where there is none, `values` and `version` as recorded."""

    kubernetes: str
    cluster_id: str = ""
    version: str = ""
    values: Tree = field(default_factory=dict)


async def survey(client: Client, namespace: str) -> Survey:
    """Look at a cluster before anything is changed.

    Raises InstallError where another installation, or a stock Liqo, is in the way.
    """
    kubernetes = await client.version()
    space = await client.find(NAMESPACES.partial(), namespace)
    if space is not None and space.deleting:
        raise InstallError(
            f'namespace "{namespace}" is being deleted', "wait until it is gone, then run this again"
        )
    await refuse_foreign(client, namespace)
    found = await client.list(CONFIG_MAPS, namespace, label_selector=_CLUSTER_ID_SELECTOR)
    record = await client.find(CONFIG_MAPS, RECORD, namespace)
    cluster_id = found.items[0].data.get(names.CLUSTER_ID_KEY, "") if found.items else ""
    if record is None:
        return Survey(kubernetes, cluster_id)
    return Survey(kubernetes, cluster_id, record.data.get("version", ""), _recorded(record))


async def refuse_foreign(client: Client, namespace: str) -> None:
    """Raise InstallError where there is an installation in another namespace, or one of somebody else."""
    found = await client.list(DEPLOYMENTS.partial(), label_selector=_CONTROLLER_SELECTOR)
    for deployment in found.items:
        if not is_own(deployment.metadata.labels):
            manager = deployment.metadata.labels.get(labels.APP_MANAGED_BY, "somebody else")
            raise InstallError(
                f"Deployment {deployment.key} was installed by {manager}",
                "remove that installation first (for stock Liqo: liqoctl uninstall)",
            )
        if deployment.metadata.namespace != namespace:
            there = deployment.metadata.namespace
            raise InstallError(
                f'there is an installation in namespace "{there}" (Deployment {deployment.key})',
                f"a cluster holds one: add --namespace {there}, or uninstall that one first",
            )


def _recorded(record: ConfigMap) -> Tree:
    import yaml

    try:
        values = yaml.safe_load(record.data.get("values", ""))
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def changes(before: Tree, after: Tree, prefix: str = "") -> list[tuple[str, Any, Any]]:
    """The dotted names of values that were there before and differ now, with what they were and what they are."""
    found: list[tuple[str, Any, Any]] = []
    for key in before:
        old, new = before.get(key), after.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += changes(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append((f"{prefix}{key}", old, new))
    return sorted(found, key=lambda change: change[0])
