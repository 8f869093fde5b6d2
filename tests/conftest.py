"""What all tests share."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, settings

# How fast a machine makes examples is no property of the product: a busy one is slow at it.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure() -> None:
    """Say that there is no current event loop.

    pytest-asyncio asks for one before the first asynchronous test; asyncio then makes it, nobody closes it, and the
    ResourceWarning fails whichever test runs when it is collected.
    """
    asyncio.set_event_loop(None)
