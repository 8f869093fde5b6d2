"""Where offloaded pods reach the API server of their home: IP objects the networking module keeps.

Only those in the installation's namespace count: a peer's administrator may make IPs in the tenant namespace. And only
for pods of a provider whose network is joined with ours: no other could map the address, and none would run the pod.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.api import labels
from isthmus.api.ipam import IP, IPS
from isthmus.api.networking import CONFIGURATIONS
from isthmus.kube.informer import InformerSet
from isthmus.kube.objects import Object
from isthmus.offloading.pods.api_server import HomeApiServer

API_SERVER_INDEX = "home/api-server"
PEER_INDEX = "home/peer"
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
        self._ips.add_index(API_SERVER_INDEX, lambda ip: [ANY] if _is_home(ip, namespace) else [])
        self._configurations.add_index(
            PEER_INDEX, lambda one: [one.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "")]
        )

    async def synced(self) -> None:
        """Wait until the caches hold their first full list."""
        await self._ips.synced.wait()
        await self._configurations.synced.wait()

    def joined(self, provider: str) -> bool:
        """Whether our network and a provider's are joined, or are to be."""
        return any(not one.deleting for one in self._configurations.by_index(PEER_INDEX, provider))

    def api_server(self) -> HomeApiServer | None:
        """Our API server as peers reach it, None while it has no address for them."""
        return find_home(self._ips.by_index(API_SERVER_INDEX, ANY))


def _is_home(ip: Object, namespace: str) -> bool:
    meta = ip.metadata
    return meta.namespace == namespace and meta.labels.get(labels.IP_TYPE) == labels.IP_TYPE_API_SERVER
