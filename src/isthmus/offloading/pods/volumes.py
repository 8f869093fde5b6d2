"""A pod's volumes as they must read in the twin namespace: service account tokens and the root CA.

The provider cannot issue tokens of our service accounts, so the reflection puts them into a Secret of the
pod's (`<pod>-token`), and each projected token becomes an item of it. Everything else is copied verbatim.
"""

from __future__ import annotations

from typing import Any

from isthmus.api import names

ROOT_CA = "kube-root-ca.crt"


def forge_volumes(
    volumes: list[dict[str, Any]], pod: str, home_id: str, *, tokens: bool
) -> list[dict[str, Any]]:
    """The volumes of a pod that talks to its home API server, or (`tokens` false) to none."""
    root_ca = names.root_ca_config_map(home_id)
    return [_volume(volume, pod, root_ca, tokens) for volume in volumes]


def _volume(volume: dict[str, Any], pod: str, root_ca: str, tokens: bool) -> dict[str, Any]:
    config_map = volume.get("configMap")
    if config_map is not None and config_map.get("name") == ROOT_CA:
        return {**volume, "configMap": {**config_map, "name": root_ca}}
    projected = volume.get("projected")
    if projected is None:
        return volume
    sources = []
    for source in projected.get("sources") or []:
        forged = _source(source, volume["name"], pod, root_ca, tokens)
        if forged is not None:
            sources.append(forged)
    if not sources:
        return {"name": volume["name"], "emptyDir": {}}
    return {**volume, "projected": {**projected, "sources": sources}}


def _source(
    source: dict[str, Any], volume: str, pod: str, root_ca: str, tokens: bool
) -> dict[str, Any] | None:
    token = source.get("serviceAccountToken")
    if token is not None:
        if not tokens:
            return None
        item = {"key": names.token_key(volume, token["path"]), "path": token["path"]}
        return {"secret": {"name": names.token_secret(pod), "items": [item]}}
    config_map = source.get("configMap")
    if config_map is not None and config_map.get("name") == ROOT_CA:
        return {"configMap": {**config_map, "name": root_ca}}
    return source
