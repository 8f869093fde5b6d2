"""Where offloaded pods reach the API server of their home: IP objects the networking module keeps.

Only those in the installation's namespace count: a peer's administrator may make IPs in the tenant namespace. And only
for pods of a provider whose network is joined with ours: no other could map the address, and none would run the pod.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from isthmus.api import labels
from isthmus.api.cidr import parse_address, parse_cidr
from isthmus.api.ipam import IP, IPS, NETWORKS, Network
from isthmus.api.networking import CONFIGURATIONS
from isthmus.api.peer_ranges import configuration_of, read_ranges, seen_address
from isthmus.api.tenancy import is_tenant_namespace_of
from isthmus.kube.builtin import NAMESPACES
from isthmus.kube.informer import InformerSet
from isthmus.kube.objects import Key, Object
from isthmus.offloading.pods.api_server import HomeApiServer

API_SERVER_INDEX = "home/api-server"
PEER_INDEX = "home/peer"
POD_CIDR = "pod-cidr"
ANY = "any"
"""What every IP of our API server is indexed by."""


def find_home(ips: Iterable[IP]) -> HomeApiServer | None:
    """The home API server's addresses, None while it has none."""
    addresses = tuple(sorted({ip.status.ip for ip in ips if ip.status.ip and not ip.deleting}))
    return HomeApiServer(addresses) if addresses else None


class Home:
    """What the caches say of the way home; `namespace` is the installation's."""

    def __init__(self, informers: InformerSet, namespace: str) -> None:
        self._ips = informers.get(IPS)
        self._configurations = informers.get(CONFIGURATIONS)
        self._namespaces = informers.get(NAMESPACES.partial(), label_selector=labels.REMOTE_CLUSTER_ID)
        self._networks = informers.get(NETWORKS)
        self._namespace = namespace
        self._ips.add_index(API_SERVER_INDEX, lambda ip: [ANY] if _is_home(ip, namespace) else [])
        self._configurations.add_index(
            PEER_INDEX, lambda one: [one.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "")]
        )

    async def synced(self) -> None:
        """Wait until the caches hold their first full list."""
        await self._ips.synced.wait()
        await self._configurations.synced.wait()
        await self._namespaces.synced.wait()
        await self._networks.synced.wait()

    def joined(self, provider: str) -> bool:
        """Whether our network and a provider's are joined, or are to be."""
        return any(not one.deleting for one in self._configurations.by_index(PEER_INDEX, provider))

    def translation(self, provider: str) -> Callable[[str], str]:
        """How a pod's address at a provider is seen here, "" while that is not known.

        Without a joined network it stays as it is, unless it could be one of our own pods': as an endpoint it would
        lead to that one.
        """
        if not self.joined(provider):
            return self._foreign
        candidates = self._configurations.by_index(PEER_INDEX, provider)
        found = configuration_of(provider, candidates, lambda name: self._namespaces.get(Key("", name)))
        ranges = read_ranges(found) if found is not None else None
        pods = ranges.pods if ranges is not None else ()
        return lambda address: seen_address(address, pods)

    def _foreign(self, address: str) -> str:
        try:
            number = parse_address(address)
        except ValueError:
            return address
        for network in self._networks.list(self._namespace):
            if network.metadata.labels.get(labels.NETWORK_TYPE) == POD_CIDR and _has(network, number):
                return ""
        return address

    def on_change(self, provider: str, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` when the way to a provider may have changed; the result removes it."""

        def changed(old: Object | None, new: Object | None) -> None:
            if any(
                one.metadata.labels.get(labels.REMOTE_CLUSTER_ID) == provider for one in (old, new) if one
            ):
                listener()

        def moved(old: Object | None, new: Object | None) -> None:
            if is_tenant_namespace_of(old, provider) or is_tenant_namespace_of(new, provider):
                listener()

        removals = self._configurations.add_handler(changed), self._namespaces.add_handler(moved)

        def remove() -> None:
            for one in removals:
                one()

        return remove

    def api_server(self) -> HomeApiServer | None:
        """Our API server as peers reach it, None while it has no address for them."""
        return find_home(self._ips.by_index(API_SERVER_INDEX, ANY))


def _has(network: Network, address: int) -> bool:
    try:
        return parse_cidr(network.spec.cidr).has(address)
    except ValueError:
        return False


def _is_home(ip: Object, namespace: str) -> bool:
    meta = ip.metadata
    return meta.namespace == namespace and meta.labels.get(labels.IP_TYPE) == labels.IP_TYPE_API_SERVER
