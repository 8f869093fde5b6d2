"""offloading.liqo.io: virtual nodes, extended namespaces, shadow objects, quotas."""

from __future__ import annotations

from isthmus.api.crds.schema import (
    AGE,
    Column,
    Kind,
    choice,
    flag,
    integer,
    list_of,
    map_of,
    structure,
    text,
    text_map,
    texts,
)
from isthmus.api.crds.shared import (
    class_list,
    cluster_id,
    condition,
    container_image,
    deployment_spec,
    endpoint,
    endpoint_port,
    local_reference,
    node_affinity,
    node_selector,
    object_reference,
    pod_spec,
    resource_list,
    resource_requirements,
    taint,
    template,
    timestamp,
    toleration,
)
from isthmus.api.offloading import GROUP, VERSION

NAMESPACE_MAP = Kind(
    GROUP,
    VERSION,
    "NamespaceMap",
    "namespacemaps",
    doc="Which namespaces of a consumer are extended to one provider, and under which names.",
    short_names=("nm", "nsmap"),
    columns=(Column("Local", r".metadata.labels.liqo\.io/replication"), AGE),
    spec=structure(
        "What the consumer asks for.",
        {"desiredMapping": text_map("The consumer's namespace to its wished name in the provider.")},
    ),
    status=structure(
        "What the provider made of it.",
        {
            "currentMapping": map_of(
                structure(
                    "",
                    {
                        "phase": choice(
                            "The state of the namespace in the provider.",
                            "Accepted",
                            "CreationLoopBackOff",
                            "Terminating",
                        ),
                        "remoteNamespace": text("Its name."),
                    },
                ),
                "The consumer's namespace to the one in the provider.",
            )
        },
    ),
)

NAMESPACE_OFFLOADING = Kind(
    GROUP,
    VERSION,
    "NamespaceOffloading",
    "namespaceoffloadings",
    doc="Extends the namespace it is in to other clusters. Its name is always `offloading`.",
    short_names=("nso", "nsof", "nsoff", "nsoffloading"),
    columns=(
        Column("NamespaceMappingStrategy", ".spec.namespaceMappingStrategy"),
        Column("PodOffloadingStrategy", ".spec.podOffloadingStrategy"),
        Column("OffloadingPhase", ".status.offloadingPhase"),
        Column("RemoteNamespaceName", ".status.remoteNamespaceName", wide=True),
        AGE,
    ),
    spec_required=True,
    spec=structure(
        "Where to and how.",
        {
            "clusterSelector": node_selector("The virtual nodes it is extended to; all if empty."),
            "namespaceMappingStrategy": choice(
                "The name in the other clusters: the same, one with this cluster's id appended, or a chosen one.",
                "EnforceSameName",
                "DefaultName",
                "SelectedName",
                default="DefaultName",
            ),
            "podOffloadingStrategy": choice(
                "Where pods may run: here, in the other clusters, or both.",
                "Local",
                "Remote",
                "LocalAndRemote",
                default="LocalAndRemote",
            ),
            "remoteNamespaceName": text("The chosen name, with the strategy SelectedName."),
        },
    ),
    status=structure(
        "How far it got.",
        {
            "observedGeneration": integer("The generation this status is of.", format="int64"),
            "offloadingPhase": text(
                "Ready, NoClusterSelected, InProgress, SomeFailed, AllFailed or Terminating."
            ),
            "remoteNamespaceName": text("The name in the other clusters."),
            "remoteNamespacesConditions": map_of(
                list_of(
                    structure(
                        "",
                        {
                            "lastTransitionTime": timestamp(),
                            "message": text("Details for people."),
                            "reason": text("The cause in one word."),
                            "status*": text("The present status."),
                            "type*": text("OffloadingRequired or Ready."),
                        },
                    )
                ),
                "The state in each other cluster.",
            ),
        },
    ),
)

QUOTA = Kind(
    GROUP,
    VERSION,
    "Quota",
    "quotas",
    doc="In the provider: how much the holder of one resource slice may use.",
    short_names=("qt",),
    columns=(
        Column("Enforcement", ".spec.limitsEnforcement"),
        Column("Cordoned", ".spec.cordoned", "boolean"),
        AGE,
        Column("User", ".spec.user", wide=True),
    ),
    spec_required=True,
    spec=structure(
        "The limits.",
        {
            "cordoned": flag("Whether further pods are refused."),
            "limitsEnforcement": choice(
                "What pods have to declare: None nothing, Soft requests, Hard limits equal to the requests.",
                "Hard",
                "Soft",
                "None",
            ),
            "resources*": resource_list("The amounts."),
            "user*": text("The common name of the slice's certificate."),
        },
    ),
)

SHADOW_ENDPOINT_SLICE = Kind(
    GROUP,
    VERSION,
    "ShadowEndpointSlice",
    "shadowendpointslices",
    doc="In the provider: endpoints of a consumer's Service, from which the EndpointSlice is made.",
    short_names=("shes", "sheps", "seps"),
    spec=structure(
        "The endpoints.",
        {
            "template": structure(
                "The EndpointSlice to be made.",
                {
                    "addressType": text("The type of the addresses."),
                    "endpoints": list_of(endpoint(), "The endpoints (discovery/v1 Endpoint)."),
                    "ports": list_of(endpoint_port(), "The ports."),
                },
            )
        },
    ),
)

SHADOW_POD = Kind(
    GROUP,
    VERSION,
    "ShadowPod",
    "shadowpods",
    doc="In the provider: that a pod of a consumer exists here; it is made anew should somebody delete it.",
    short_names=("shp", "shpod"),
    columns=(Column("Status", ".status.phase"), AGE),
    spec=structure("The pod.", {"pod": pod_spec("The pod's spec (core/v1 PodSpec).")}),
    status=structure(
        "What became of the pod.",
        {
            "phase*": choice(
                "The pod's phase.",
                "Pending",
                "Running",
                "Succeeded",
                "Failed",
                "Unknown",
                default="Unknown",
            )
        },
    ),
)

_OFFLOADING_PATCH = structure(
    "What is added to, or held back from, the pods that run on this node.",
    {
        "affinity": structure("", {"nodeAffinity": node_affinity("Affinity to nodes of the provider.")}),
        "annotationsNotReflected": texts("Annotations that stay in this cluster."),
        "labelsNotReflected": texts("Labels that stay in this cluster."),
        "nodeSelector": text_map("Labels of the provider's nodes that pods are restricted to."),
        "runtimeClassName": text("The runtime class in the provider."),
        "tolerations": list_of(toleration(), "Tolerations towards taints of the provider's nodes."),
    },
)

_RESOURCE_QUOTA = structure(
    "The capacity of the node (core/v1 ResourceQuotaSpec).",
    {
        "hard": resource_list("The amounts."),
        "scopeSelector": structure(
            "",
            {
                "matchExpressions": list_of(
                    structure("", {"operator*": text(), "scopeName*": text(), "values": texts()})
                )
            },
            atomic=True,
        ),
        "scopes": texts(),
    },
)

VIRTUAL_NODE = Kind(
    GROUP,
    VERSION,
    "VirtualNode",
    "virtualnodes",
    doc="In the consumer: a share of a provider as a node of this cluster.",
    short_names=("vn", "vnode", "virno", "vno"),
    columns=(
        Column("ClusterID", ".spec.clusterID"),
        Column("Create Node", ".spec.createNode", "boolean"),
        AGE,
        Column("Node", '.status.conditions[?(@.type=="Node")].status', wide=True),
        Column("VirtualKubelet", '.status.conditions[?(@.type=="VirtualKubelet")].status', wide=True),
    ),
    spec=structure(
        "The node.",
        {
            "annotations": text_map("Annotations of the node."),
            "clusterID": cluster_id("The id of the provider."),
            "createNode": flag("Whether there is a Node; without one only objects are reflected."),
            "disableNetworkCheck": flag("Whether the node is ready without a tunnel to the provider."),
            "images": list_of(container_image(), "Images the node shows as present."),
            "ingressClasses": class_list("Ingress classes of the provider.", "ingressClassName"),
            "kubeconfigSecretRef": local_reference("The Secret with the kubeconfig towards the provider."),
            "labels": text_map("Labels of the node."),
            "loadBalancerClasses": class_list(
                "Load balancer classes of the provider.", "loadBalancerClassName"
            ),
            "offloadingPatch": _OFFLOADING_PATCH,
            "resourceQuota": _RESOURCE_QUOTA,
            "storageClasses": class_list("Storage classes of the provider.", "storageClassName"),
            "taints": list_of(taint(), "Further taints of the node."),
            "template": template(
                "The Deployment, where the node has a process of its own.", deployment_spec()
            ),
            "vkOptionsTemplateRef": object_reference("The VkOptionsTemplate with its defaults."),
        },
    ),
    status=structure(
        "What was made of it.",
        {
            "conditions": list_of(
                condition(
                    ("VirtualKubelet", "Node"),
                    ("None", "Running", "Creating", "Draining", "Deleting"),
                    default_status="None",
                ),
                "The state of the node and of what serves it.",
            )
        },
    ),
)

VK_OPTIONS_TEMPLATE = Kind(
    GROUP,
    VERSION,
    "VkOptionsTemplate",
    "vkoptionstemplates",
    doc="Defaults for virtual nodes.",
    short_names=("vkot", "vkopt"),
    columns=(AGE,),
    spec=structure(
        "The defaults.",
        {
            "annotationsNotReflected": texts("Annotations that stay in this cluster."),
            "containerImage*": text("The image, where a virtual node has a process of its own."),
            "createNode*": flag("Whether there is a Node."),
            "disableNetworkCheck*": flag("Whether the node is ready without a tunnel."),
            "extraAnnotations": text_map("Further annotations of that process's pod."),
            "extraArgs": texts("Further arguments of that process."),
            "extraLabels": text_map("Further labels of that process's pod."),
            "imagePullSecrets": list_of(local_reference(""), "Secrets to pull that image with."),
            "labelsNotReflected": texts("Labels that stay in this cluster."),
            "metricsAddress": text("Where metrics are served."),
            "metricsEnabled*": flag("Whether metrics are served."),
            "nodeExtraAnnotations": text_map("Further annotations of the node."),
            "nodeExtraLabels": text_map("Further labels of the node."),
            "pullPolicy": text("When that image is pulled."),
            "reflectorsConfig": map_of(
                structure(
                    "",
                    {
                        "type": text("AllowList, DenyList or CustomLiqo: what is reflected unasked."),
                        "workers*": integer("How many objects at a time; 0 reflects none."),
                    },
                ),
                "How each resource is reflected, by its name.",
            ),
            "replicas": integer("How many such processes.", format="int32"),
            "resources": resource_requirements("Requests and limits of that process."),
            "tolerations": list_of(toleration(), "Tolerations of that process."),
        },
    ),
)

KINDS = (
    NAMESPACE_MAP,
    NAMESPACE_OFFLOADING,
    QUOTA,
    SHADOW_ENDPOINT_SLICE,
    SHADOW_POD,
    VIRTUAL_NODE,
    VK_OPTIONS_TEMPLATE,
)
