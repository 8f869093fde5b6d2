"""Remote pods that no node was found for: the watch leaves them out, so they are asked for.

Of nearly every pod the first event says only that it exists, and the next that it was bound, milliseconds later:
the watch begins with that one, which saves a seventh of what a pod's start sends over the link. What is not there
after a while is asked for by name, ever more rarely, so that its status here says what the provider's scheduler says.
"""

from __future__ import annotations

import time

from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.provider import PodContext
from isthmus.offloading.pods.twin import REMOTE_PODS, RemotePod, Shadow

PAUSES = (10.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds before the pod is asked for, the first time and each time again."""


async def find_unbound(
    context: PodContext, shadow: Shadow, memory: PodMemory
) -> tuple[RemotePod | None, float]:
    """The remote pod of a ShadowPod that the watch does not show, None where it is too early or there is none;
    and after how many seconds to look again."""
    now = time.monotonic()
    if not memory.unbound_asks:
        memory.unbound_asks, memory.unbound_at = 1, now + PAUSES[0]
    left = memory.unbound_at - now
    if left > 0:
        return None, left
    pause = PAUSES[min(memory.unbound_asks, len(PAUSES) - 1)]
    memory.unbound_asks += 1
    memory.unbound_at = now + pause
    return await context.remote.find(REMOTE_PODS, shadow.metadata.name, shadow.metadata.namespace), pause
