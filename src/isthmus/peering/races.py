"""Outcomes that a cache behind the API server explains, taken calmly.

A reconciler decides by what its cache shows. Meanwhile the object may have gone, one of its making may be there
already, or its namespace may be going. None of these is a failure: the watch brings the news, and until then the
key is looked at again after a while.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from isthmus.kube.errors import AlreadyExists, Forbidden, NotFound
from isthmus.kube.objects import Key
from isthmus.kube.reconcile import Reconcile

logger = logging.getLogger(__name__)

CACHE_DELAY = 1.0
GONE_DELAY = 5.0
"""Seconds after which the key is looked at again."""


def calmly(reconcile: Callable[[Key], Awaitable[float | None]]) -> Reconcile:
    """The reconcile function with those outcomes turned into another look."""

    async def reconcile_calmly(key: Key) -> float | None:
        try:
            return await reconcile(key)
        except AlreadyExists:
            return CACHE_DELAY
        except NotFound as error:
            logger.info("gone meanwhile: key=%s, error=%s", key, error)
            return GONE_DELAY
        except Forbidden as error:
            if not is_terminating(error):
                raise
            return GONE_DELAY

    return reconcile_calmly


def is_terminating(error: Forbidden) -> bool:
    """Whether nothing can be created because the namespace is being deleted."""
    return "being terminated" in str(error)
