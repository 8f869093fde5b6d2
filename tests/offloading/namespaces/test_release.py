"""A NamespaceMap that its consumer deleted waits for the twin namespaces, and not for ever."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.api import labels
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.namespaces import provider
from isthmus.offloading.namespaces.provider import DELETION_BOUND, TwinController
from tests.apiserver import ApiServer, running

TNS = "liqo-tenant-rome"


def twins(manager: Manager, _: Options) -> None:
    manager.add(TwinController(manager, Options(cluster_id="milan")).controller())


async def test_twins_that_may_not_be_deleted_hold_up_neither_the_others_nor_the_map_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elapsed = 0.0
    monkeypatch.setattr(provider, "RETRY", 0.05)
    monkeypatch.setattr(provider, "deleting_for", lambda _: elapsed)
    api = ApiServer()
    policy = "policy: this namespace stays"
    api.fail(403, "Forbidden", policy, times=None, verb="delete", plural="namespaces", name="guarded-rome")
    marks: dict[str, Any] = {
        "labels": {"liqo.io/originID": "rome", "liqo.io/replicated": "true"},
        "finalizers": [labels.FINALIZER_NAMESPACE_MAP],
    }
    api.create("namespacemaps", {"metadata": {"name": "milan", "namespace": TNS, **marks}, "spec": {}})
    for local in ("guarded", "plain"):
        made_for = {"liqo.io/managed-by-namespace-map": f"{TNS}/milan", "liqo.io/original-name": local}
        meta = {"name": f"{local}-rome", "labels": {"liqo.io/remote-cluster-id": "rome"}}
        api.create("namespaces", {"metadata": {**meta, "annotations": made_for}})
    async with running(api, twins):
        api.delete("namespacemaps", TNS, "milan")
        await api.until(lambda: api.get("namespaces", "", "plain-rome") is None)
        with pytest.raises(TimeoutError):
            await api.until(lambda: api.get("namespacemaps", TNS, "milan") is None, timeout=0.5)
        assert api.events("NamespaceNotDeleted")
        elapsed = DELETION_BOUND
        await api.until(lambda: api.get("namespacemaps", TNS, "milan") is None)
