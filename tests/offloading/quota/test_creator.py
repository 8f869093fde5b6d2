"""The Quota follows what was granted, and stays as it was when that is denied later."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.quota.creator import QuotaController
from tests.apiserver import ApiServer, Json, running

TNS = "liqo-tenant-rome"
QUOTA = "milan-a8a4c692b93b"


def quotas(manager: Manager, options: Options) -> None:
    manager.add(QuotaController(manager, options).controller())


def status(authentication: str, resources: str, **granted: str) -> Json:
    ruled = (("Authentication", authentication), ("Resources", resources))
    return {
        "resources": granted,
        "conditions": [{"type": kind, "status": ruling} for kind, ruling in ruled],
    }


def spec_is(api: ApiServer, **fields: Any) -> bool:
    spec = (api.get("quotas", TNS, QUOTA) or {}).get("spec", {})
    return bool(fields.items() <= spec.items())


async def test_a_denial_after_the_grant_leaves_it_as_it_was() -> None:
    api = ApiServer()
    tenant = {"liqo.io/remote-cluster-id": "rome", "liqo.io/tenant-namespace": "true"}
    api.create("namespaces", {"metadata": {"name": TNS, "labels": tenant}})
    copy = {"liqo.io/originID": "rome", "liqo.io/replicated": "true"}
    slice_ = {"metadata": {"name": "milan", "namespace": TNS, "labels": copy}}
    api.create("resourceslices", {**slice_, "spec": {"consumerClusterID": "rome"}})

    def rule(**fields: Any) -> None:
        api.merge("resourceslices", TNS, "milan", {"status": status(**fields)})

    async with running(api, quotas):
        rule(authentication="Accepted", resources="Denied", cpu="4")
        rule(authentication="Accepted", resources="Accepted", cpu="4")
        await api.until(partial(spec_is, api, user=QUOTA, resources={"cpu": "4"}, cordoned=False))
        rule(authentication="Accepted", resources="Accepted", cpu="2")
        await api.until(partial(spec_is, api, resources={"cpu": "2"}))
        rule(authentication="Denied", resources="Denied", cpu="1")
        cordon = {"metadata": {"annotations": {"liqo.io/cordon-tenant": "true"}}}
        api.merge("resourceslices", TNS, "milan", cordon)
        with pytest.raises(TimeoutError):
            await api.until(lambda: not spec_is(api, resources={"cpu": "2"}, cordoned=False), timeout=0.5)
        rule(authentication="Accepted", resources="Accepted", cpu="1")
        await api.until(partial(spec_is, api, resources={"cpu": "1"}, cordoned=True))
        api.delete("resourceslices", TNS, "milan")
        await api.until(lambda: api.get("quotas", TNS, QUOTA) is None)
