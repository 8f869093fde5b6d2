"""What the two ends of a tunnel tell each other of it: the public key and, by the server's side, the endpoint. Pure.

It travels as compact JSON in an annotation of the peering's ResourceSlices, which stock Liqo ignores: the consumer's
in one key, the provider's in another, each written by its own side only. What comes from a peer is untrusted: it is
bounded, and every field is checked before anything is done with it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

import msgspec

from isthmus.api import labels
from isthmus.api.cidr import CIDR, parse_address, parse_cidr
from isthmus.api.networking import Endpoint
from isthmus.kube.objects import Base, Object
from isthmus.network.gateways.keys import KEY_BYTES
from isthmus.network.gateways.requests import is_host

MAXIMUM = 2048
"""Bytes of an announcement."""
MAXIMUM_ADDRESSES = 8
UNREACHABLE = tuple(
    parse_cidr(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
)
"""Where no gateway of a peer can be: this host, links, groups, reserved."""
_INSIDE = (".svc", ".local", ".localhost", ".internal")
"""Names that mean something inside this cluster only."""


class AnnouncementError(ValueError):
    """What a peer announces cannot be used; says what and why."""


class Announcement(Base, frozen=True, kw_only=True):
    """One side's end of the tunnel. `endpoint` is None where that side has no server, or none with an address yet."""

    public_key: str = ""
    endpoint: Endpoint | None = None
    since: int = 0
    """Unix time in seconds at which it became so: of two, the later counts."""


def plan_announcement(present: str, public_key: str, endpoint: Endpoint | None, now: int) -> str | None:
    """The text to write where `present` says anything else, None where nothing is to be written."""
    told = _portable(endpoint)
    wanted = Announcement(public_key=public_key, endpoint=told, since=now)
    try:
        before = decode(present)
    except AnnouncementError:
        before = Announcement()
    if msgspec.structs.replace(before, since=now) == wanted:
        return None
    return msgspec.json.encode(wanted).decode()


def _portable(endpoint: Endpoint | None) -> Endpoint | None:
    """The endpoint as it is announced: of one port, as GatewayClients have it."""
    if endpoint is None or not endpoint.addresses or endpoint.port is None:
        return None
    return Endpoint(
        addresses=list(endpoint.addresses)[:MAXIMUM_ADDRESSES],
        port=endpoint.port,
        protocol=endpoint.protocol or "UDP",
    )


def decode(text: str) -> Announcement:
    """An announcement as it was written, not yet checked. Raises AnnouncementError."""
    if len(text) > MAXIMUM:
        raise AnnouncementError(f"it has more than {MAXIMUM} characters")
    try:
        return msgspec.json.decode(text, type=Announcement)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise AnnouncementError(f"it cannot be read: {str(error)[:200]}") from None


def read_announcement(text: str, taken: Iterable[CIDR]) -> Announcement:
    """A peer's announcement, checked; `taken` are the ranges of addresses that mean something here.

    Raises AnnouncementError.
    """
    announcement = decode(text)
    if not is_key(announcement.public_key):
        raise AnnouncementError(f"publicKey is not the base64 text of {KEY_BYTES} bytes")
    if announcement.endpoint is not None:
        _check_endpoint(announcement.endpoint, list(taken))
    return announcement


def is_key(text: str) -> bool:
    """Whether the text is base64 of a WireGuard key, in the one form a key has; all zeros is none."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(key) == KEY_BYTES and any(key) and base64.b64encode(key).decode() == text


def _check_endpoint(endpoint: Endpoint, taken: list[CIDR]) -> None:
    if endpoint.protocol != "UDP":
        raise AnnouncementError(f"endpoint.protocol is {endpoint.protocol[:16]!r} and must be UDP")
    if endpoint.port is None or not 1 <= endpoint.port <= 65535 or endpoint.ports:
        raise AnnouncementError("endpoint.port must be one port, 1 to 65535")
    if not 1 <= len(endpoint.addresses) <= MAXIMUM_ADDRESSES:
        raise AnnouncementError(f"endpoint.addresses must be 1 to {MAXIMUM_ADDRESSES}")
    for address in endpoint.addresses:
        _check_address(address, taken)


def _check_address(text: str, taken: list[CIDR]) -> None:
    if not is_host(text):
        raise AnnouncementError(
            f"endpoint.addresses: {text[:64]!r} is neither an IPv4 address nor a host name"
        )
    try:
        address = parse_address(text)
    except ValueError:
        name = text.lower()
        # What ends with a digit is no name but, to some resolvers, an address in another notation.
        if "." not in name or name[-1].isdigit() or name.endswith(_INSIDE):
            raise AnnouncementError(
                f"endpoint.addresses: {text[:64]!r} is not a name outside a cluster"
            ) from None
        return
    for cidr in (*UNREACHABLE, *taken):
        if cidr.has(address):
            raise AnnouncementError(
                f"endpoint.addresses: {text} is in {cidr}, where no peer's gateway can be"
            )


def newest(announcements: Iterable[Announcement]) -> Announcement | None:
    """Of what a peer says in several places, what it said last; of equals, the first."""
    return max(announcements, key=lambda one: one.since, default=None)


def slice_peer(slice_: Object) -> str:
    """The peer a ResourceSlice is shared with, whichever side asked for it; "" for one that is not replicated."""
    marks = slice_.metadata.labels
    if marks.get(labels.REPLICATED) == labels.TRUE:
        return marks.get(labels.ORIGIN_ID, "")
    return marks.get(labels.REMOTE_ID, "") if marks.get(labels.REPLICATION) == labels.TRUE else ""


def own_annotation(slice_: Object) -> str:
    """The annotation this cluster announces in: the provider's on the copy of a peer's slice, else the consumer's."""
    return labels.PROVIDER_NETWORK if _is_copy(slice_) else labels.CONSUMER_NETWORK


def peer_annotation(slice_: Object) -> str:
    """The annotation the peer announces in."""
    return labels.CONSUMER_NETWORK if _is_copy(slice_) else labels.PROVIDER_NETWORK


def _is_copy(slice_: Object) -> bool:
    return slice_.metadata.labels.get(labels.REPLICATED) == labels.TRUE
