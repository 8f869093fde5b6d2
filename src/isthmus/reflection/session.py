"""What a reflection needs to know of one virtual node: both clusters, their ids, and what is kept back.

The virtual node owns the session and everything in it; the engine only borrows the clients and informers, and
gives each informer back when a namespace is no longer reflected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct, field

from isthmus.kube.builtin import Pod
from isthmus.kube.client import Client
from isthmus.kube.events import EventRecorder
from isthmus.kube.informer import InformerSet

ReflectionType = Literal["DenyList", "AllowList"]


class ReflectorOptions(Struct, frozen=True, kw_only=True):
    """How one kind is reflected; the defaults are wire-compatible (behaviour.md 4.3)."""

    workers: int | None = None
    """How many objects are written at once; None takes the kind's own number, 0 switches the kind off."""
    type: ReflectionType = "DenyList"
    """DenyList reflects all but what is annotated to be skipped, AllowList only what is annotated to be let."""


class ReflectionSession(Struct, frozen=True, kw_only=True):
    """One virtual node's view of both clusters."""

    local_client: Client
    local_informers: InformerSet
    """Pods are watched as `local_informers.get(PODS, field_selector="spec.nodeName=NODE")`, shared with
    whoever else asks for the pods of this virtual node in the same words."""
    remote_client: Client
    """The identity of the slice: what the role of the twin namespaces is bound to."""
    remote_informers: InformerSet
    events: EventRecorder
    """Writes events about local objects, in the local cluster."""
    home_id: str
    """The id of this cluster, the origin of what is reflected."""
    provider_id: str
    """The id of the provider, the destination."""
    node_name: str
    """The virtual node; tokens are made for the pods that run on it."""
    labels_not_reflected: tuple[str, ...] = ()
    annotations_not_reflected: tuple[str, ...] = ()
    reflectors: dict[str, ReflectorOptions] = field(default_factory=dict)
    """By the names of VkOptionsTemplate.spec.reflectorsConfig (`configmap`, `secret`, `serviceaccount`); what is
    not named has the defaults."""
    services: bool = False
    """Whether Services and EndpointSlices are reflected as well."""
    load_balancer_class: str = ""
    """The provider's default class of load balancers, "" for none."""
    translate: bool = True
    """Whether endpoints' addresses are made such that the provider can map them; not without a network of ours."""
    network_namespace: str = "liqo"
    """Where the Networks of this cluster are."""
    tokens_turn: Callable[[Pod], float] = lambda _: 0.0
    """Seconds until it is a pod's turn to have its first tokens made; asked until it says 0."""
    tokens_over: Callable[[Pod], None] = lambda _: None
    """Called when a pod's tokens are at the provider, or the first attempt to make them has failed."""
    namespace_wide: bool = True
    """Whether this session reflects what belongs to the namespace (ConfigMaps, Secrets). With several virtual
    nodes of one provider in a namespace exactly one session should, so that differing filter lists of theirs do
    not undo each other; tokens belong to the pods of a node and are always reflected."""
