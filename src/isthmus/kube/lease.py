"""Contract stub; see the docstrings. To be implemented by the kube helper."""

from __future__ import annotations

from isthmus.kube.client import Client


class LeaderElection:
    """Leader election over a Lease, with client-go's meaning of the times (seconds)."""

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        identity: str,
        *,
        duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
    ) -> None:
        raise NotImplementedError

    async def acquire(self) -> None:
        """Wait until this identity holds the lease."""
        raise NotImplementedError

    async def hold(self) -> None:
        """Renew until the lease is lost, then return; on cancellation release it."""
        raise NotImplementedError
