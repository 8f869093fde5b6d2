"""What users of the offloading module find ready: the default options of virtual nodes and the runtime class."""

from __future__ import annotations

import msgspec

from isthmus.api import labels, names
from isthmus.install.values import Values
from isthmus.kube.objects import Manifest
from isthmus.offloading.placement import needed_tolerations


def vk_options_template(values: Values, namespace: str) -> Manifest:
    """The VkOptionsTemplate of virtual nodes that name no other."""
    reflection = values.offloading.reflection
    reflectors = {
        name: {key: settings[key] for key in ("workers", "type") if key in settings}
        for name, settings in msgspec.to_builtins(reflection).items()
        if name != "skip"
    }
    extra = values.virtual_kubelet.virtual_node.extra
    spec: Manifest = {
        "containerImage": values.image,
        "pullPolicy": values.pull_policy,
        "createNode": values.offloading.create_node,
        "disableNetworkCheck": values.offloading.disable_network_check,
        "metricsEnabled": False,
        "labelsNotReflected": reflection.skip.labels,
        "annotationsNotReflected": reflection.skip.annotations,
        "reflectorsConfig": reflectors,
        "nodeExtraLabels": extra.labels,
        "nodeExtraAnnotations": extra.annotations,
    }
    return {
        "apiVersion": "offloading.liqo.io/v1beta1",
        "kind": "VkOptionsTemplate",
        "metadata": {"name": names.DEFAULT_VK_OPTIONS_TEMPLATE, "namespace": namespace},
        "spec": {name: value for name, value in spec.items() if value not in ([], {})},
    }


def runtime_class(values: Values) -> Manifest:
    """The RuntimeClass with which a pod asks for a virtual node, whatever its namespace's strategy."""
    chosen = values.offloading.runtime_class
    return {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": chosen.name},
        "handler": chosen.handler,
        "scheduling": {
            "nodeSelector": {labels.NODE_TYPE: labels.NODE_TYPE_VIRTUAL},
            "tolerations": needed_tolerations(values.virtual_kubelet.virtual_node.taint_effect),
        },
    }
