"""What is remembered of a pod between two reconciliations: only to save requests and to pace retries.

Nothing here is needed for correctness; after a restart it is empty.
"""

from __future__ import annotations

import time
from typing import Any

from msgspec import Struct, field

from isthmus.kube.builtin import Pod
from isthmus.kube.objects import Key

UNSEEN = 5.0
"""Seconds a ShadowPod just created may take to show up in the cache before its absence is believed."""

_PAUSES = (0.2, 0.5, 1.0, 5.0, 10.0, 20.0, 40.0, 60.0)


class PodMemory(Struct):
    """About one local pod, told from its successors by `uid`."""

    uid: str
    created: bool = False
    """Whether its ShadowPod was (or may have been) created and has not been seen in the cache since."""
    created_at: float = 0.0
    created_version: str = ""
    """The resourceVersion its ShadowPod was created with: until it has another, nothing is recorded in it."""
    recorded: tuple[str, str] = ("", "")
    """The phase that was last read from its ShadowPod, after the resourceVersion it was read at."""
    unbound_asks: int = 0
    """How often the remote pod was waited for, since it was last seen bound; 0 for not yet."""
    unbound_at: float = 0.0
    """When it is to be asked for next."""
    tokens_over: bool = False
    """Whether the first attempt to make its tokens at the provider is over, whatever came of it."""
    tokens_until: float = 0.0
    """Until when its ShadowPod waits for that, 0 for not yet known."""
    failures: int = 0
    retry_at: float = 0.0
    newest: Pod | None = None
    """The pod as the last write answered it, until the cache is as new."""
    written_at: float = 0.0
    """When its status was last written."""
    refused: dict[str, Any] = field(default_factory=dict)
    """The part of the last status that the API server did not take; not sent again."""
    removed: bool = False
    """Whether the API server was told to forget the local pod; its event is under way."""
    refused_change: str = ""
    """The revision of the pod that the provider refused, not to be tried again before `change_retry_at`."""
    change_retry_at: float = 0.0
    changed_at: float = 0.0
    """When a change of the running pod was carried over, as far as is known."""
    unapplied: str = ""
    """The revision of which was told that the provider has not applied it."""
    explain_at: float = 0.0
    """When the provider is asked why the pod does not get on, 0 while it does."""
    explained: int = 0
    """How often it was asked in this trouble."""
    told: dict[str, int] = field(default_factory=dict)
    """The provider's events told last, by uid, with how often they had happened."""
    given_up: frozenset[str] = frozenset()
    """Metadata keys of the ShadowPod that were removed once; somebody may have put them back."""

    def seen(self) -> None:
        """The ShadowPod is in the cache."""
        self.created = False
        self.failures = 0

    def creating(self) -> None:
        """The ShadowPod is about to be created: from now on it may be there."""
        self.created = True
        self.created_at = time.monotonic()

    def unseen(self) -> float:
        """Seconds that a ShadowPod just created may still take to show up."""
        return max(0.0, self.created_at + UNSEEN - time.monotonic()) if self.created else 0.0

    def failed(self) -> float:
        """The provider refused the pod once more; returns the pause until the next attempt in seconds."""
        pause = _PAUSES[min(self.failures, len(_PAUSES) - 1)]
        self.failures += 1
        self.created = False
        self.retry_at = time.monotonic() + pause
        return pause

    def pausing(self) -> float:
        """Seconds until the next attempt."""
        return max(0.0, self.retry_at - time.monotonic())


class Memories:
    """The memories of the pods of one virtual node."""

    def __init__(self) -> None:
        self._by_key: dict[Key, PodMemory] = {}

    def of(self, pod: Pod) -> PodMemory:
        """The memory of that very pod, empty where it is new."""
        memory = self._by_key.get(pod.key)
        if memory is None or memory.uid != pod.metadata.uid:
            memory = self._by_key[pod.key] = PodMemory(pod.metadata.uid)
        return memory

    def forget(self, key: Key) -> None:
        """The pod is gone."""
        self._by_key.pop(key, None)

    def is_own_write(self, pod: Pod) -> bool:
        """Whether the pod is as our own last write left it, so that there is nothing to learn from it."""
        memory = self._by_key.get(pod.key)
        return (
            memory is not None
            and memory.newest is not None
            and memory.newest.metadata.resource_version == pod.metadata.resource_version
        )


def newer(cached: Pod, memory: PodMemory) -> Pod:
    """The newer of the cached pod and the one our last write was answered with."""
    written = memory.newest
    if written is None or written.metadata.uid != cached.metadata.uid:
        return cached
    try:
        if int(written.metadata.resource_version) > int(cached.metadata.resource_version):
            return written
    except ValueError:
        pass
    return cached
