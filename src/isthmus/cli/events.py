"""What a controller says about an object in events: where a status has no room for a refusal, users look there."""

from __future__ import annotations

from isthmus.cli.cluster import Cluster
from isthmus.kube.builtin import EVENTS
from isthmus.kube.errors import KubeError
from isthmus.kube.objects import Object


class Occurrence(Object, frozen=True, kw_only=True):
    """What of an Event is read."""

    type: str = ""
    reason: str = ""
    message: str = ""
    last_timestamp: str | None = None


async def list_events(cluster: Cluster, about: Object) -> list[Occurrence] | None:
    """The events about an object, the newest last; None where they may not be read, as by a peering user."""
    selector = f"involvedObject.uid={about.metadata.uid}"
    try:
        page = await cluster.client.list(
            EVENTS.view(Occurrence), about.metadata.namespace, field_selector=selector
        )
    except KubeError:
        return None
    return sorted(page.items, key=_last_seen)


async def find_refusal(cluster: Cluster, about: Object) -> str:
    """The newest event about an object where it is a warning, as `Reason: message`; "" where there is none."""
    found = await list_events(cluster, about)
    newest = found[-1] if found else None
    return f"{newest.reason}: {newest.message}" if newest and newest.type == "Warning" else ""


def _last_seen(event: Occurrence) -> str:
    return event.last_timestamp or event.metadata.creation_timestamp or ""
