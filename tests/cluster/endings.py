"""Namespaces that end in the background while tests go on: nothing may be left of any, which is looked at once.

Kubernetes takes five seconds over the end of each namespace, and twins end after it: waiting after every test would
be a fifth of the run.
"""

from __future__ import annotations

from tests.cluster.support import Cluster, eventually

SETTLED_WITHIN = 240.0
"""There may be a hundred pods in one."""


class Endings:
    """What was deleted and has to be gone in the end."""

    def __init__(self) -> None:
        self._expected: list[tuple[Cluster, str]] = []

    def delete(self, cluster: Cluster, *namespaces: str) -> None:
        """Delete namespaces of a cluster and expect their end."""
        cluster.kubectl("delete", "namespace", "--wait=false", "--ignore-not-found", *namespaces)
        self.expect(cluster, *namespaces)

    def expect(self, cluster: Cluster, *namespaces: str) -> None:
        """Expect the end of namespaces that somebody else deletes, such as twins."""
        self._expected += [(cluster, name) for name in namespaces]

    def left(self) -> list[str]:
        """Those that are there still, as `cluster/namespace`."""
        names = {
            cluster.name: {one["metadata"]["name"] for one in cluster.items("namespaces")}
            for cluster, _ in self._expected
        }
        return [f"{cluster.name}/{name}" for cluster, name in self._expected if name in names[cluster.name]]

    def settle(self) -> None:
        """Wait until all are gone. Raises AssertionError with the names of those that stay."""
        if self._expected:
            eventually(
                lambda: not self.left(),
                within=SETTLED_WITHIN,
                what="the end of namespaces",
                instead=self.left,
            )
        self._expected.clear()
