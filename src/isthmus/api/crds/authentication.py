"""authentication.liqo.io: Identity, Renew, ResourceSlice, Tenant."""

from __future__ import annotations

from isthmus.api.authentication import GROUP, VERSION
from isthmus.api.crds.schema import (
    AGE,
    Column,
    Kind,
    choice,
    immutable,
    list_of,
    structure,
    text,
    text_map,
)
from isthmus.api.crds.shared import (
    authentication_parameters,
    class_list,
    cluster_id,
    condition,
    local_reference,
    resource_list,
)

IDENTITY = Kind(
    GROUP,
    VERSION,
    "Identity",
    "identities",
    doc="In the consumer: credentials towards one provider, turned into a Secret with a kubeconfig.",
    short_names=("id",),
    columns=(
        Column("Type", ".spec.type"),
        Column("KubeconfigSecret", ".status.kubeconfigSecretRef.name", wide=True),
        AGE,
    ),
    spec=structure(
        "The credentials.",
        {
            "authParams": authentication_parameters("How to reach the provider, and as whom."),
            "clusterID": cluster_id("The id of the provider."),
            "namespace": text("The tenant namespace in the provider."),
            "type": choice(
                "Whether it speaks for the whole cluster or for one resource slice.",
                "ControlPlane",
                "ResourceSlice",
            ),
        },
    ),
    status=structure(
        "What was made of it.", {"kubeconfigSecretRef": local_reference("The Secret with the kubeconfig.")}
    ),
)

RENEW = Kind(
    GROUP,
    VERSION,
    "Renew",
    "renews",
    doc="A standing request of the consumer to have its certificate renewed by the provider before it expires.",
    columns=(AGE,),
    spec=structure(
        "Who asks for what.",
        {
            "consumerClusterID": cluster_id("The id of the consumer."),
            "csr": text("Certificate signing request (PEM).", format="byte"),
            "identityType": text("The type of the Identity to be renewed."),
            "publicKey": text("Public key (PEM) of the consumer.", format="byte"),
            "resourceSliceRef": local_reference("The resource slice, where the identity belongs to one."),
        },
    ),
    status=structure(
        "The provider's answer.", {"authParams": authentication_parameters("The renewed credentials.")}
    ),
)

RESOURCE_SLICE = Kind(
    GROUP,
    VERSION,
    "ResourceSlice",
    "resourceslices",
    doc="A share of a provider's resources: asked for in the consumer, granted by the provider.",
    short_names=("rslice",),
    columns=(
        Column("Authentication", '.status.conditions[?(@.type=="Authentication")].status'),
        Column("Resources", '.status.conditions[?(@.type=="Resources")].status'),
        AGE,
    ),
    spec=structure(
        "What the consumer asks for.",
        {
            "class": text("Which controller of the provider decides; `default` grants what is asked for."),
            "consumerClusterID": cluster_id("The id of the consumer."),
            "csr": text("Certificate signing request (PEM) of this slice's own identity.", format="byte"),
            "providerClusterID": cluster_id("The id of the provider."),
            "resources": resource_list("Wished amounts; the provider adds its defaults for those left out."),
        },
    ),
    status=structure(
        "What the provider grants.",
        {
            "authParams": authentication_parameters("The credentials of this slice."),
            "conditions": list_of(
                condition(("Authentication", "Resources"), ("Accepted", "Denied")),
                "Whether the request was accepted.",
            ),
            "ingressClasses": class_list("Ingress classes on offer.", "ingressClassName"),
            "loadBalancerClasses": class_list("Load balancer classes on offer.", "loadBalancerClassName"),
            "nodeLabels": text_map("Labels for the virtual node."),
            "nodeSelector": text_map("Labels of the provider's nodes that pods are restricted to."),
            "resources": resource_list("Granted amounts."),
            "storageClasses": class_list("Storage classes on offer.", "storageClassName"),
        },
    ),
)

TENANT = Kind(
    GROUP,
    VERSION,
    "Tenant",
    "tenants",
    doc="In the provider: one consumer, how it proves who it is, and whether it may use resources.",
    short_names=("tn",),
    columns=(Column("Condition", ".spec.tenantCondition"), AGE),
    spec=structure(
        "What the consumer presents and the provider's administrator decides.",
        {
            "authzPolicy": choice(
                "Whether the nonce has to be signed with the consumer's key, or the administrator gives access.",
                "KeysExchange",
                "TolerateNoHandshake",
                default="KeysExchange",
            ),
            "clusterID": immutable(cluster_id("The id of the consumer.")),
            "csr": text("Certificate signing request (PEM) of the consumer's control plane.", format="byte"),
            "proxyURL": text("Proxy the consumer is to reach this cluster's API server through."),
            "publicKey": text("Public key (PEM) of the consumer.", format="byte"),
            "signature": text("Signature of the nonce by that key.", format="byte"),
            "tenantCondition": choice(
                "Active, Cordoned (no further resources) or Drained (no resources at all).",
                "Active",
                "Cordoned",
                "Drained",
                default="Active",
            ),
        },
    ),
    status=structure(
        "The provider's answer.",
        {
            "authParams": authentication_parameters("The credentials for the consumer."),
            "tenantNamespace": text("The namespace that holds the objects of this consumer."),
        },
    ),
)

KINDS = (IDENTITY, RENEW, RESOURCE_SLICE, TENANT)
