"""Names of a cluster's objects for a shell to complete: cluster ids, namespaces, contexts of the kubeconfig.

Whoever presses TAB waits, so a cluster that does not answer soon has no names; nothing is ever said about it.
"""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from isthmus.kube.client import Client
from isthmus.kube.credentials import load_kubeconfig
from isthmus.kube.errors import KubeError
from isthmus.kube.resource import Resource

PATIENCE = 2.0
"""Seconds."""


def complete_cluster_ids(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """The ids of the clusters that the local one knows."""
    from isthmus.api.core import FOREIGN_CLUSTERS

    return _names(context, FOREIGN_CLUSTERS, incomplete)


def complete_namespaces(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    """The namespaces of the local cluster."""
    from isthmus.kube.builtin import NAMESPACES

    return _names(context, NAMESPACES, incomplete)


def _names(context: click.Context, resource: Resource[Any], incomplete: str) -> list[CompletionItem[str]]:
    from isthmus.cli.execution import run

    try:
        found = run(_read(context.params, resource))
    except (KubeError, OSError, ValueError):
        return []
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


async def _read(params: dict[str, Any], resource: Resource[Any]) -> list[str]:
    chosen = {name: params.get(name) or "" for name in ("context", "cluster", "user")}
    credentials = load_kubeconfig(params.get("kubeconfig") or None, **chosen)
    async with Client(credentials, user_agent="isthmus-cli", timeout=PATIENCE, attempts=1) as client:
        return [each.metadata.name for each in (await client.list(resource.partial())).items]
