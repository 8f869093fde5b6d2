"""What is known at this moment of each provider: whether it answers, and whether it lets us in.

In memory only and learnt anew after a restart: it decides how long a deletion waits for a provider that cannot be
told, and what the ForeignCluster says of its API server and of our identity there. Times are of the event loop's
clock, in seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from isthmus.kube.errors import Forbidden, ServerError, TooManyRequests, TransportError, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSAL_BOUND = 15.0
"""Seconds after which a provider that refuses us is taken to have ended the peering."""
SILENCE_BOUND = 600.0
"""Seconds after which a deletion no longer waits for a provider that does not answer."""
SILENCE_MEMORY = 90.0
"""Seconds after which a request that failed says nothing any more: what fails is asked again sooner than that."""
DELETION_BOUND = 900.0
"""Seconds after which a deletion waits for nothing any more, whatever the provider says or does not."""

REFUSAL_SHOWN = 3.0
"""Seconds after which a refusal is told to people: permissions given this moment may take that to be known."""

SHORTEST_PATIENCE, LONGEST_PATIENCE = 0.5, 10.0

Refusal = Literal["", "certificate", "permissions", "kubeconfig"]
"""What of us it does not take."""

ESTABLISHED, ERROR = "Established", "Error"


class _Silence:
    """For how long requests of one sort have gone unanswered."""

    def __init__(self) -> None:
        self._since = self._last = 0.0

    def note(self) -> None:
        """One more got no answer."""
        now = _now()
        if not self._since or now - self._last > SILENCE_MEMORY:
            self._since = now
        self._last = now

    def end(self) -> None:
        """One was answered."""
        self._since = 0.0

    @property
    def seconds(self) -> float:
        """How long it has lasted, 0 where there is none or the last failure is long past."""
        now = _now()
        return now - self._since if self._since and now - self._last <= SILENCE_MEMORY else 0.0


class Peer:
    """One provider, as its control-plane identity finds it."""

    def __init__(self, cluster_id: str, changed: Callable[[str], None] = lambda cluster_id: None) -> None:
        self.cluster_id = cluster_id
        self.refusal: Refusal = ""
        """Why it is known to keep us out, "" while it does not, or not for long enough to be told."""
        self.server = ""
        self.proxy_url = ""
        self.api_server = ""
        """Established or Error; "" until it was asked."""
        self.message = ""
        self._changed = changed
        self._refused_since: float | None = None
        self._why: Refusal = ""
        self._requests, self._checks = _Silence(), _Silence()

    @contextmanager
    def observe(self, *, refusals: bool = True) -> Iterator[None]:
        """Judge by the outcome of the request within whether the provider answers and lets us in.

        Without `refusals` no more than whether it answers and takes our certificate: what anybody may ask says
        nothing of our permissions, nor whether a server that lives gets anything done.
        """
        try:
            yield
        except (Unauthorized, Forbidden) as error:
            self._answered(requests=refusals)
            if isinstance(error, Unauthorized):
                self.refuse("certificate")
            elif refusals:
                self.refuse("permissions")
            raise
        except TransportError:
            (self._requests if refusals else self._checks).note()
            raise
        except (ServerError, TooManyRequests):
            if refusals:
                self._requests.note()
            raise
        self._answered(requests=refusals)
        if refusals or self._why == "certificate":
            self.admit()

    def admit(self) -> None:
        """Note that the provider lets us in, or that we have not asked it yet with what we have now."""
        self._refused_since, self._why = None, ""
        self._tell("")

    def _answered(self, *, requests: bool) -> None:
        self._checks.end()
        if requests:
            self._requests.end()

    def refuse(self, why: Refusal) -> None:
        """Note that the provider, or a kubeconfig that cannot be used, keeps us out."""
        now = _now()
        self._refused_since, self._why = self._refused_since or now, why
        if now - self._refused_since >= REFUSAL_SHOWN:
            self._tell(why)

    @property
    def refused(self) -> bool:
        """Whether it kept us out when it was last asked for something."""
        return self._refused_since is not None

    def _tell(self, refusal: Refusal) -> None:
        if self.refusal != refusal:
            self.refusal = refusal
            self._changed(self.cluster_id)

    @property
    def patience(self) -> float:
        """Seconds until a provider that refuses is asked again: as long as it has refused, within bounds.

        Permissions given this moment may take a second to be known everywhere; those of a drained Tenant come back
        after days.
        """
        refused = 0.0 if self._refused_since is None else _now() - self._refused_since
        return min(max(refused, SHORTEST_PATIENCE), LONGEST_PATIENCE)

    @property
    def lost(self) -> bool:
        """Whether it has been out of reach for so long that nothing waits for it any more."""
        refused = self._refused_since
        silent = max(self._requests.seconds, self._checks.seconds)
        return (refused is not None and _now() - refused >= REFUSAL_BOUND) or silent >= SILENCE_BOUND


class Peers:
    """The providers that a control-plane Secret is there for, by cluster id."""

    def __init__(self) -> None:
        self._peers: dict[str, Peer] = {}
        self.changed: Callable[[str], None] = lambda cluster_id: None
        """Called with a peer's id when what is known of its API server, or of our identity there, changes."""

    def find(self, cluster_id: str) -> Peer | None:
        """What is known of a provider."""
        return self._peers.get(cluster_id)

    def get(self, cluster_id: str) -> Peer:
        """What is known of a provider, made at the first call."""
        return self._peers.setdefault(cluster_id, Peer(cluster_id, lambda id_: self.changed(id_)))

    def forget(self, cluster_id: str) -> None:
        """Drop what is known of a provider."""
        if self._peers.pop(cluster_id, None) is not None:
            self.changed(cluster_id)

    def report(self, cluster_id: str, api_server: str, message: str) -> None:
        """Note how the provider's API server answered."""
        peer = self.get(cluster_id)
        if (peer.api_server, peer.message) != (api_server, message):
            peer.api_server, peer.message = api_server, message
            self.changed(cluster_id)


def _now() -> float:
    return asyncio.get_running_loop().time()
