"""Labels and annotations of a running pod follow its ShadowPod: set what is wished, remove what was taken away.

The provider's own components add labels and annotations to pods as well; which came from the ShadowPod is noted
on the pod itself (`forge_record`), so that nothing has to be remembered.
"""

from __future__ import annotations

from isthmus.api import labels
from isthmus.api.offloading import ShadowPod
from isthmus.kube.client import Client
from isthmus.kube.errors import Conflict, NotFound
from isthmus.offloading.shadowpod.forge import SHADOWED_PODS, PodPhase, plan_metadata


async def update_metadata(client: Client, shadow: ShadowPod, pod: PodPhase) -> None:
    """Bring labels and annotations of the pod to the ShadowPod's."""
    patch = plan_metadata(shadow, pod)
    if patch is None:
        return
    found = pod.metadata
    try:
        await client.patch(
            SHADOWED_PODS.partial(),
            found.name,
            patch,
            found.namespace,
            field_manager=labels.SHADOW_POD_MANAGER,
        )
    except (NotFound, Conflict):
        return  # it is gone, or another now has its name: there is an event for either
