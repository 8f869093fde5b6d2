"""What gateways are allowed: roles for the installation to bring, and the one binding all gateways share.

Stock Liqo gives each gateway a ClusterRoleBinding and its Wg object a finalizer for it. Here a RoleBinding in the
gateway's namespace, collected with it, grants what it does there; the few reads of the whole cluster are granted by
one ClusterRoleBinding that lists all gateways and goes with the last. What stock left is removed.
"""

from __future__ import annotations

from isthmus.api import labels
from isthmus.api.networking import GROUP, WgGateway
from isthmus.kube.builtin import CLUSTER_ROLE_BINDINGS
from isthmus.kube.client import Client
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.kube.reconcile import Controller
from isthmus.network.gateways.caches import Caches
from isthmus.network.gateways.objects import SIDES, Side
from isthmus.network.gateways.workload import CLUSTER_ROLE, ROLE, forge_cluster_binding
from isthmus.network.gateways.writes import Writer
from isthmus.network.ownership import drop_finalizer

_KEY = Key("", CLUSTER_ROLE)
_READ = ["get", "list", "watch"]


def gateway_roles() -> list[Manifest]:
    """The two ClusterRoles of gateways, for `install` to apply; the controller may bind them, not hold them."""
    own = [
        _rule(GROUP, ["configurations", "publickeies", "gatewayclients"], _READ),
        _rule(GROUP, ["connections"], ["create", "patch"]),
        _rule(GROUP, ["connections/status"], ["patch"]),
        # Which replica leads, and its label.
        _rule("coordination.k8s.io", ["leases"], ["create", "get", "patch"]),
        _rule("", ["pods"], ["patch"]),
    ]
    whole = [
        _rule(
            GROUP,
            ["internalnodes", "internalfabrics", "firewallconfigurations", "routeconfigurations"],
            _READ,
        ),
        _rule(GROUP, ["firewallconfigurations/status", "routeconfigurations/status"], ["patch"]),
        _rule("ipam.liqo.io", ["ips"], _READ),
        # Pods only where the CNI does not keep to the nodes' podCIDRs.
        _rule("", ["nodes", "pods"], _READ),
    ]
    return [_role(ROLE, own), _role(CLUSTER_ROLE, whole)]


def _role(name: str, rules: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": {labels.MANAGED: labels.TRUE}},
        "rules": rules,
    }


def _rule(group: str, resources: list[str], verbs: list[str]) -> Manifest:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


class ClusterBindingReconciler:
    """Keeps the binding that all gateways share."""

    def __init__(self, manager: Manager, caches: Caches) -> None:
        self._client = manager.client
        self._made = caches.made
        self._writer = Writer(manager.client)

    def controller(self) -> Controller:
        """The loop, fed by the comings and goings of gateways; its one key is the binding."""
        controller = Controller("gateway-permissions", self.reconcile)
        for side in SIDES:
            controller.watch(self._made[side.mode], lambda _: [_KEY])
        controller.enqueue(_KEY)
        return controller

    async def reconcile(self, key: Key) -> None:
        """List all gateways in the binding, or remove it with the last."""
        gateways = [made for side in SIDES for made in self._made[side.mode].list() if not made.deleting]
        live = await self._client.find(CLUSTER_ROLE_BINDINGS.partial(), key.name)
        if gateways:
            await self._writer.apply(CLUSTER_ROLE_BINDINGS, forge_cluster_binding(gateways), live)
        elif live is not None and live.metadata.labels.get(labels.MANAGED) == labels.TRUE:
            await self._client.delete(CLUSTER_ROLE_BINDINGS, key.name, uid=live.metadata.uid)


async def drop_stock_binding(client: Client, side: Side, made: WgGateway) -> None:
    """Remove the ClusterRoleBinding and the finalizer that stock Liqo left for this gateway. Raises Conflict."""
    if labels.FINALIZER_GATEWAY_BINDING not in made.metadata.finalizers:
        return
    name = stock_binding_name(made)
    binding = await client.find(CLUSTER_ROLE_BINDINGS.partial(), name)
    if binding is not None and _is_stocks(binding, made):
        await client.delete(CLUSTER_ROLE_BINDINGS, name, uid=binding.metadata.uid)
    await drop_finalizer(client, side.made.partial(), made, labels.FINALIZER_GATEWAY_BINDING)


def stock_binding_name(made: Object) -> str:
    """What stock Liqo calls the ClusterRoleBinding of a gateway (wire.md 2)."""
    return f"{ROLE}-{made.metadata.namespace}-{made.metadata.name}"


def _is_stocks(binding: Object, made: WgGateway) -> bool:
    found = binding.metadata.labels
    return (
        found.get(labels.GATEWAY_NAME) == made.metadata.name
        and found.get(labels.GATEWAY_NAMESPACE) == made.metadata.namespace
    )
