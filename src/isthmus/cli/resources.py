"""Asking the provider for resources and waiting for the virtual node (wire.md 9, step 22, and the node after it)."""

from __future__ import annotations

from dataclasses import dataclass, field

from isthmus.api.authentication import RESOURCE_SLICES, Condition, ResourceSlice
from isthmus.api.offloading import VIRTUAL_NODES, VirtualNode
from isthmus.api.quantity import parse_quantity
from isthmus.cli.cluster import Cluster, step
from isthmus.cli.errors import CommandError
from isthmus.cli.progress import Progress, Step
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.cli.writes import write
from isthmus.kube.builtin import NODES, Node
from isthmus.peering.handshake import forge_resource_slice

FILLED_BY_CONTROLLER = frozenset({"consumerClusterID", "csr"})
CHANGE_PATIENCE = 10.0
"""Seconds to wait for a provider to grant other resources than before; it need not grant what is asked."""
CLASS_PATIENCE = 20.0
"""Seconds to wait for another controller to decide on a slice of a class of its own."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks of a provider; `resources` holds quantities by name, empty for the provider's defaults."""

    class_: str = "default"
    resources: dict[str, str] = field(default_factory=dict)
    create_virtual_node: bool = True
    name: str = ""
    """Of the slice; "" is the provider's id."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Whom to ask: the consumer's cluster, its tenant namespace for the provider, and the provider's id."""

    cluster: Cluster
    namespace: str
    id: str


async def request_resources(
    provider: Provider, request: Request, progress: Progress, deadline: Deadline
) -> bool:
    """Create or change the ResourceSlice and wait for the provider's word; True where resources were granted.

    Raises CommandError where the provider denies, with its reason.
    """
    client, namespace, name = provider.cluster.client, provider.namespace, request.name or provider.id
    with step(progress, f"Resource slice {name}", provider.cluster) as current:
        manifest = forge_resource_slice(
            provider.id,
            namespace,
            name=name,
            class_=request.class_,
            resources=request.resources,
            create_virtual_node=request.create_virtual_node,
        )
        changed = await write(client, RESOURCE_SLICES, manifest, deadline, kept=FILLED_BY_CONTROLLER)
        settling = deadline.within(CHANGE_PATIENCE if changed else 0.0)

        async def decided(kind: str) -> Condition | None:
            found = await client.find(RESOURCE_SLICES, name, namespace)
            current.update(_state(found))
            # After a change the conditions are those of before until the provider has looked at it.
            if settling.left() and not is_granted(found, request.resources):
                return None
            return _condition(found, kind)

        accepted = await wait_for(
            lambda: decided("Authentication"),
            deadline,
            current,
            f"cluster {provider.id} did not decide on resource slice {namespace}/{name}",
            "look at the logs of both controllers, then run this again",
        )
        _require(provider.id, name, accepted, "the authentication")
        patience = deadline if request.class_ in ("", "default") else deadline.within(CLASS_PATIENCE)
        try:
            granted = await wait_for(
                lambda: decided("Resources"),
                patience,
                current,
                f"cluster {provider.id} did not decide on the resources of slice {name}",
                "look at the log of its controller, then run this again",
            )
        except CommandError:
            if patience is deadline:
                raise
            progress.warn(
                f'class "{request.class_}": its controller in {provider.id} has not decided yet',
                provider.cluster.tag,
            )
            return False
        _require(provider.id, name, granted, "the resources")
    return True


def is_granted(found: ResourceSlice | None, asked: dict[str, str]) -> bool:
    """Whether all that is asked for is granted, or the slice is denied; both are the provider's answer."""
    if found is None:
        return False
    if any(each.status == "Denied" for each in found.status.conditions):
        return True
    granted = found.status.resources
    try:
        return all(
            name in granted and parse_quantity(granted[name]) == parse_quantity(amount)
            for name, amount in asked.items()
        )
    except ValueError:  # The provider's word is not to be trusted to be a quantity.
        return False


def _condition(found: ResourceSlice | None, kind: str) -> Condition | None:
    if found is None:
        return None
    return next((each for each in found.status.conditions if each.type == kind), None)


def _state(found: ResourceSlice | None) -> str:
    if found is None:
        return "not there yet"
    known = [f"{each.type} {each.status}" for each in found.status.conditions]
    return ", ".join(known) or "no answer yet"


def _require(provider: str, name: str, condition: Condition, what: str) -> None:
    if condition.status != "Accepted":
        raise CommandError(
            f"cluster {provider} denied {what} of slice {name}: {condition.reason} {condition.message}",
            f"ask its administrator; isthmus unpeer undoes what was made, {provider} keeps nothing of it",
        )


async def await_virtual_node(
    cluster: Cluster, namespace: str, name: str, progress: Progress, deadline: Deadline
) -> None:
    """Wait until the virtual node is Ready. Raises CommandError with the state it was last seen in."""
    with step(progress, f"Virtual node {name} Ready", cluster) as current:

        async def is_ready() -> bool | None:
            virtual = await cluster.client.find(VIRTUAL_NODES, name, namespace)
            if virtual is None:
                current.update("VirtualNode not there yet")
                return None
            if virtual.spec.create_node is False:
                return True
            node = await cluster.client.find(NODES, name)
            if node is None:
                current.update(_why_no_node(virtual))
                return None
            return _node_is_ready(node, current)

        await wait_for(
            is_ready,
            deadline,
            current,
            f"virtual node {name} of {cluster.title} did not become Ready",
            f"look at the log of the controller in namespace {cluster.namespace}, then run this again",
        )


def _why_no_node(virtual: VirtualNode) -> str:
    told = next((each for each in virtual.status.conditions if each.reason and each.message), None)
    return "Node not there yet" if told is None else f"{told.reason}: {told.message}"


def _node_is_ready(node: Node, current: Step) -> bool | None:
    ready = next((each for each in node.status.conditions if each.type == "Ready"), None)
    if ready is not None and ready.status == "True":
        return True
    current.update(f"NotReady: {ready.reason} {ready.message}".rstrip() if ready else "NotReady")
    return None


def merge_resources(
    cpu: str | None, memory: str | None, pods: str | None, others: tuple[tuple[str, str], ...]
) -> dict[str, str]:
    """The resources asked for by flags. Raises CommandError where one is given twice."""
    asked = {name: value for name, value in (("cpu", cpu), ("memory", memory), ("pods", pods)) if value}
    for name, value in others:
        if name in asked:
            raise CommandError(
                f"--resource {name}={value}: {name} is given twice ({asked[name]})", "give it once", code=2
            )
        asked[name] = value
    return asked
