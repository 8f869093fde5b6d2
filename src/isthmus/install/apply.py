"""Bringing a cluster to what was rendered: server-side apply in order, then removal of what is no longer wanted."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import field

from isthmus.install.errors import listed
from isthmus.install.ownership import FIELD_MANAGER, OWN_SELECTOR
from isthmus.install.progress import Step
from isthmus.install.served import prunable_resources, resource_of
from isthmus.install.waiting import Deadline, wait_until
from isthmus.kube.builtin import CRDS, MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS
from isthmus.kube.client import Client
from isthmus.kube.errors import NotFound
from isthmus.kube.objects import Base, Manifest, Object

CONCURRENCY = 8
DISCOVERY_PATIENCE = 20.0
"""Seconds an API server may take to serve a kind that it says is established."""


class ConditionList(Base, frozen=True, kw_only=True):
    """A status of which only the conditions are read."""

    conditions: list[dict[str, Any]] = field(default_factory=list)


class Definition(Object, frozen=True, kw_only=True):
    """A CustomResourceDefinition of which only the conditions are read."""

    status: ConditionList = field(default_factory=ConditionList)


class WebhookConfiguration(Object, frozen=True, kw_only=True):
    """A webhook configuration."""

    webhooks: list[dict[str, Any]] = field(default_factory=list)


_WEBHOOK_CONFIGURATIONS = {
    resource.kind: resource.view(WebhookConfiguration)
    for resource in (MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS)
}


async def apply_all(client: Client, manifests: list[Manifest], deadline: Deadline) -> None:
    """Apply the manifests one after the other; the order is theirs."""
    for manifest in manifests:
        await _drop_unwanted_webhooks(client, manifest)
        await _apply_once_served(client, manifest, deadline.within(DISCOVERY_PATIENCE))


async def apply_together(client: Client, manifests: list[Manifest]) -> None:
    """Apply manifests whose order does not matter, several at a time."""
    limit = asyncio.Semaphore(CONCURRENCY)

    async def apply(manifest: Manifest) -> None:
        async with limit:
            await client.apply(resource_of(manifest), manifest, field_manager=FIELD_MANAGER)

    outcomes = await asyncio.gather(*(apply(manifest) for manifest in manifests), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


async def _apply_once_served(client: Client, manifest: Manifest, deadline: Deadline) -> None:
    while True:
        try:
            await client.apply(resource_of(manifest), manifest, field_manager=FIELD_MANAGER)
            return
        except NotFound:
            # Of several API servers one may not serve a new kind yet.
            if deadline.left() <= 0:
                raise
            await asyncio.sleep(0.2)


async def _drop_unwanted_webhooks(client: Client, manifest: Manifest) -> None:
    """Take webhooks that are no longer rendered out of their configuration.

    Server-side apply would leave of them what the controller filled in, an entry too incomplete to be valid.
    """
    resource = _WEBHOOK_CONFIGURATIONS.get(manifest["kind"])
    if resource is None:
        return
    found = await client.find(resource, manifest["metadata"]["name"])
    if found is None:
        return
    wanted = {webhook["name"] for webhook in manifest["webhooks"]}
    operations: list[Manifest] = []
    for index in reversed(range(len(found.webhooks))):
        name = found.webhooks[index]["name"]
        if name not in wanted:
            operations.append({"op": "test", "path": f"/webhooks/{index}/name", "value": name})
            operations.append({"op": "remove", "path": f"/webhooks/{index}"})
    if operations:
        await client.patch(resource, found.metadata.name, operations, type="json")


async def wait_established(client: Client, manifests: list[Manifest], deadline: Deadline, step: Step) -> bool:
    """Wait until the API server serves every kind of the CustomResourceDefinitions; False when out of time."""
    wanted = {manifest["metadata"]["name"] for manifest in manifests}
    definitions = CRDS.view(Definition)

    async def missing() -> str:
        found = await client.list(definitions, label_selector=OWN_SELECTOR)
        served = {each.metadata.name for each in found.items if _is_established(each)}
        return listed(sorted(wanted - served), 1)

    return await wait_until(missing, deadline, step)


def _is_established(definition: Definition) -> bool:
    states = {condition.get("type"): condition.get("status") for condition in definition.status.conditions}
    return not definition.deleting and states.get("Established") == "True"


async def prune(client: Client, manifests: list[Manifest], namespace: str) -> int:
    """Delete what earlier installations applied and this one does not; returns how many objects."""
    wanted = {
        (manifest["kind"], manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"])
        for manifest in manifests
    }
    removed = 0
    for resource in prunable_resources():
        where = namespace if resource.namespaced else ""
        page = await client.list(resource, where, label_selector=OWN_SELECTOR)
        for found in page.items:
            key = found.metadata
            if (resource.kind, key.namespace, key.name) not in wanted:
                removed += await client.delete(resource, key.name, key.namespace, uid=key.uid)
    return removed
