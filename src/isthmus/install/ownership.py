"""How an installation marks what is its own: the labels by which later runs upgrade, prune and remove.

What the controller makes at run time carries other labels and is never touched by pruning.
"""

from __future__ import annotations

from typing import Any

from isthmus.api import labels, placeholders
from isthmus.install.values import Values
from isthmus.kube.objects import Manifest

INSTANCE = "liqo"
MANAGER = "isthmus"
FIELD_MANAGER = "isthmus-install"
"""Who owns the fields that an installation applies; the controller's own writes have another manager."""
OWN_LABELS = {labels.APP_INSTANCE: INSTANCE, labels.APP_MANAGED_BY: MANAGER, labels.APP_PART_OF: INSTANCE}
"""On every object that an installation applies."""
OWN_SELECTOR = f"{labels.APP_INSTANCE}={INSTANCE},{labels.APP_MANAGED_BY}={MANAGER}"
"""Selects exactly those objects."""


def marked(manifest: Manifest, values: Values) -> Manifest:
    """The manifest with the labels of the installation and those the user wants on every object."""
    metadata: dict[str, Any] = dict(manifest["metadata"])
    facts = placeholders.facts_of(manifest["apiVersion"].rpartition("/")[0], manifest["kind"], metadata)
    own = {**values.common.global_labels, **metadata.get("labels", {}), **OWN_LABELS}
    metadata["labels"] = _filled(own, facts)
    annotations = {**values.common.global_annotations, **metadata.get("annotations", {})}
    if annotations:
        metadata["annotations"] = _filled(annotations, facts)
    return _with_filled_template({**manifest, "metadata": metadata}, facts)


def _with_filled_template(manifest: Manifest, facts: dict[str, str]) -> Manifest:
    """The same with the placeholders of its pods filled in; only workloads have pods."""
    if manifest["kind"] not in ("Deployment", "DaemonSet"):
        return manifest
    spec = manifest["spec"]
    of_pods = {**facts, "group": "", "kind": "Pod"}
    metadata = {
        key: _filled(value, of_pods) if key in ("labels", "annotations") else value
        for key, value in spec["template"]["metadata"].items()
    }
    return {**manifest, "spec": {**spec, "template": {**spec["template"], "metadata": metadata}}}


def _filled(pairs: dict[str, str], facts: dict[str, str]) -> dict[str, str]:
    return placeholders.fill(dict(sorted(pairs.items())), facts)


def is_own(object_labels: dict[str, str]) -> bool:
    """Whether an object with these labels was applied by an installation of ours."""
    return all(object_labels.get(key) == value for key, value in OWN_LABELS.items())
