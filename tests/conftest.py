"""What all tests share."""

from __future__ import annotations

import asyncio


def pytest_configure() -> None:
    """Say that there is no current event loop.

    pytest-asyncio asks for one before the first asynchronous test; asyncio then makes it, nobody closes it, and the
    ResourceWarning fails whichever test runs when it is collected.
    """
    asyncio.set_event_loop(None)
