"""Whether a GatewayClient's endpoint and a peer's PublicKey follow what the peer announces. Pure.

An object follows once it was seen to say what the peer announces: that is recorded on it. From then on it is changed
when the announcement changes, as long as it says what was recorded. What says anything else was set by a user (an
address in front of a NAT, say) and is left alone.
"""

from __future__ import annotations

from enum import Enum

from isthmus.api import labels
from isthmus.api.networking import Endpoint, GatewayClient, PublicKey
from isthmus.kube.objects import Manifest, Object
from isthmus.network.ownership import guard


class Step(Enum):
    """What is to be done about one object."""

    NOTHING = "nothing"
    RECORD = "record"
    """It says what is announced: from now on it follows."""
    ADOPT = "adopt"
    """It followed and the announcement changed."""
    PINNED = "pinned"
    """It was set to something else: hands off."""


def decide(current: str, recorded: str, told: str) -> Step:
    """What to do about an object that says `current` when the peer tells `told`, each in its text form."""
    if current == told:
        return Step.NOTHING if recorded == told else Step.RECORD
    return Step.ADOPT if recorded and recorded == current else Step.PINNED


def recorded(object_: Object) -> str:
    """What the object followed last, "" where it never did."""
    return object_.metadata.annotations.get(labels.FOLLOWED, "")


def describe(endpoint: Endpoint) -> str:
    """The text form of an endpoint, the same for equal ones."""
    port = endpoint.port if endpoint.port is not None else ",".join(map(str, endpoint.ports))
    return f"{','.join(endpoint.addresses)}:{port}/{endpoint.protocol or 'UDP'}"


def forge_record(object_: Object, told: str) -> Manifest:
    """The merge patch that says that the object follows, for the object as it was read."""
    return {"metadata": {**guard(object_), "annotations": {labels.FOLLOWED: told}}}


def forge_endpoint(client: GatewayClient, endpoint: Endpoint) -> Manifest:
    """The merge patch that points a client elsewhere."""
    wanted: Manifest = {
        "addresses": list(endpoint.addresses),
        "port": endpoint.port,
        "protocol": endpoint.protocol or "UDP",
    }
    if client.spec.endpoint.ports:
        wanted["ports"] = None
    return {**forge_record(client, describe(endpoint)), "spec": {"endpoint": wanted}}


def forge_key(public_key: PublicKey, key: str) -> Manifest:
    """The merge patch that gives a PublicKey another key."""
    return {**forge_record(public_key, key), "spec": {"publicKey": key}}


def explain_pinned(field: str, told: str) -> str:
    """What a user is told of an object that does not follow."""
    return (
        f"{field} was set by hand and stays as it is: the peer announces {told}; set it to that, or run isthmus peer"
        " again, to have it follow from then on"
    )
