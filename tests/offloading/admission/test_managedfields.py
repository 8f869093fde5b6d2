"""Managed fields are taken off what is created for offloading, once, and nothing else is touched."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from isthmus.kube.admission import Review
from isthmus.offloading.admission.managedfields import mutate_shadowed_pod


def patch_of(operation: str, metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """What the webhook does to an object with that metadata."""
    body = {"request": {"operation": operation, "object": {"metadata": metadata}}}
    request = msgspec.json.decode(msgspec.json.encode(body), type=Review).request
    verdict = asyncio.run(mutate_shadowed_pod(request))
    assert verdict.allowed
    return verdict.patch


MANAGED = {"name": "web", "managedFields": [{"manager": "shadow-pod", "fieldsV1": {"f:spec": {}}}]}


def test_they_are_taken_off_at_the_creation() -> None:
    assert patch_of("CREATE", MANAGED) == [{"op": "remove", "path": "/metadata/managedFields"}]


def test_an_object_without_any_is_left_alone() -> None:
    assert patch_of("CREATE", {"name": "web"}) == []


def test_what_somebody_applied_later_stays() -> None:
    assert patch_of("UPDATE", MANAGED) == []
