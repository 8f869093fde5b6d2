"""A pod's volumes as they must read in the twin namespace: service account tokens and the root CA.

The provider cannot issue tokens of our service accounts, so the reflection puts them into a Secret of the
pod's (`<pod>-token`), and each projected token becomes an item of it. The downward API tells the pod's namespace and
UID from annotations, since both are others at the provider: in-cluster clients take "my namespace" from the file beside
the token. Everything else is copied verbatim.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from isthmus.api import names
from isthmus.offloading.pods.metadata import POD_NAMESPACE, POD_UID

ROOT_CA = "kube-root-ca.crt"
_ANNOTATIONS = {"metadata.namespace": POD_NAMESPACE, "metadata.uid": POD_UID}
"""The annotation that has what a field of the downward API says at home."""


class Reading(Struct, frozen=True):
    """How a pod's volumes read at the provider."""

    pod: str
    root_ca: str
    tokens: bool
    """Whether the pod has tokens for its home API server."""
    tells_home: bool
    """Whether the downward API tells the pod's namespace and UID at home."""


def forge_volumes(
    volumes: list[dict[str, Any]], pod: str, home_id: str, *, tokens: bool, tells_home: bool
) -> list[dict[str, Any]]:
    """The volumes of a pod that talks to its home API server, or (`tokens` false) to none."""
    reading = Reading(pod, names.root_ca_config_map(home_id), tokens, tells_home)
    return [_volume(volume, reading) for volume in volumes]


def _volume(volume: dict[str, Any], reading: Reading) -> dict[str, Any]:
    if volume.get("downwardAPI") is not None:
        return {**volume, "downwardAPI": _downward(volume["downwardAPI"], reading)}
    config_map = volume.get("configMap")
    if config_map is not None and config_map.get("name") == ROOT_CA:
        return {**volume, "configMap": {**config_map, "name": reading.root_ca}}
    projected = volume.get("projected")
    if projected is None:
        return volume
    sources = []
    for source in projected.get("sources") or []:
        forged = _source(source, volume["name"], reading)
        if forged is not None:
            sources.append(forged)
    if not sources:
        return {"name": volume["name"], "emptyDir": {}}
    return {**volume, "projected": {**projected, "sources": sources}}


def _source(source: dict[str, Any], volume: str, reading: Reading) -> dict[str, Any] | None:
    token = source.get("serviceAccountToken")
    if token is not None:
        if not reading.tokens:
            return None
        item = {"key": names.token_key(volume, token["path"]), "path": token["path"]}
        return {"secret": {"name": names.token_secret(reading.pod), "items": [item]}}
    config_map = source.get("configMap")
    if config_map is not None and config_map.get("name") == ROOT_CA:
        return {"configMap": {**config_map, "name": reading.root_ca}}
    if source.get("downwardAPI") is not None:
        return {"downwardAPI": _downward(source["downwardAPI"], reading)}
    return source


def _downward(downward: dict[str, Any], reading: Reading) -> dict[str, Any]:
    if not reading.tells_home:
        return downward
    return {**downward, "items": [_item(item) for item in downward.get("items") or []]}


def _item(item: dict[str, Any]) -> dict[str, Any]:
    reference = item.get("fieldRef") or {}
    annotation = _ANNOTATIONS.get(reference.get("fieldPath", ""))
    if annotation is None:
        return item
    return {**item, "fieldRef": {**reference, "fieldPath": f"metadata.annotations['{annotation}']"}}
