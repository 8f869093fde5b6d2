"""A virtual node goes with its slice, and is not held up by what nobody here can end."""

from __future__ import annotations

import pytest

from isthmus.api import labels
from isthmus.api.offloading import VIRTUAL_NODES
from isthmus.kube.manager import Manager
from isthmus.kube.options import Options
from isthmus.offloading.slices import VirtualNodeCreator
from tests.apiserver import ApiServer, running

TNS = "liqo-tenant-milan"


def creator(manager: Manager, _: Options) -> None:
    manager.add(VirtualNodeCreator(manager).controller())


def slice_and_node(api: ApiServer, *finalizers: str) -> None:
    """A slice that is still waiting for its provider, and its virtual node."""
    own = {"liqo.io/replication": "true", "liqo.io/remoteID": "milan"}
    meta = {"name": "milan", "namespace": TNS, "labels": own}
    meta["finalizers"] = [labels.FINALIZER_REPLICATION, *finalizers]  # type: ignore[assignment]
    made = api.create("resourceslices", {"metadata": meta, "spec": {}})
    owner = {
        "apiVersion": "authentication.liqo.io/v1beta1",
        "kind": "ResourceSlice",
        "name": "milan",
        "uid": made["metadata"]["uid"],
        "controller": True,
    }
    node = {"metadata": {"name": "milan", "namespace": TNS, "ownerReferences": [owner]}, "spec": {}}
    api.create(VIRTUAL_NODES.plural, node)


async def test_it_is_deleted_while_its_slice_still_waits_for_the_provider() -> None:
    api = ApiServer()
    slice_and_node(api)
    async with running(api, creator):
        api.delete("resourceslices", TNS, "milan")
        await api.until(lambda: api.get("virtualnodes", TNS, "milan") is None)
    assert api.get("resourceslices", TNS, "milan")


async def test_it_outlives_a_slice_that_orphans_it() -> None:
    api = ApiServer()
    slice_and_node(api, "orphan")
    async with running(api, creator):
        api.delete("resourceslices", TNS, "milan")
        with pytest.raises(TimeoutError):
            await api.until(lambda: api.get("virtualnodes", TNS, "milan") is None, timeout=0.5)
