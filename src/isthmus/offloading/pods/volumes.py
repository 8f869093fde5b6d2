"""A pod's volumes as they must read in the twin namespace: service account tokens and the root CA.

The provider cannot issue tokens of our service accounts, so the reflection puts them into a Secret of the
pod's (`<pod>-token`), and each projected token becomes an item of it. The pod's namespace and UID are others at the
provider: in-cluster clients take "my namespace" from the file beside the token, which comes from that Secret too;
elsewhere the downward API tells both from annotations. Everything else is copied verbatim.
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
    given = projected.get("sources") or []
    beside_token = reading.tokens and any(one.get("serviceAccountToken") for one in given)
    sources = []
    for source in given:
        if beside_token and reading.tells_home and source.get("downwardAPI") is not None:
            sources += _beside_token(source["downwardAPI"], reading)
            continue
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


def _beside_token(downward: dict[str, Any], reading: Reading) -> list[dict[str, Any]]:
    """The sources of a downward API beside a token: its namespace comes from the Secret of the tokens."""
    items = downward.get("items") or []
    paths = [item["path"] for item in items if _field(item) == "metadata.namespace"]
    rest = [item for item in items if _field(item) != "metadata.namespace"]
    secret = [{"key": names.NAMESPACE_KEY, "path": path} for path in paths]
    sources: list[dict[str, Any]] = []
    if secret:
        sources.append({"secret": {"name": names.token_secret(reading.pod), "items": secret}})
    if rest:
        sources.append({"downwardAPI": _downward({**downward, "items": rest}, reading)})
    return sources


def _field(item: dict[str, Any]) -> str:
    return str((item.get("fieldRef") or {}).get("fieldPath", ""))


def tells_namespace(volumes: list[dict[str, Any]]) -> bool:
    """Whether forged volumes read the annotation POD_NAMESPACE."""
    sources = [
        source
        for volume in volumes
        for source in (volume, *(volume.get("projected") or {}).get("sources", ()))
    ]
    items = [item for source in sources for item in (source.get("downwardAPI") or {}).get("items") or ()]
    return any(_field(item) == _path(POD_NAMESPACE) for item in items)


def _path(annotation: str) -> str:
    return f"metadata.annotations['{annotation}']"


def _item(item: dict[str, Any]) -> dict[str, Any]:
    annotation = _ANNOTATIONS.get(_field(item))
    return (
        item
        if annotation is None
        else {**item, "fieldRef": {**item["fieldRef"], "fieldPath": _path(annotation)}}
    )
