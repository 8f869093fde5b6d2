"""What every reconciler of this module shares: the client, the events, the options and the cluster's keys."""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.kube.client import Client
from isthmus.kube.events import EventRecorder
from isthmus.kube.options import Options
from isthmus.peering.keys import ClusterKeys


@dataclass(frozen=True, slots=True)
class Context:
    """The shared parts, made once by `wiring`."""

    client: Client
    events: EventRecorder
    options: Options
    keys: ClusterKeys
