"""What peers tell each other of their gateways: bounded, checked, and only said anew when it changed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from isthmus.api.cidr import parse_cidr
from isthmus.api.networking import Endpoint
from isthmus.kube.objects import Object, ObjectMeta
from isthmus.network.gateways.announcement import (
    MAXIMUM,
    Announcement,
    AnnouncementError,
    newest,
    own_annotation,
    peer_annotation,
    plan_announcement,
    read_announcement,
    slice_peer,
)
from isthmus.network.gateways.following import Step, decide, describe

KEY, OTHER = (base64.b64encode(bytes([number]) * 32).decode() for number in (7, 8))
ENDPOINT = Endpoint(addresses=["172.18.0.2"], port=31234, protocol="UDP")
OWN = [parse_cidr("10.244.0.0/16"), parse_cidr("10.96.0.0/12")]


def text(**changes: Any) -> str:
    endpoint = {"addresses": ["172.18.0.2"], "port": 31234, "protocol": "UDP"}
    endpoint |= changes.pop("endpoint", {})
    return json.dumps({"publicKey": KEY, "endpoint": endpoint, "since": 5, **changes})


def test_what_one_side_announces_the_other_reads() -> None:
    said = plan_announcement("", KEY, ENDPOINT, 5)
    assert said is not None
    assert read_announcement(said, OWN) == Announcement(public_key=KEY, endpoint=ENDPOINT, since=5)


def test_it_is_said_anew_only_when_it_changed() -> None:
    said = plan_announcement("", KEY, ENDPOINT, 5) or ""
    assert plan_announcement(said, KEY, ENDPOINT, 99) is None
    assert plan_announcement(said, OTHER, ENDPOINT, 99) is not None
    assert plan_announcement(said, KEY, None, 99) is not None
    assert plan_announcement("not ours", KEY, ENDPOINT, 99) is not None


def test_a_server_without_an_address_announces_its_key_alone() -> None:
    said = plan_announcement("", KEY, Endpoint(addresses=[], port=1), 5) or ""
    assert read_announcement(said, OWN).endpoint is None


@pytest.mark.parametrize(
    ("bad", "names"),
    [
        (text(publicKey="AAAA"), "publicKey"),
        (text(publicKey=base64.b64encode(bytes(32)).decode()), "publicKey"),
        (text(publicKey=KEY + "\n"), "publicKey"),
        (text(endpoint={"port": 0}), "port"),
        (text(endpoint={"port": 65536}), "port"),
        (text(endpoint={"port": True}), "cannot be read"),
        (text(endpoint={"protocol": "TCP"}), "protocol"),
        (text(endpoint={"addresses": []}), "addresses"),
        (text(endpoint={"addresses": ["192.0.2.1"] * 9}), "addresses"),
        (text(endpoint={"addresses": ["127.0.0.1"]}), "127.0.0.0/8"),
        (text(endpoint={"addresses": ["169.254.18.1"]}), "169.254.0.0/16"),
        (text(endpoint={"addresses": ["239.1.1.1"]}), "224.0.0.0/4"),
        (text(endpoint={"addresses": ["255.255.255.255"]}), "240.0.0.0/4"),
        (text(endpoint={"addresses": ["0.1.2.3"]}), "0.0.0.0/8"),
        (text(endpoint={"addresses": ["10.244.3.4"]}), "10.244.0.0/16"),
        (text(endpoint={"addresses": ["172.18.0.2", "10.96.0.1"]}), "10.96.0.0/12"),
        (text(endpoint={"addresses": ["fd00::1"]}), "neither"),
        (text(endpoint={"addresses": ["localhost"]}), "is not a name outside"),
        (text(endpoint={"addresses": ["kubernetes.default.svc"]}), "is not a name outside"),
        (text(endpoint={"addresses": ["x.cluster.local"]}), "is not a name outside"),
        (text(endpoint={"addresses": ["127.1"]}), "is not a name outside"),
        (text(endpoint={"addresses": ["a b"]}), "neither"),
        (text(padding="x" * MAXIMUM), "more than"),
        ("[]", "cannot be read"),
        ("{", "cannot be read"),
        ('{"publicKey": "\ud800"}', "cannot be read"),
    ],
)
def test_what_a_peer_may_not_say(bad: str, names: str) -> None:
    with pytest.raises(AnnouncementError, match=names):
        read_announcement(bad, OWN)


def test_a_load_balancers_name_is_taken() -> None:
    assert read_announcement(text(endpoint={"addresses": ["lb-1.eu.example.com"]}), OWN)


def test_the_later_of_two_counts() -> None:
    old, new = Announcement(public_key=KEY, since=3), Announcement(public_key=OTHER, since=4)
    assert newest([new, old]) == newest([old, new]) == new
    assert newest([]) is None


def test_each_side_writes_a_key_of_its_own() -> None:
    ours = Object(metadata=ObjectMeta(labels={"liqo.io/replication": "true", "liqo.io/remoteID": "milan"}))
    copy = Object(
        metadata=ObjectMeta(
            labels={
                "liqo.io/replication": "false",
                "liqo.io/replicated": "true",
                "liqo.io/originID": "rome",
                "liqo.io/remoteID": "milan",
            }
        )
    )
    assert (slice_peer(ours), slice_peer(copy), slice_peer(Object(metadata=ObjectMeta()))) == (
        "milan",
        "rome",
        "",
    )
    assert own_annotation(ours) == peer_annotation(copy) != own_annotation(copy) == peer_annotation(ours)


@pytest.mark.parametrize(
    ("current", "recorded", "told", "step"),
    [
        ("a", "", "a", Step.RECORD),
        ("a", "a", "a", Step.NOTHING),
        ("a", "a", "b", Step.ADOPT),
        ("b", "a", "b", Step.RECORD),
        ("x", "", "a", Step.PINNED),
        ("x", "a", "a", Step.PINNED),
        ("x", "a", "b", Step.PINNED),
        ("", "", "a", Step.PINNED),
    ],
)
def test_what_was_set_by_hand_is_left_alone(current: str, recorded: str, told: str, step: Step) -> None:
    assert decide(current, recorded, told) is step


def test_equal_endpoints_have_one_text() -> None:
    assert (
        describe(ENDPOINT)
        == describe(Endpoint(addresses=["172.18.0.2"], port=31234))
        == "172.18.0.2:31234/UDP"
    )
