"""Pieces that several kinds have in common: references, conditions, and the smaller types of Kubernetes.

The types of Kubernetes have every field that releases up to 1.37 know; the large ones (PodSpec, DeploymentSpec,
ServiceSpec) are free-form, so that nothing of a later release is lost.
"""

from __future__ import annotations

from isthmus.api.crds.schema import (
    Schema,
    choice,
    flag,
    free_form,
    integer,
    list_of,
    map_of,
    quantity,
    structure,
    text,
    text_map,
    texts,
)

DNS_LABEL_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"


def cluster_id(doc: str) -> Schema:
    """The id of a cluster: a DNS label."""
    return text(doc, pattern=DNS_LABEL_PATTERN)


def timestamp(doc: str = "When the status last changed.") -> Schema:
    """A point in time, RFC 3339."""
    return text(doc, format="date-time")


def local_reference(doc: str) -> Schema:
    """core/v1 LocalObjectReference."""
    return structure(doc, {"name": text("The object's name.", default="")}, atomic=True)


def object_reference(doc: str) -> Schema:
    """core/v1 ObjectReference."""
    return structure(
        doc,
        {
            "apiVersion": text(),
            "fieldPath": text(),
            "kind": text(),
            "name": text(),
            "namespace": text(),
            "resourceVersion": text(),
            "uid": text(),
        },
        atomic=True,
    )


def object_metadata(doc: str = "Metadata of the object made from this template.") -> Schema:
    """The part of metav1 ObjectMeta that templates carry."""
    return structure(
        doc,
        {
            "annotations": text_map(),
            "finalizers": texts(),
            "labels": text_map(),
            "name": text(),
            "namespace": text(),
        },
    )


def template(doc: str, spec: Schema) -> Schema:
    """An object to be made: its metadata and its spec."""
    return structure(doc, {"metadata": object_metadata(), "spec": spec})


def pod_spec(doc: str) -> Schema:
    """core/v1 PodSpec, kept as it comes."""
    return free_form(doc)


def deployment_spec(doc: str = "The Deployment's spec (apps/v1 DeploymentSpec).") -> Schema:
    """apps/v1 DeploymentSpec, kept as it comes."""
    return free_form(doc)


def service_spec(doc: str = "The Service's spec (core/v1 ServiceSpec).") -> Schema:
    """core/v1 ServiceSpec, kept as it comes."""
    return free_form(doc)


def resource_list(doc: str) -> Schema:
    """core/v1 ResourceList."""
    return map_of(quantity(), doc)


def toleration() -> Schema:
    """core/v1 Toleration."""
    return structure(
        "",
        {
            "effect": text(),
            "key": text(),
            "operator": text(),
            "tolerationSeconds": integer(format="int64"),
            "value": text(),
        },
    )


def taint() -> Schema:
    """core/v1 Taint."""
    return structure(
        "",
        {"effect*": text(), "key*": text(), "timeAdded": text(format="date-time"), "value": text()},
    )


def container_image() -> Schema:
    """core/v1 ContainerImage."""
    return structure("", {"names": texts(), "sizeBytes": integer(format="int64")})


def _requirements() -> Schema:
    item = structure("", {"key*": text(), "operator*": text(), "values": texts()})
    return list_of(item)


def _node_selector_term() -> Schema:
    return structure("", {"matchExpressions": _requirements(), "matchFields": _requirements()}, atomic=True)


def node_selector(doc: str) -> Schema:
    """core/v1 NodeSelector: terms of which one has to match."""
    return structure(doc, {"nodeSelectorTerms*": list_of(_node_selector_term())}, atomic=True)


def node_affinity(doc: str) -> Schema:
    """core/v1 NodeAffinity."""
    preferred = structure("", {"preference*": _node_selector_term(), "weight*": integer(format="int32")})
    return structure(
        doc,
        {
            "preferredDuringSchedulingIgnoredDuringExecution": list_of(preferred),
            "requiredDuringSchedulingIgnoredDuringExecution": node_selector(""),
        },
    )


def label_selector(doc: str) -> Schema:
    """metav1 LabelSelector."""
    return structure(doc, {"matchExpressions": _requirements(), "matchLabels": text_map()}, atomic=True)


def resource_requirements(doc: str) -> Schema:
    """core/v1 ResourceRequirements."""
    claim = structure("", {"name*": text(), "request": text()})
    return structure(
        doc,
        {"claims": list_of(claim), "limits": map_of(quantity()), "requests": map_of(quantity())},
    )


def endpoint() -> Schema:
    """discovery/v1 Endpoint; unknown fields are kept, for it is copied from one cluster to the other."""
    schema = structure(
        "",
        {
            "addresses*": texts(),
            "conditions": structure("", {"ready": flag(), "serving": flag(), "terminating": flag()}),
            "deprecatedTopology": text_map(),
            "hints": structure(
                "",
                {
                    "forNodes": list_of(structure("", {"name*": text()})),
                    "forZones": list_of(structure("", {"name*": text()})),
                },
            ),
            "hostname": text(),
            "nodeName": text(),
            "targetRef": object_reference(""),
            "zone": text(),
        },
    )
    schema["x-kubernetes-preserve-unknown-fields"] = True
    schema["properties"]["hints"]["x-kubernetes-preserve-unknown-fields"] = True
    return schema


def endpoint_port() -> Schema:
    """A port of a ShadowEndpointSlice (discovery/v1 EndpointPort)."""
    return structure(
        "",
        {
            "appProtocol": text(),
            "name": text(),
            "port": integer(format="int32"),
            "protocol": text(),
        },
    )


def class_list(doc: str, field: str) -> Schema:
    """Offered classes (of storage, ingresses or load balancers), of which one may be the default."""
    item = structure(
        "", {f"{field}*": text("The class's name."), "default": flag("Whether it is the default one.")}
    )
    return list_of(item, doc)


def authentication_parameters(doc: str) -> Schema:
    """What a consumer needs to reach and to be known by the provider's API server."""
    aws = structure(
        "Credentials of a user of AWS, where the provider is an EKS cluster.",
        {
            "awsAccessKeyID*": text(),
            "awsClusterName*": text(),
            "awsRegion*": text(),
            "awsSecretAccessKey*": text(),
            "awsUserArn*": text(),
        },
    )
    return structure(
        doc,
        {
            "apiServer": text("URL of the provider's API server."),
            "awsConfig": aws,
            "ca": text("Authority (PEM) that signed the API server's certificate.", format="byte"),
            "proxyURL": text("Proxy to reach the API server through."),
            "signedCRT": text("Certificate (PEM) signed by the provider.", format="byte"),
        },
    )


def condition(
    types: tuple[str, ...], statuses: tuple[str, ...], *, default_status: str | None = None
) -> Schema:
    """A condition whose type and status are of a closed set."""
    return structure(
        "",
        {
            "lastTransitionTime": timestamp(),
            "message": text("Details for people."),
            "reason": text("The cause in one word."),
            "status*": choice("The present status.", *statuses, default=default_status),
            "type*": choice("What the condition is about.", *types),
        },
    )


def host_condition() -> Schema:
    """The outcome of applying a configuration on one host."""
    return structure(
        "",
        {
            "host*": text("The host the condition is of."),
            "lastTransitionTime": timestamp(),
            "status*": text("The present status."),
            "type*": text("What the condition is about."),
        },
    )
