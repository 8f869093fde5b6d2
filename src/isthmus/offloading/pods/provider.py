"""What the pods of a virtual node need to know of its provider and of their own node."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct, field

from isthmus.kube.builtin import Pod
from isthmus.kube.client import Client
from isthmus.kube.events import EventRecorder
from isthmus.kube.informer import Informer, InformerSet
from isthmus.offloading.pods.pace import Pace
from isthmus.offloading.pods.spec import Terms

SETTLING = 7.0
"""Seconds that the node lifecycle controller may take to notice that a node is Ready again (it looks every 5 s);
until then it answers every pod that reports Ready with Ready=False."""


LOOKS_RATE = 0.5
"""Questions a second why a pod does not get on: for each the provider goes through all events of a namespace."""
LOOKS_SPREAD = 30.0
"""Seconds: from `LOOKS_RATE` times this many waiting questions on, they come faster the more there are."""


class ProviderHealth(Struct):
    """Whether the provider answers; kept by the node's heartbeat, read by its node and its pods."""

    probed: bool = False
    """Whether it was asked at all yet."""
    reachable: bool = False
    """Whether it answered when it was last asked; while not, its pods are left as they are."""
    lost: bool = False
    """Whether it has not answered for so long that the node is shown as not ready."""
    detail: str = ""
    """What its API server does instead of answering, for people."""
    settled_at: float = 0.0

    def settle(self) -> None:
        """The node became Ready just now: readiness of its running pods is not written for a while."""
        self.settled_at = time.monotonic() + SETTLING

    def unsettled(self) -> float:
        """Seconds until readiness may be written again, 0 when it may."""
        return max(0.0, self.settled_at - time.monotonic())


class PodContext(Struct, frozen=True):
    """Both clusters as the pods of one virtual node see them."""

    node_name: str
    host_ip: str
    """The address the virtual node advertises."""
    pods: Informer[Pod]
    """The local pods bound to the node."""
    local: Client
    remote: Client
    remote_informers: InformerSet
    events: EventRecorder
    """About local objects."""
    health: ProviderHealth
    terms: Callable[[], Terms]
    """On which terms pods are offloaded now."""
    wished: Callable[[str], bool]
    """Whether a local namespace is to be offloaded to this provider, accepted or not."""
    pace: Pace = field(default_factory=Pace)
    """When the next new pod may go there."""
    looks: Pace = field(default_factory=lambda: Pace(rate=LOOKS_RATE, spread=LOOKS_SPREAD))
    """When it may be asked about the next pod that does not get on."""
    translation: Callable[[], Callable[[str], str] | None] = lambda: None
    """How a remote pod's address is seen here, "" while that is not known; None where it stays as it is."""
    cut_off: Callable[[], bool] = lambda: False
    """Whether the network to the provider is down, for which the node is shown as not ready."""
