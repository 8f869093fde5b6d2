"""Contract stub; see the docstrings. To be implemented by the kube helper."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any


class TaskSet:
    """Long-running tasks by name, each owned by whoever calls `ensure` (a replicator a peer, a virtual node...).

    A task that fails is logged and started again with bounded back-off; one that returns is not.
    """

    def ensure(self, name: str, fingerprint: str, start: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run `start()` under `name`; when it already runs with another fingerprint, cancel it, wait for
        its end and start anew. True where something was (re)started."""
        raise NotImplementedError

    async def stop(self, name: str) -> None:
        """Cancel the task and wait for its end; harmless where there is none."""
        raise NotImplementedError

    def names(self) -> Iterable[str]:
        """The names that are running or waiting to be restarted."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stop all."""
        raise NotImplementedError
