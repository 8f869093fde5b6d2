"""Deleting objects by what they are and waiting until they are gone.

A `Group` names objects by kind, namespace and label. What may not be listed counts as none: the least-privilege
peering user sees only part of the provider, and what it cannot see it did not make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isthmus.cli.cluster import Cluster
from isthmus.cli.progress import Step
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.kube.errors import Forbidden, NotFound
from isthmus.kube.objects import Object
from isthmus.kube.resource import Resource


@dataclass(frozen=True, slots=True)
class Group:
    """Objects of one kind in a cluster; `namespace` "" for all, `accepts` narrows further than labels can."""

    cluster: Cluster
    resource: Resource[Any]
    namespace: str = ""
    selector: str = ""
    accepts: Callable[[Object], bool] = lambda _: True

    async def list(self) -> list[Object]:
        """The objects there are now; none where the kind is not served or may not be listed."""
        try:
            page = await self.cluster.client.list(
                self.resource.partial(), self.namespace, label_selector=self.selector
            )
        except (Forbidden, NotFound):
            return []
        return [found for found in page.items if self.accepts(found)]

    async def delete(self) -> int:
        """Ask for the deletion of all that are not being deleted yet; returns how many are there."""
        found = await self.list()
        for each in found:
            if not each.deleting:
                metadata = each.metadata
                await self.cluster.client.delete(
                    self.resource, metadata.name, metadata.namespace, uid=metadata.uid
                )
        return len(found)


async def list_left(groups: list[Group]) -> list[str]:
    """What is left of the groups, as `rome: Secret liqo-tenant-milan/liqo-nonce`."""
    return [
        f"{group.cluster.tag}: {group.resource.kind} {found.key}"
        for group in groups
        for found in await group.list()
    ]


async def await_gone(groups: list[Group], deadline: Deadline, step: Step, mend: str = "") -> None:
    """Wait until nothing of the groups is left. Raises CommandError naming what is."""

    async def is_gone() -> bool | None:
        left = await list_left(groups)
        if left:
            step.update(f"left: {', '.join(left[:5])}{f' and {len(left) - 5} more' if len(left) > 5 else ''}")
        return None if left else True

    await wait_for(is_gone, deadline, step, "not everything was gone", mend)


async def remove(groups: list[Group], deadline: Deadline, step: Step, mend: str = "") -> int:
    """Delete all of the groups and wait until it is gone; returns how many objects there were."""
    count = sum([await group.delete() for group in groups])
    if count:
        await await_gone(groups, deadline, step, mend)
    return count
