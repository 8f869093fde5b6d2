"""Looking at a cluster often and cheaply: a kubectl for each look would cost more than all that is looked at."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any

from isthmus.kube.client import Client
from isthmus.kube.credentials import load_kubeconfig
from isthmus.kube.errors import NotFound
from tests.cluster.support import Cluster

Item = dict[str, Any]
PARALLEL = 8


class Reader:
    """Reads the objects of one cluster as its admin, over connections that are kept."""

    def __init__(self, cluster: Cluster) -> None:
        self.name = cluster.name
        self._runner = asyncio.Runner()
        self._client = Client(load_kubeconfig(cluster.kubeconfig))

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        self._runner.run(self._client.close())
        self._runner.close()

    def items(self, path: str) -> list[Item]:
        """The objects of a list, as `/api/v1/pods`; none where the kind is not served. Raises KubeError."""
        return self.read([path])[0]

    def read(self, paths: list[str]) -> list[list[Item]]:
        """The objects of several lists, each object with its kind."""

        async def every() -> list[list[Item]]:
            limit = asyncio.Semaphore(PARALLEL)

            async def one(path: str) -> list[Item]:
                async with limit:
                    return await self._list(path)

            return list(await asyncio.gather(*map(one, paths)))

        return self._runner.run(every())

    async def _list(self, path: str) -> list[Item]:
        try:
            answer = json.loads((await self._client.request("GET", path)).body)
        except NotFound:
            return []
        kind = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
        return [kind | item for item in answer["items"]]


def is_ready(pod: Item) -> bool:
    """Whether a pod is Ready, and stays."""
    conditions = {one["type"]: one["status"] for one in pod.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]
