"""A session whose clients are never used, for what decides without asking anybody."""

from __future__ import annotations

from typing import Any

from isthmus.reflection import ReflectionSession

UNUSED: Any = None


def session(**settings: Any) -> ReflectionSession:
    """Reflection from rome to milan over the virtual node `milan`."""
    clients = dict.fromkeys(
        ("local_client", "local_informers", "remote_client", "remote_informers", "events"), UNUSED
    )
    facts = {"home_id": "rome", "provider_id": "milan", "node_name": "milan"}
    return ReflectionSession(**(clients | facts | settings))
