"""What a user may set: the values of an installation, named as in the Helm chart of Liqo (behaviour.md 8.3).

Only values that this version acts on are known; any other name is an error that says the nearest known one.
`resolve` merges defaults, flags, files and `--set` in this order, the last one winning. Pure functions; all
failures are `InstallError`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import field

from isthmus.api import labels
from isthmus.install.errors import InstallError
from isthmus.install.network_values import AddressManagement, Metrics, Networking, Proxy
from isthmus.install.section import Section

IMAGE_NAME = "localhost/isthmus"
IMAGE_TAG = "latest"
DEFAULT_IMAGE = f"{IMAGE_NAME}:{IMAGE_TAG}"
"""What is run unless another image is named: the one the lab builds and loads."""

Tree = dict[str, Any]


class DiscoveryConfig(Section, frozen=True, kw_only=True):
    """Who this cluster is."""

    cluster_id: str = field(default="", name="clusterID")
    cluster_labels: dict[str, str | int | float | bool] = field(default_factory=dict)


class Discovery(Section, frozen=True, kw_only=True):
    """Who this cluster is."""

    config: DiscoveryConfig = field(default_factory=DiscoveryConfig)


class ApiServer(Section, frozen=True, kw_only=True):
    """How peers reach this cluster's API server; `ca` is PEM."""

    address: str = ""
    ca: str = ""
    trusted_ca: bool = field(default=False, name="trustedCA")


class Authentication(Section, frozen=True, kw_only=True):
    """The authentication module."""

    enabled: bool = True
    tls_compatibility_mode: bool = False
    default_resource_slice_class_enabled: bool = True


class RuntimeClass(Section, frozen=True, kw_only=True):
    """The runtime class that sends a pod to virtual nodes."""

    enabled: bool = True
    name: str = "liqo"
    handler: str = "liqo"


class Reflector(Section, frozen=True, kw_only=True):
    """How one kind is reflected: objects at a time (0 for none), and what is reflected unasked."""

    workers: int = 3
    type: str = "DenyList"


class Announced(Section, frozen=True, kw_only=True):
    """A class of load balancers or Ingresses that consumers are told of."""

    name: str
    default: bool = False


class ServiceReflector(Reflector, frozen=True, kw_only=True):
    """How Services are reflected, and the classes of load balancers that consumers may ask for."""

    load_balancer_classes: list[Announced] = field(default_factory=list)


class IngressReflector(Reflector, frozen=True, kw_only=True):
    """How Ingresses are reflected, and the classes that consumers may ask for."""

    ingress_classes: list[Announced] = field(default_factory=list)


class Workers(Section, frozen=True, kw_only=True):
    """How many objects of one kind are reflected at a time; 0 for none."""

    workers: int = 3


class Skip(Section, frozen=True, kw_only=True):
    """Keys of labels and annotations that stay in this cluster."""

    labels: list[str] = field(default_factory=list)
    annotations: list[str] = field(
        default_factory=lambda: [
            "cloud.google.com/neg",
            "cloud.google.com/neg-status",
            "ingress.kubernetes.io/backends",
            "ingress.kubernetes.io/forwarding-rule",
            "ingress.kubernetes.io/target-proxy",
            "ingress.kubernetes.io/url-map",
            "kubernetes.digitalocean.com/load-balancer-id",
            "loadbalancer.openstack.org/keep-floatingip",
            "metallb.universe.tf/address-pool",
            "metallb.universe.tf/ip-allocated-from-pool",
            "metallb.universe.tf/loadBalancerIPs",
        ]
    )


class Reflection(Section, frozen=True, kw_only=True):
    """What of an extended namespace is reflected, as the default VkOptionsTemplate says it."""

    skip: Skip = field(default_factory=Skip)
    pod: Workers = field(default_factory=lambda: Workers(workers=10))
    service: ServiceReflector = field(default_factory=ServiceReflector)
    endpointslice: Workers = field(default_factory=lambda: Workers(workers=10))
    ingress: IngressReflector = field(default_factory=IngressReflector)
    configmap: Reflector = field(default_factory=Reflector)
    secret: Reflector = field(default_factory=Reflector)
    serviceaccount: Workers = field(default_factory=Workers)
    persistentvolumeclaim: Workers = field(default_factory=Workers)
    event: Reflector = field(default_factory=Reflector)


class Offloading(Section, frozen=True, kw_only=True):
    """The offloading module; `privileged_pods`: whether consumers' pods may reach into the nodes they run on."""

    enabled: bool = True
    privileged_pods: bool = False
    create_node: bool = True
    disable_network_check: bool = False
    default_node_resources: dict[str, str | int | float] = field(
        default_factory=lambda: {"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "20Gi"}
    )
    runtime_class: RuntimeClass = field(default_factory=RuntimeClass)
    reflection: Reflection = field(default_factory=Reflection)


class Pod(Section, frozen=True, kw_only=True):
    """Details of a pod."""

    annotations: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    priority_class_name: str = ""
    resources: dict[str, Any] = field(default_factory=lambda: {"requests": {"cpu": "20m", "memory": "48Mi"}})


class ControllerPod(Pod, frozen=True, kw_only=True):
    """Details of the controller's pod."""

    extra_args: list[str] = field(default_factory=list)


class ControllerConfig(Section, frozen=True, kw_only=True):
    """How the controller behaves."""

    enable_resource_enforcement: bool = True
    default_limits_enforcement: str = "None"


class Image(Section, frozen=True, kw_only=True):
    """An image; its tag is the value `tag`, unless the name carries one or a digest."""

    name: str = IMAGE_NAME


class ControllerManager(Section, frozen=True, kw_only=True):
    """The controller's Deployment; with more than one replica the others wait to take over."""

    replicas: int = 1
    config: ControllerConfig = field(default_factory=ControllerConfig)
    image: Image = field(default_factory=Image)
    pod: ControllerPod = field(default_factory=ControllerPod)


class Webhook(Section, frozen=True, kw_only=True):
    """The admission webhooks; `failure_policy` Fail or Ignore is what happens while none answers."""

    port: int = 9443
    failure_policy: str = "Fail"


class Extra(Section, frozen=True, kw_only=True):
    """Further labels and annotations."""

    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


class VirtualNode(Section, frozen=True, kw_only=True):
    """What every virtual node gets; `taint_effect` is that of the taint which keeps other pods away."""

    taint_effect: str = labels.TAINT_EFFECT
    extra: Extra = field(default_factory=Extra)


class VirtualKubelet(Section, frozen=True, kw_only=True):
    """What serves the virtual nodes."""

    virtual_node: VirtualNode = field(default_factory=VirtualNode)


class Common(Section, frozen=True, kw_only=True):
    """What holds for every pod and every object."""

    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    affinity: dict[str, Any] = field(default_factory=dict)
    global_labels: dict[str, str] = field(default_factory=lambda: {"liqo.io/managed": "true"})
    global_annotations: dict[str, str] = field(default_factory=dict)


class Kernel(Section, frozen=True, kw_only=True):
    """Whether the kernels of the nodes are checked before anything is written."""

    enabled: bool = True


class Requirements(Section, frozen=True, kw_only=True):
    """What is asked of the cluster before anything is written."""

    kernel: Kernel = field(default_factory=Kernel)


class Values(Section, frozen=True, kw_only=True):
    """The values of one installation."""

    tag: str = IMAGE_TAG
    pull_policy: str = "IfNotPresent"
    image_pull_secrets: list[dict[str, str]] = field(default_factory=list)
    discovery: Discovery = field(default_factory=Discovery)
    api_server: ApiServer = field(default_factory=ApiServer)
    networking: Networking = field(default_factory=Networking)
    ipam: AddressManagement = field(default_factory=AddressManagement)
    authentication: Authentication = field(default_factory=Authentication)
    offloading: Offloading = field(default_factory=Offloading)
    controller_manager: ControllerManager = field(default_factory=ControllerManager)
    webhook: Webhook = field(default_factory=Webhook)
    virtual_kubelet: VirtualKubelet = field(default_factory=VirtualKubelet)
    metrics: Metrics = field(default_factory=Metrics)
    proxy: Proxy = field(default_factory=Proxy)
    common: Common = field(default_factory=Common)
    requirements: Requirements = field(default_factory=Requirements)

    @property
    def cluster_id(self) -> str:
        """The id of this cluster, "" where none was chosen."""
        return self.discovery.config.cluster_id

    @property
    def image(self) -> str:
        """The image to run."""
        name = self.controller_manager.image.name
        tagged = "@" in name or ":" in name.rpartition("/")[2]
        return name if tagged else f"{name}:{self.tag}"

    def with_cluster_id(self, cluster_id: str) -> Values:
        """The same values for a cluster of that id."""
        config = msgspec.structs.replace(self.discovery.config, cluster_id=cluster_id)
        return msgspec.structs.replace(self, discovery=Discovery(config=config))

    @property
    def lacks_ranges(self) -> bool:
        """Whether the ranges of pods or Services are needed and have yet to be found out."""
        return self.networking.enabled and not (self.ipam.pod_cidrs and self.ipam.service_cidr)

    def with_ranges(self, pod_cidrs: list[str], service_cidr: str) -> Values:
        """The same values for a cluster with those ranges."""
        ipam = msgspec.structs.replace(self.ipam, pod_cidrs=pod_cidrs, service_cidr=service_cidr)
        return msgspec.structs.replace(self, ipam=ipam)

    def with_address(self, address: str) -> Values:
        """The same values for a cluster whose API server peers reach at that URL."""
        return msgspec.structs.replace(
            self, api_server=msgspec.structs.replace(self.api_server, address=address)
        )


def tree(values: Values) -> Tree:
    """The values as plain data, as they are written in a file."""
    result: Tree = msgspec.to_builtins(values)
    return result


def resolve(layers: list[tuple[str, Tree]]) -> Values:
    """Merge layers of plain data over the defaults, the last one winning, and check the outcome.

    Each layer comes with the name of where it is from, such as `--set`. Raises InstallError naming that source,
    the value and the mend.
    """
    from isthmus.install.validation import check_names, check_values

    merged = tree(Values())
    for source, layer in layers:
        check_names(source, layer)
        merged = merge(merged, layer)
    try:
        values = msgspec.convert(merged, Values, strict=False)
    except msgspec.ValidationError as error:
        raise InstallError(_type_fault(str(error))) from error
    check_values(values)
    return values


def merge(base: Tree, over: Tree) -> Tree:
    """One tree laid over another: maps are merged, everything else is replaced, None takes a key away."""
    result = dict(base)
    for key, value in over.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = value
    return result


def group(tree: Tree, name: str) -> Tree:
    """A group of values; none where somebody wrote something else in its place."""
    found = tree.get(name)
    return found if isinstance(found, dict) else {}


def _type_fault(message: str) -> str:
    fault, _, path = message.replace("`", "").partition(" - at $.")
    hint = ": write a list as {one,two}" if "expected array" in fault.lower() else ""
    return f"value {path or '(all)'}: {fault[:1].lower()}{fault[1:]}{hint}"
