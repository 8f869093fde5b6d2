"""A granted ResourceSlice that asks for it has a VirtualNode, which says what was granted as long as it is."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.slices import REFUSED, VirtualNodeCreator
from tests.apiserver import Admission, ApiServer, Json, StatusError, running
from tests.apiserver.clock import VIRTUAL_TIME, Clock

pytestmark = VIRTUAL_TIME
TNS = "liqo-tenant-milan"


def creator(manager: Manager, _: Options) -> None:
    manager.add(VirtualNodeCreator(manager).controller())


def add_slice(api: ApiServer, wish: str = "true", **marks: str) -> None:
    meta: Json = {"name": "milan", "namespace": TNS, "annotations": {"liqo.io/create-virtual-node": wish}}
    meta["labels"] = {"liqo.io/replication": "true", **marks}
    api.create("resourceslices", {"metadata": meta, "spec": {"providerClusterID": "milan"}})


def grant(api: ApiServer, verdict: str = "Accepted", **status: Any) -> None:
    """The provider's answer, as it is replicated back."""
    conditions = [{"type": "Authentication", "status": "Accepted"}, {"type": "Resources", "status": verdict}]
    granted = {"resources": {"cpu": "4"}, "conditions": conditions} | status
    api.merge("resourceslices", TNS, "milan", {"status": granted})


def identify(api: ApiServer) -> None:
    """The Identity of the slice and its kubeconfig."""
    meta = {
        "name": "resourceslice-milan",
        "namespace": TNS,
        "labels": {"liqo.io/resourceslice-name": "milan"},
    }
    reference = {"kubeconfigSecretRef": {"name": "kubeconfig"}}
    api.put("identities", {"metadata": meta, "spec": {}, "status": reference})
    api.put("secrets", {"metadata": {"name": "kubeconfig", "namespace": TNS}})


def spec(api: ApiServer) -> Json:
    return dict((api.get("virtualnodes", TNS, "milan") or {}).get("spec", {}))


async def test_it_is_made_of_what_was_granted_and_follows() -> None:
    api = ApiServer()
    add_slice(api)
    async with running(api, creator):
        identify(api)
        grant(api, nodeLabels={"region": "north"}, nodeSelector={"pool": "a"})
        await api.until(lambda: spec(api))
        assert spec(api)["clusterID"] == "milan"
        assert spec(api)["resourceQuota"] == {"hard": {"cpu": "4"}}
        assert spec(api)["labels"] == {"region": "north"}
        assert spec(api)["kubeconfigSecretRef"] == {"name": "kubeconfig"}
        assert spec(api)["offloadingPatch"] == {"nodeSelector": {"pool": "a"}}
        grant(api, resources={"cpu": "2"}, nodeLabels=None)
        await api.until(lambda: spec(api)["resourceQuota"] == {"hard": {"cpu": "2"}})
        assert "labels" not in spec(api), "what is no longer granted goes"


async def test_what_users_set_on_it_stays() -> None:
    api = ApiServer()
    add_slice(api)
    async with running(api, creator):
        identify(api)
        grant(api)
        await api.until(lambda: spec(api))
        api.merge(
            "virtualnodes", TNS, "milan", {"spec": {"taints": [{"key": "mine", "effect": "NoSchedule"}]}}
        )
        grant(api, resources={"cpu": "2"})
        await api.until(lambda: spec(api)["resourceQuota"] == {"hard": {"cpu": "2"}})
        assert spec(api)["taints"] == [{"key": "mine", "effect": "NoSchedule"}]


@pytest.mark.parametrize(("wish", "own"), [("", "true"), ("false", "true"), ("true", "false")])
async def test_a_slice_that_does_not_ask_or_is_a_consumers_has_none(wish: str, own: str) -> None:
    api = ApiServer()
    add_slice(api, wish, **{"liqo.io/replication": own})
    async with running(api, creator):
        identify(api)
        grant(api)
        with pytest.raises(TimeoutError):
            await api.until(lambda: spec(api), 120)


async def test_nothing_is_made_before_all_is_granted_and_the_kubeconfig_is_there() -> None:
    api = ApiServer()
    add_slice(api)
    async with running(api, creator):
        grant(api, "Denied")
        identify(api)
        api.delete("secrets", TNS, "kubeconfig")
        with pytest.raises(TimeoutError):
            await api.until(lambda: spec(api), 60)
        grant(api)
        with pytest.raises(TimeoutError):
            await api.until(lambda: spec(api), 60)
        identify(api)
        await api.until(lambda: spec(api), 6)


async def test_what_was_granted_but_cannot_be_a_node_is_told_and_tried_again(clock: Clock) -> None:
    def policy(review: Admission) -> None:
        if review.place.plural == "virtualnodes":
            raise StatusError(403, "Forbidden", "a node named milan exists and is not a virtual node")

    api = ApiServer()
    api.admission.append(policy)
    add_slice(api)
    async with running(api, creator):
        identify(api)
        grant(api)
        await api.until(lambda: api.events("VirtualNodeRefused"))
        assert "is not a virtual node" in api.events("VirtualNodeRefused")[0]
        begun = clock.monotonic()
        api.admission.clear()
        await api.until(lambda: spec(api), 2 * REFUSED)
        assert clock.monotonic() - begun <= REFUSED + 1


async def test_a_virtual_node_that_somebody_deletes_comes_back() -> None:
    api = ApiServer()
    add_slice(api)
    async with running(api, creator):
        identify(api)
        grant(api)
        await api.until(lambda: spec(api))
        api.delete("virtualnodes", TNS, "milan")
        await api.until(lambda: spec(api))


async def test_a_slice_made_anew_gets_a_virtual_node_of_its_own() -> None:
    api = ApiServer(collection=False)
    add_slice(api)
    async with running(api, creator):
        identify(api)
        grant(api)
        await api.until(lambda: spec(api))
        first = (api.get("virtualnodes", TNS, "milan") or {})["metadata"]["uid"]
    api.delete("resourceslices", TNS, "milan")
    add_slice(api)
    grant(api)
    async with running(api, creator):
        await api.until(
            lambda: (
                (api.get("virtualnodes", TNS, "milan") or {"metadata": {"uid": first}})["metadata"]["uid"]
                != first
            )
        )
