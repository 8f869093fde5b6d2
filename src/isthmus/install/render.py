"""From values to manifests: the one source of what an installation consists of. Pure."""

from __future__ import annotations

from isthmus.api.crds import custom_resource_definitions
from isthmus.install import defaults, networking, policies, roles, webhooks, workload
from isthmus.install.ownership import marked
from isthmus.install.values import Values
from isthmus.kube.objects import Manifest

RECORD = "liqo-installation"
"""The ConfigMap that records which version was installed, and with which values."""


def installation_record(values: Values, namespace: str, version: str) -> Manifest:
    """What `isthmus info` and the next installation may want to know about this one."""
    from isthmus.install.documents import to_yaml
    from isthmus.install.values import tree

    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": RECORD, "namespace": namespace},
        "data": {"version": version, "values": to_yaml(tree(values))},
    }


def render(values: Values, namespace: str, version: str) -> list[Manifest]:
    """Every manifest of an installation, in the order they have to be applied.

    The values must carry a cluster id; `version` is the one that is recorded as installed.
    """
    manifests: list[Manifest] = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": networking.namespace_labels(values)},
        },
        *custom_resource_definitions(),
        workload.cluster_id_config_map(values, namespace),
        installation_record(values, namespace, version),
        *roles.remote_roles(namespace),
        *policies.admission_policies(values),
        *roles.controller_roles(values, namespace),
        workload.webhook_service(namespace),
        *workload.proxy_service(values, namespace),
    ]
    if values.offloading.enabled:
        manifests.append(defaults.vk_options_template(values, namespace))
        if values.offloading.runtime_class.enabled:
            manifests.append(defaults.runtime_class(values))
    manifests += networking.network_manifests(values, namespace)
    manifests.append(workload.deployment(values, namespace, version))
    manifests += webhooks.webhook_configurations(values, namespace)
    return [marked(manifest, values) for manifest in manifests]
