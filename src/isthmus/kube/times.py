"""How long ago the API server's clock says something happened."""

from __future__ import annotations

import time
from datetime import datetime

from isthmus.kube.objects import Object


def seconds_since(timestamp: str | None) -> float:
    """Seconds since an RFC 3339 time, 0 for none."""
    if not timestamp:
        return 0.0
    return time.time() - datetime.fromisoformat(timestamp).timestamp()


def deleting_for(object_: Object) -> float:
    """Seconds since the object's deletion was asked for (a pod's: since its grace period is over), 0 if it was not."""
    return seconds_since(object_.metadata.deletion_timestamp)
