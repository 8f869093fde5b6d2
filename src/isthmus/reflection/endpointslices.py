"""EndpointSlices: told to the provider as ShadowEndpointSlices, whose controller there makes EndpointSlices of them.

What a copy depends on beside its original: the Service (whether to reflect, and how), the Nodes (endpoints on the
provider's own are left out), the IP objects of the namespace, this cluster's pod ranges and its peers' ranges
(`endpoints.py`). All are caches shared with the rest of the process. Only IPv4, as all of networking.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial

import msgspec
from msgspec.structs import replace

from isthmus.api import labels
from isthmus.api.authentication import RESOURCE_SLICES, ResourceSlice
from isthmus.api.cidr import CIDR
from isthmus.api.endpoints import ENDPOINT_SLICES, IPV4, DirectConnections, EndpointSlice
from isthmus.api.ipam import IP, IPS, NETWORKS, Network
from isthmus.api.networking import CONFIGURATIONS, Configuration
from isthmus.api.offloading import SHADOW_ENDPOINT_SLICES, ShadowEndpointSlice
from isthmus.api.peer_ranges import PeerRanges, configuration_of, read_ranges
from isthmus.kube.builtin import NAMESPACES, NODES
from isthmus.kube.objects import Key, Manifest, Object, ObjectMeta
from isthmus.reflection.endpoints import Surroundings, read_cidrs, translate
from isthmus.reflection.engine import Cache, NotReflectableError, ReflectedKind, Source, index_name
from isthmus.reflection.metadata import is_wanted
from isthmus.reflection.services import NAME as SERVICE
from isthmus.reflection.services import REFLECTED_SERVICES, Service, is_api_server
from isthmus.reflection.session import ReflectionSession, ReflectorOptions

NAME = "endpointslice"
WORKERS = 10
LARGEST_ANNOTATIONS = 256 * 1024
"""Bytes of annotations the API takes with one object."""
LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"
"""When this cluster's pods last changed: without it the copy changes only when its endpoints do."""
POD_CIDR = "pod-cidr"
ANY = ""
"""The link by which every slice depends on what bears on all."""


class LocalSlice(EndpointSlice, frozen=True, kw_only=True):
    """An EndpointSlice of this cluster; `prepare` fills in the rest."""

    wanted: bool = False
    """Whether it is to be reflected, as it and its Service say."""
    waiting: list[str] = msgspec.field(default_factory=list)
    """Addresses that cannot be told yet."""


LOCAL_SLICES = ENDPOINT_SLICES.view(LocalSlice)


def service_of(metadata: ObjectMeta) -> str:
    """The name of the Service a slice is of, "" for none."""
    return metadata.labels.get(labels.SERVICE_NAME, "")


def links(local: LocalSlice) -> Iterable[str]:
    """What a slice depends on."""
    namespace = local.metadata.namespace
    yield ANY
    yield f"service/{service_of(local.metadata)}"
    for endpoint in local.endpoints:
        if endpoint.node_name:
            yield f"node/{endpoint.node_name}"
        for address in endpoint.addresses:
            yield address_link(namespace, address)


def address_link(namespace: str, address: str) -> str:
    """The link between an endpoint and an IP object."""
    return f"ip/{namespace}/{address}"


def is_reflectable(local: LocalSlice, service: Service | None, options: ReflectorOptions) -> bool:
    """Whether a slice is reflected: as it says itself, else as its Service says; never without its Service, and
    never what another cluster reflected here.

    `options` are those of Services: slices have no policy of their own.
    """
    own = local.metadata
    if local.address_type != IPV4 or own.labels.get(labels.ENDPOINT_SLICE_MANAGED_BY) == (
        labels.ENDPOINT_SLICE_REFLECTION
    ):
        return False
    name = service_of(own)
    if is_api_server(own, name) or (name and service is None):
        return False
    says = own.annotations.keys() & {labels.SKIP_REFLECTION, labels.ALLOW_REFLECTION}
    deciding = own if says or service is None else service.metadata
    return is_wanted(deciding, options.type)


def forge_metadata(metadata: ObjectMeta, direct: dict[str, list[str]]) -> ObjectMeta:
    """The metadata to be copied: marked so that no other controller over there takes the slice for its own.

    Raises NotReflectableError where the annotations grow beyond what the API takes.
    """
    annotations = dict(metadata.annotations)
    annotations.pop(LAST_CHANGE, None)
    annotations.pop(labels.DIRECT_CONNECTIONS_DATA, None)
    if direct:
        data = msgspec.json.encode(DirectConnections(direct)).decode()
        annotations[labels.DIRECT_CONNECTIONS_DATA] = data
    size = sum(len(key) + len(value.encode()) for key, value in annotations.items())
    if size > LARGEST_ANNOTATIONS:
        raise NotReflectableError(
            f"its annotations have {size} bytes, {LARGEST_ANNOTATIONS} are possible: use less of them, "
            f"or drop {labels.USE_DIRECT_CONNECTIONS} from the Service"
        )
    marks = {labels.ENDPOINT_SLICE_MANAGED_BY: labels.ENDPOINT_SLICE_REFLECTION}
    return replace(metadata, labels=metadata.labels | marks, annotations=annotations)


def same(local: LocalSlice, remote: ShadowEndpointSlice) -> bool:
    """Whether the copy has exactly the endpoints and ports."""
    template = remote.spec.template
    return (template.address_type, template.endpoints, template.ports) == (
        local.address_type,
        local.endpoints,
        local.ports,
    )


def forge(local: LocalSlice) -> Manifest:
    """The ShadowEndpointSlice but for its metadata."""
    template = {
        "addressType": local.address_type,
        "endpoints": msgspec.to_builtins(local.endpoints),
        "ports": msgspec.to_builtins(local.ports),
    }
    return {"spec": {"template": template}}


def shortcoming(local: LocalSlice) -> str:
    """Which endpoints cannot be told yet, and the mend."""
    if not local.waiting:
        return ""
    some = ", ".join(local.waiting[:5]) + (", ..." if len(local.waiting) > 5 else "")
    return (
        f"{len(local.waiting)} of its addresses are not of this cluster's pods and have no address for other "
        f"clusters: {some}; each needs an IP object in namespace {local.metadata.namespace} with spec.ip so"
    )


def prepare(session: ReflectionSession, local: LocalSlice, caches: tuple[Cache, ...]) -> LocalSlice:
    """The slice as it is to be copied. Raises NotReflectableError."""
    service: Service | None = caches[0].get(Key(local.metadata.namespace, service_of(local.metadata)))
    options = session.reflectors.get(SERVICE, ReflectorOptions())
    if not is_reflectable(local, service, options):
        return replace(local, wanted=False)
    direct = session.translate and service is not None and wants_direct(service.metadata)
    found = translate(local.endpoints, survey(session, local.metadata.namespace, caches[1:]), direct=direct)
    metadata = forge_metadata(local.metadata, found.direct)
    return replace(local, metadata=metadata, endpoints=found.endpoints, waiting=found.waiting, wanted=True)


def survey(session: ReflectionSession, namespace: str, caches: tuple[Cache, ...]) -> Surroundings:
    """What the caches of `network_sources` say, looked up as it is asked for."""
    nodes = caches[0]
    surroundings = Surroundings(
        home_id=session.home_id,
        provider_id=session.provider_id,
        cluster_of=lambda name: cluster_of(nodes.get(Key("", name))),
        translate=session.translate,
    )
    if not session.translate:
        return surroundings
    ips, networks, configurations, namespaces, slices = caches[1:]
    index = index_name(NAME)

    def find_ranges(cluster: str) -> PeerRanges | None:
        candidates = configurations.by_index(index, f"peer/{cluster}")
        found = configuration_of(cluster, candidates, lambda name: namespaces.get(Key("", name)))
        return None if found is None else read_ranges(found)

    return replace(
        surroundings,
        pod_cidrs=pod_cidrs(networks.list(session.network_namespace)),
        external=lambda address: external_address(ips.by_index(index, address_link(namespace, address))),
        ranges_of=cache(find_ranges),
        takes_own=any(_is_announced(slice_, session.provider_id) for slice_ in slices.list()),
    )


def wants_direct(service: ObjectMeta) -> bool:
    """Whether a Service asks that other providers' pods be reached without a way round through this cluster."""
    return service.annotations.get(labels.USE_DIRECT_CONNECTIONS, labels.FALSE).lower() == labels.TRUE


def cluster_of(node: Object | None) -> str | None:
    """The cluster a Node stands for: "" this one, None where there is no such Node."""
    return None if node is None else node.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "")


def pod_cidrs(networks: Iterable[Network]) -> tuple[CIDR, ...]:
    """This cluster's pod ranges, among the Networks of the installation."""
    return read_cidrs(network.status.cidr for network in networks if _is_of_pods(network))


def external_address(ips: Iterable[IP]) -> str:
    """The address for other clusters that the IP objects of one address have, "" for none yet."""
    return next((ip.status.ip for ip in sorted(ips, key=lambda ip: ip.metadata.name) if ip.status.ip), "")


def _is_of_pods(network: Network) -> bool:
    return network.metadata.labels.get(labels.NETWORK_TYPE) == POD_CIDR


def _is_announced(slice_: ResourceSlice, provider: str) -> bool:
    """Whether a provider has said in a slice that it speaks our additions to stock's protocol."""
    announced = labels.PROVIDER_NETWORK in slice_.metadata.annotations
    return announced and slice_.spec.provider_cluster_id == provider


def _announcement_links(slice_: ResourceSlice) -> tuple[str, ...]:
    return (ANY,) if labels.PROVIDER_NETWORK in slice_.metadata.annotations else ()


def _peer_links(configuration: Configuration) -> Iterable[str]:
    return ANY, f"peer/{configuration.metadata.labels.get(labels.REMOTE_CLUSTER_ID, '')}"


SOURCES = (
    Source(
        resource=REFLECTED_SERVICES,
        in_namespace=True,
        links=lambda service: (f"service/{service.metadata.name}",),
    ),
    Source(resource=NODES.partial(), links=lambda node: (f"node/{node.metadata.name}",)),
)
NETWORK_SOURCES = (
    Source(resource=IPS, links=lambda ip: (address_link(ip.metadata.namespace, ip.spec.ip),)),
    Source(resource=NETWORKS, links=lambda network: (ANY,) if _is_of_pods(network) else ()),
    Source(resource=CONFIGURATIONS, links=_peer_links),
    Source(resource=NAMESPACES.partial(), label_selector=labels.REMOTE_CLUSTER_ID, links=lambda _: ()),
    Source(resource=RESOURCE_SLICES, links=_announcement_links),
)
"""Read where addresses are translated; asked for in the words of others, so that each is watched once."""


def plan(session: ReflectionSession) -> ReflectedKind[LocalSlice, ShadowEndpointSlice]:
    """How EndpointSlices are reflected in this session."""
    return ReflectedKind(
        name=NAME,
        local=LOCAL_SLICES,
        whole=LOCAL_SLICES,
        remote=SHADOW_ENDPOINT_SLICES,
        workers=WORKERS,
        sources=SOURCES + NETWORK_SOURCES if session.translate else SOURCES,
        links=links,
        prepare=partial(prepare, session),
        shortcoming=shortcoming,
        takes=lambda local, options: local.wanted,
        owns=lambda remote: (
            remote.metadata.labels.get(labels.ENDPOINT_SLICE_MANAGED_BY) == labels.ENDPOINT_SLICE_REFLECTION
        ),
        same=same,
        forge=forge,
    )
