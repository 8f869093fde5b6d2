"""What a Configuration leads to, piece by piece."""

from __future__ import annotations

from isthmus.api import labels
from isthmus.api.networking import Cidrs, ClusterRanges, Condition, ConfigurationStatus
from isthmus.network.configuration.forge import (
    CONFIGURED,
    WAITING,
    Verdict,
    forge_networks,
    forge_unknown_source,
    own_ranges,
    plan_local,
    plan_status,
)
from tests.network.configuration.objects import configuration
from tests.network.ipam.objects import network

READY = Verdict(status="True", reason=CONFIGURED, message="all ranges of the peer are assigned")


def test_each_range_of_the_peer_has_a_network_named_after_it() -> None:
    networks = forge_networks(configuration(["10.244.0.0/16", "10.3.0.0/24"], ["10.70.0.0/16"]))
    assert {name: manifest["spec"] for name, manifest in networks.items()} == {
        "milan-pod-10-244-0-0-16": {"cidr": "10.244.0.0/16"},
        "milan-pod-10-3-0-0-24": {"cidr": "10.3.0.0/24"},
        "milan-external-10-70-0-0-16": {"cidr": "10.70.0.0/16"},
    }
    metadata = networks["milan-external-10-70-0-0-16"]["metadata"]
    assert metadata["namespace"] == "liqo-tenant-milan"
    assert metadata["labels"][labels.REMOTE_CLUSTER_ID] == "milan"
    assert metadata["labels"][labels.CIDR_TYPE] == "external"
    assert metadata["ownerReferences"][0]["uid"] == "uid-milan"


def test_sources_that_cannot_be_told_have_the_network_address() -> None:
    manifest = forge_unknown_source(configuration(["10.244.0.0/16"], ["10.70.0.0/16"]), "10.71.0.0/16")
    assert manifest["metadata"]["name"] == "milan-unknown-source"
    assert manifest["spec"] == {"ip": "10.71.0.0"}


def test_our_own_ranges_are_those_in_use_and_none_while_one_is_missing() -> None:
    def own(name: str, type_: str, cidr: str) -> object:
        import msgspec

        value = network(name, "10.0.0.0/16", cidr)
        metadata = msgspec.structs.replace(value.metadata, labels={labels.NETWORK_TYPE: type_})
        return msgspec.structs.replace(value, metadata=metadata)

    pods, external = own("pod-cidr", "pod-cidr", "10.244.0.0/16"), own("e", "external-cidr", "10.71.0.0/16")
    assert own_ranges([external, pods]) == Cidrs(pod=["10.244.0.0/16"], external=["10.71.0.0/16"])  # type: ignore[list-item]
    assert own_ranges([pods]) is None  # type: ignore[list-item]
    assert own_ranges([external, pods, own("pod-cidr-2", "pod-cidr", "")]) is None  # type: ignore[list-item]


def test_spec_local_is_filled_once_and_only_by_who_read_it_last() -> None:
    own = Cidrs(pod=["10.244.0.0/16"], external=["10.70.0.0/16"])
    patch = plan_local(configuration(["10.1.0.0/16"], ["10.2.0.0/16"]), own)
    assert patch is not None
    assert patch["metadata"] == {"uid": "uid-milan", "resourceVersion": "7"}
    assert plan_local(configuration(["10.1.0.0/16"], ["10.2.0.0/16"], local=own), own) is None


def test_the_condition_says_of_which_generation_it_is_and_when_it_turned() -> None:
    remote = Cidrs(pod=["10.1.0.0/16"], external=["10.2.0.0/16"])
    earlier = Condition(
        type=CONFIGURED,
        status="True",
        reason=READY.reason,
        message=READY.message,
        observed_generation=1,
        last_transition_time="2026-01-01T00:00:00Z",
    )
    foreign = Condition(
        type="Other", status="True", reason="X", message="", last_transition_time="2026-01-01T00:00:00Z"
    )
    status = ConfigurationStatus(remote=ClusterRanges(cidr=remote), conditions=[foreign, earlier])
    assert plan_status(configuration(remote.pod, remote.external, status=status), READY, remote) is None
    newer = configuration(remote.pod, remote.external, status=status, generation=2)
    patch = plan_status(newer, READY, remote)
    assert patch is not None
    other, condition = patch["status"]["conditions"]
    assert other["type"] == "Other", "the conditions of others stay"
    assert condition["observedGeneration"] == 2
    assert condition["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    patch = plan_status(newer, Verdict(status="False", reason=WAITING, message="x"), None)
    assert patch is not None
    assert patch["status"]["remote"] is None
    assert patch["status"]["conditions"][1]["lastTransitionTime"] != "2026-01-01T00:00:00Z"
