"""Names that a cluster completes: cluster ids, namespaces, and only those that fit."""

from __future__ import annotations

import asyncio

from tests.cli.played import Duo
from tests.completion import complete_in_bash


async def test_names_of_the_cluster_are_completed(duo: Duo) -> None:
    for name in ("milan", "naples"):
        duo.rome.create("foreignclusters", {"metadata": {"name": name}})
    flags = ["--kubeconfig", str(duo.folder / "rome")]

    async def complete(*words: str) -> list[str]:
        return await asyncio.to_thread(complete_in_bash, *words)

    assert await complete("isthmus", "info", *flags, "peer", "m") == ["milan"]
    assert await complete("isthmus", "offload", "namespace", *flags, "") == ["kube-system", "liqo", "shop"]
