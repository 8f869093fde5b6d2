"""The admission webhooks: which requests the API server asks the controller about (behaviour.md 7).

The authority that signs the controller's certificate is filled in by the controller when it runs; it is left out
here, so that applying these manifests again leaves it alone. No webhook concerns the namespace Isthmus itself runs
in, and the one for pods only those that were extended: a controller that is down never keeps itself from starting.
"""

from __future__ import annotations

from typing import NamedTuple

from isthmus.api import labels, names
from isthmus.install.values import Values
from isthmus.kube.objects import Manifest

TIMEOUT_SECONDS = 5

_API = "admissionregistration.k8s.io/v1"
_CREATE = ("CREATE",)
_CHANGE = ("CREATE", "UPDATE")


class Webhook(NamedTuple):
    """One webhook: `mutating` says in which configuration, `skippable` whether a label on the object avoids it."""

    mutating: bool
    plural: str
    group: str
    version: str
    operations: tuple[str, ...]
    module: str
    skippable: bool = True
    scheduling_only: bool = False
    optional: bool = False
    """Whether the request goes on where no answer comes; and then only about namespaces that are not extended."""
    shadowed_only: bool = False
    """Whether it is about the pods made for ShadowPods alone; the request goes on where no answer comes."""

    @property
    def subject(self) -> str:
        """What it is about, in one word."""
        return "shadowedpods" if self.shadowed_only else self.plural

    @property
    def path(self) -> str:
        """Where the controller answers it."""
        return f"/{'mutate' if self.mutating else 'validate'}/{self.subject}"

    @property
    def name(self) -> str:
        """Its name within the configuration."""
        return f"{self.subject}.{'mutate' if self.mutating else 'validate'}.liqo.io"

    @property
    def dispensable(self) -> bool:
        """Whether the request goes on where no answer comes."""
        return self.optional or self.shadowed_only


_V1BETA1 = "v1beta1"
_AUTHENTICATION = ("authentication.liqo.io", _V1BETA1)
_OFFLOADING = ("offloading.liqo.io", _V1BETA1)
_NETWORKING = ("networking.liqo.io", _V1BETA1)

WEBHOOKS: tuple[Webhook, ...] = (
    Webhook(True, "pods", "", "v1", _CREATE, "offloading", skippable=False, scheduling_only=True),
    Webhook(True, "pods", "", "v1", _CREATE, "offloading", skippable=False, shadowed_only=True),
    Webhook(True, "daemonsets", "apps", "v1", _CHANGE, "offloading", optional=True),
    Webhook(True, "shadowpods", *_OFFLOADING, _CHANGE, "offloading", skippable=False),
    Webhook(True, "virtualnodes", *_OFFLOADING, _CHANGE, "offloading"),
    Webhook(True, "foreignclusters", "core.liqo.io", _V1BETA1, _CHANGE, ""),
    Webhook(True, "tenants", *_AUTHENTICATION, _CHANGE, "authentication"),
    Webhook(True, "firewallconfigurations", *_NETWORKING, _CHANGE, "networking"),
    Webhook(False, "shadowpods", *_OFFLOADING, _CHANGE, "offloading", skippable=False),
    Webhook(False, "virtualnodes", *_OFFLOADING, _CHANGE, "offloading"),
    Webhook(False, "namespaceoffloadings", *_OFFLOADING, _CHANGE, "offloading"),
    Webhook(False, "tenants", *_AUTHENTICATION, _CHANGE, "authentication"),
    Webhook(False, "resourceslices", *_AUTHENTICATION, _CHANGE, "authentication", skippable=False),
    Webhook(False, "firewallconfigurations", *_NETWORKING, _CHANGE, "networking"),
    Webhook(False, "routeconfigurations", *_NETWORKING, _CHANGE, "networking"),
)


def enabled_webhooks(values: Values) -> list[Webhook]:
    """The webhooks of the modules that are switched on; they are all served by the offloading module."""
    if not values.offloading.enabled:
        return []
    modules = {"", "offloading"}
    modules |= {"authentication"} if values.authentication.enabled else set()
    modules |= {"networking"} if values.networking.enabled else set()
    return [webhook for webhook in WEBHOOKS if webhook.module in modules]


def _entry(webhook: Webhook, values: Values, namespace: str) -> Manifest:
    entry: Manifest = {
        "name": webhook.name,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {
            "service": {
                "name": names.WEBHOOK_SERVICE,
                "namespace": namespace,
                "path": webhook.path,
                "port": 443,
            }
        },
        "rules": [
            {
                "apiGroups": [webhook.group],
                "apiVersions": [webhook.version],
                "resources": [webhook.plural],
                "operations": list(webhook.operations),
                "scope": "*",
            }
        ],
        "failurePolicy": "Ignore" if webhook.dispensable else values.webhook.failure_policy,
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": 1 if webhook.dispensable else TIMEOUT_SECONDS,
    }
    if webhook.scheduling_only:
        entry["namespaceSelector"] = {"matchLabels": {labels.SCHEDULING_ENABLED: labels.TRUE}}
    if webhook.optional:
        extended = {"key": labels.SCHEDULING_ENABLED, "operator": "NotIn", "values": [labels.TRUE]}
        own = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [namespace]}
        entry["namespaceSelector"] = {"matchExpressions": [extended, own]}
    if webhook.shadowed_only:
        twin = {"key": labels.REMOTE_CLUSTER_ID, "operator": "Exists"}
        entry["namespaceSelector"] = {"matchExpressions": [twin]}
        entry["objectSelector"] = {"matchLabels": {labels.MANAGED_BY: labels.MANAGED_BY_SHADOW_POD}}
    if webhook.skippable:
        unless = {"key": labels.WEBHOOK_SKIP, "operator": "NotIn", "values": [labels.TRUE]}
        entry["objectSelector"] = {"matchExpressions": [unless]}
    return entry


def webhook_configurations(values: Values, namespace: str) -> list[Manifest]:
    """The two configurations; none where no webhook is served."""
    chosen = enabled_webhooks(values)
    return [
        {
            "apiVersion": _API,
            "kind": kind,
            "metadata": {
                "name": name,
                "labels": {labels.WEBHOOK: labels.TRUE},
                "annotations": {labels.WEBHOOK_SERVICE_NAME: names.WEBHOOK_SERVICE},
            },
            "webhooks": [
                _entry(webhook, values, namespace) for webhook in chosen if webhook.mutating == mutating
            ],
        }
        for kind, name, mutating in (
            ("MutatingWebhookConfiguration", names.MUTATING_WEBHOOKS, True),
            ("ValidatingWebhookConfiguration", names.VALIDATING_WEBHOOKS, False),
        )
        if chosen
    ]
