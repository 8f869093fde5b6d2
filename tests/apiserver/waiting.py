"""Waiting for a condition by looking again after each change, of whichever server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

_waiting: set[asyncio.Future[None]] = set()


def wake() -> None:
    """Have everybody who waits look again."""
    for one in list(_waiting):
        if not one.done():
            one.set_result(None)


def give_up(error: BaseException) -> None:
    """Have everybody who waits fail: what they wait for will not happen."""
    for one in list(_waiting):
        if not one.done():
            one.set_exception(error)


async def until(true: Callable[[], Any], timeout: float = 30.0, tell: Callable[[], str] = str) -> Any:
    """Wait until something holds; its value. Raises TimeoutError after `timeout` seconds, with what `tell` says."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while not (found := true()):
        changed: asyncio.Future[None] = loop.create_future()
        _waiting.add(changed)
        try:
            async with asyncio.timeout_at(deadline):
                await changed
        except TimeoutError:
            raise TimeoutError(
                f"it did not come to hold within {timeout:g} s; the last requests:\n{tell()}"
            ) from None
        finally:
            _waiting.discard(changed)
    return found
