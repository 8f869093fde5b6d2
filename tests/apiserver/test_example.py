"""How a reconciler is tested without clusters: the package's text says more."""

from __future__ import annotations

from functools import partial
from typing import Any

from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.quota.creator import QuotaController
from tests.apiserver import ApiServer, running

TNS = "liqo-tenant-rome"


def quotas(manager: Manager, options: Options) -> None:
    manager.add(QuotaController(manager, options).controller())


def granted(api: ApiServer, cpu: str) -> bool:
    return any(one["spec"]["resources"] == {"cpu": cpu} for one in api.list("quotas", TNS))


async def test_a_quota_follows_what_a_slice_was_granted() -> None:
    def status(cpu: str) -> dict[str, Any]:
        conditions = [{"type": type_, "status": "Accepted"} for type_ in ("Authentication", "Resources")]
        return {"status": {"resources": {"cpu": cpu}, "conditions": conditions}}

    api = ApiServer()
    tenant = {"liqo.io/remote-cluster-id": "rome", "liqo.io/tenant-namespace": "true"}
    api.create("namespaces", {"metadata": {"name": TNS, "labels": tenant}})
    copy = {"liqo.io/originID": "rome", "liqo.io/replicated": "true"}
    slice_ = {"metadata": {"name": "milan", "namespace": TNS, "labels": copy}}
    api.create("resourceslices", {**slice_, "spec": {"consumerClusterID": "rome"}, **status("4")})
    async with running(api, quotas):
        await api.until(partial(granted, api, "4"))
        with api.failing(500, verb="write", plural="quotas") as fault:
            api.merge("resourceslices", TNS, "milan", status("2"))
            await api.until(lambda: fault.hits)
        await api.until(partial(granted, api, "2"))
        api.delete("resourceslices", TNS, "milan")
        await api.until(lambda: not api.named("quotas"))
