"""The times that docs/removal.md promises: from what somebody deletes to what follows, alone on the machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cluster.peering import between
from tests.cluster.support import Cluster, eventually, isthmus
from tests.cluster.test_removal import (
    AWAY,
    HOME,
    Site,
    running_fixture,  # noqa: F401 -- a fixture
    shut_out_unseen,
    site_fixture,  # noqa: F401 -- a fixture
    uids,
)

pytestmark = pytest.mark.figures

CONTROL_PLANE = "controlplane-milan"


def takes(promised: float, check: Callable[[], object], what: str) -> None:
    """Wait for something that was set off a moment ago; fails where it takes longer than promised, in seconds."""
    seconds = eventually(check, within=60, what=what, every=0.05)
    print(f"{what}: {seconds:.1f} s of {promised:g}")
    assert seconds <= promised, f"{what} took {seconds:.1f} s, docs/removal.md says {promised:g}"


def is_made_anew(cluster: Cluster, kind: str, name: str, *where: str) -> Callable[[], bool]:
    """Delete an object; whether there is another of its name."""
    before = cluster.get(kind, name, *where)["metadata"]["uid"]
    cluster.kubectl("delete", kind, name, *where, "--wait=false")

    def check() -> bool:
        found = cluster.get(kind, name, *where)
        return found is not None and found["metadata"]["uid"] != before

    return check


def is_gone(cluster: Cluster, *what: str) -> Callable[[], bool]:
    return lambda: cluster.get(*what) is None


def test_what_follows_from_something_else_is_made_anew(running: Site) -> None:
    rome, milan, name = running
    (quota,) = (one["metadata"]["name"] for one in milan.items("quotas", "-n", AWAY))
    (renew,) = (
        one["metadata"]["name"]
        for one in rome.items("renews", "-n", HOME)
        if CONTROL_PLANE in one["metadata"]["name"]
    )
    before = uids(milan, "pods", f"{name}-rome")
    for promised, cluster, kind, of, *where in (
        (2, rome, "foreignclusters", "milan"),
        (2, milan, "foreignclusters", "rome"),
        (2, rome, "renews", renew, "-n", HOME),
        (2, milan, "quotas", quota, "-n", AWAY),
        (3, milan, "rslice", "milan", "-n", AWAY),
        (5, rome, "secrets", f"kubeconfig-{CONTROL_PLANE}", "-n", HOME),
    ):
        takes(promised, is_made_anew(cluster, kind, of, *where), f"{kind} {of} again")  # type: ignore[arg-type]
    assert uids(milan, "pods", f"{name}-rome") == before, "none of it costs a pod"


def test_a_virtual_node_is_made_anew(running: Site) -> None:
    rome, _, _ = running
    takes(1, is_made_anew(rome, "nodes", "milan"), "the Node again")
    before = rome.get("virtualnodes", "milan", "-n", HOME)["metadata"]["uid"]
    rome.kubectl("delete", "virtualnodes", "milan", "-n", HOME, "--timeout=60s", timeout=70)
    takes(
        2,
        lambda: (
            (found := rome.get("virtualnodes", "milan", "-n", HOME)) and found["metadata"]["uid"] != before
        ),
        "the slice's VirtualNode again",
    )


def test_a_slice_that_is_deleted_goes_at_the_provider(running: Site) -> None:
    rome, milan, _ = running
    rome.kubectl("delete", "rslice", "milan", "-n", HOME, "--wait=false")
    takes(5, lambda: not milan.items("rslice,quotas", "-n", AWAY), "the end of copy and Quota")
    takes(5, is_gone(rome, "rslice", "milan", "-n", HOME), "the end of the slice")


def test_an_identity_that_is_deleted_goes_at_once(running: Site) -> None:
    rome, milan, _ = running
    rome.kubectl("delete", "identities", CONTROL_PLANE, "-n", HOME, "--wait=false")
    takes(1, is_gone(rome, "identities", CONTROL_PLANE, "-n", HOME), "the end of the Identity")
    isthmus("peer", *between(rome, milan), "--networking-disabled")


def test_a_tenant_that_is_deleted_takes_all_with_it_and_its_consumer_waits_for_nothing(running: Site) -> None:
    rome, milan, name = running
    twin = f"{name}-rome"
    milan.kubectl("delete", "tenant", "rome", "-n", AWAY, "--wait=false")
    takes(5, is_gone(milan, "tenant", "rome", "-n", AWAY), "the end of the Tenant")
    takes(
        5, lambda: not milan.items("rslice,quotas,renews", "-n", AWAY), "the end of what the consumer placed"
    )
    takes(
        5,
        lambda: (found := milan.get("namespace", twin)) is None or "deletionTimestamp" in found["metadata"],
        "the deletion of the twin namespace",
    )
    rome.kubectl("delete", "rslice", "milan", "-n", HOME, "--wait=false")
    takes(
        15,
        is_gone(rome, "rslice", "milan", "-n", HOME),
        "the end of a slice that the provider refuses to hear of",
    )


def test_a_virtual_node_whose_provider_shut_us_out_goes(running: Site) -> None:
    rome, milan, name = running
    with shut_out_unseen(milan, f"{name}-rome"):
        pass
    rome.kubectl("delete", "virtualnode", "milan", "-n", HOME, "--wait=false")
    takes(15, is_gone(rome, "virtualnode", "milan", "-n", HOME), "the end of the virtual node")
