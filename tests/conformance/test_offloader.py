"""The namespaces of the suite are offloaded, and no others."""

from __future__ import annotations

from tests.apiserver import ApiServer, running
from tests.conformance.offloader import offload_namespaces


async def test_a_namespace_of_the_suite_is_offloaded_as_it_appears() -> None:
    api = ApiServer()
    api.create("namespaces", {"metadata": {"name": "before", "labels": {"e2e-framework": "pods"}}})
    api.create("namespaces", {"metadata": {"name": "other"}})
    async with running(api, lambda manager, _: offload_namespaces(manager)):
        await api.until(lambda: api.get("namespaceoffloadings", "before", "offloading"))
        api.create("namespaces", {"metadata": {"name": "later", "labels": {"e2e-framework": "job"}}})
        await api.until(lambda: api.get("namespaceoffloadings", "later", "offloading"))
    made = api.list("namespaceoffloadings")
    assert sorted(one["metadata"]["namespace"] for one in made) == ["before", "later"]
    assert {one["spec"]["podOffloadingStrategy"] for one in made} == {"Remote"}
    assert {one["spec"]["namespaceMappingStrategy"] for one in made} == {"EnforceSameName"}
