"""When a new pod goes to the provider: in turn (`pace`), and its tokens before its ShadowPod.

A kubelet that mounts a Secret which is not there yet tries again after 0.5, 1, 2 and more seconds and tells of each
attempt: on a busy machine that made a burst of pods a quarter slower. So what makes the tokens takes a pod's turn,
and the ShadowPod follows when that is over, whatever came of it. Memory only: where tokens are not made in time, or
at all, the pod goes without them, and its kubelet waits as it would have.
"""

from __future__ import annotations

import time

from isthmus.kube.builtin import Pod
from isthmus.offloading.pods.memory import PodMemory
from isthmus.offloading.pods.provider import PodContext
from isthmus.reflection import wanted_tokens

PATIENCE = 5.0
"""Seconds from a pod's turn within which its tokens are expected at the provider."""


def tokens_turn(context: PodContext, pod: Pod, memory: PodMemory) -> float:
    """Seconds until it is a pod's turn to have its first tokens made, after which they ask again."""
    if memory.tokens_over:
        return 0.0
    waiting = context.pace.wait(pod.metadata.uid)
    memory.tokens_until = time.monotonic() + waiting + PATIENCE
    return waiting


def shadow_turn(context: PodContext, pod: Pod, memory: PodMemory) -> float:
    """Seconds until a pod's ShadowPod may be created, after which it asks again."""
    if memory.tokens_over:
        return 0.0
    now = time.monotonic()
    if not memory.tokens_until and context.terms().makes_tokens and wanted_tokens(pod).sources:
        memory.tokens_until = now + PATIENCE
    if now < memory.tokens_until:
        return memory.tokens_until - now
    return context.pace.wait(pod.metadata.uid)
