"""How an installation marks what is its own: the labels by which later runs upgrade, prune and remove.

What the controller makes at run time carries other labels and is never touched by pruning.
"""

from __future__ import annotations

from typing import Any

from isthmus.api import labels
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
    own = {**values.common.global_labels, **metadata.get("labels", {}), **OWN_LABELS}
    metadata["labels"] = dict(sorted(own.items()))
    annotations = {**values.common.global_annotations, **metadata.get("annotations", {})}
    if annotations:
        metadata["annotations"] = dict(sorted(annotations.items()))
    return {**manifest, "metadata": metadata}


def is_own(object_labels: dict[str, str]) -> bool:
    """Whether an object with these labels was applied by an installation of ours."""
    return all(object_labels.get(key) == value for key, value in OWN_LABELS.items())
