"""How long a deletion waits for a provider that cannot be told."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import (
    Forbidden,
    KubeError,
    ServerError,
    TooManyRequests,
    TransportError,
    Unauthorized,
)
from isthmus.peering.peer_tasks import fingerprint
from isthmus.peering.peers import REFUSAL_BOUND, REFUSAL_SHOWN, SILENCE_BOUND, Peer, Peers


class Clock:
    """The event loop's clock, set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("isthmus.peering.peers._now", lambda: clock.now)
    return clock


def ask(peer: Peer, error: KubeError | None, **options: bool) -> None:
    if error is None:
        with peer.observe(**options):
            pass
        return
    with pytest.raises(type(error)), peer.observe(**options):
        raise error


@pytest.mark.parametrize("error", [Forbidden("no"), Unauthorized("no")])
def test_a_provider_that_keeps_refusing_is_lost_soon(clock: Clock, error: KubeError) -> None:
    peer = Peer("milan")
    ask(peer, error)
    assert not peer.lost
    clock.now += REFUSAL_BOUND
    ask(peer, error)
    assert peer.lost
    ask(peer, None)
    assert not peer.lost


def keep_asking(peer: Peer, clock: Clock, error: KubeError, seconds: float, **options: bool) -> None:
    """As the queue does: again and again, every half minute."""
    for _ in range(int(seconds / 30)):
        ask(peer, error, **options)
        clock.now += 30


@pytest.mark.parametrize("error", [TransportError("gone"), ServerError("503"), TooManyRequests("429")])
def test_a_silent_provider_is_waited_for_much_longer(clock: Clock, error: KubeError) -> None:
    peer = Peer("milan")
    keep_asking(peer, clock, error, SILENCE_BOUND - 30)
    ask(peer, error)
    assert not peer.lost
    clock.now += 30
    assert peer.lost
    ask(peer, None)
    assert not peer.lost


def test_a_server_that_lives_but_gets_nothing_done_is_silent(clock: Clock) -> None:
    peer = Peer("milan")
    for _ in range(int(SILENCE_BOUND / 30)):
        ask(peer, TransportError("no answer"))
        clock.now += 15
        ask(peer, None, refusals=False)
        clock.now += 15
    assert peer.lost


def test_a_failure_long_past_says_nothing(clock: Clock) -> None:
    peer = Peer("milan")
    ask(peer, TransportError("gone"))
    clock.now += 2 * SILENCE_BOUND
    assert not peer.lost
    ask(peer, TransportError("gone"))
    clock.now += 60
    assert not peer.lost


def test_a_provider_that_is_only_looked_at_can_be_silent_too(clock: Clock) -> None:
    peer = Peer("milan")
    keep_asking(peer, clock, TransportError("gone"), SILENCE_BOUND, refusals=False)
    assert peer.lost
    ask(peer, None, refusals=False)
    assert not peer.lost


def test_what_anybody_may_ask_says_nothing_of_our_permissions(clock: Clock) -> None:
    peer = Peer("milan")
    ask(peer, Forbidden("no"))
    clock.now += REFUSAL_BOUND
    ask(peer, None, refusals=False)
    assert peer.lost


def test_a_refusal_that_lasts_is_told_and_so_is_its_end(clock: Clock) -> None:
    told: list[str] = []
    peer = Peer("milan", lambda _: told.append(peer.refusal))
    ask(peer, Forbidden("no"))
    assert told == []
    clock.now += REFUSAL_SHOWN
    for _ in range(2):
        ask(peer, Forbidden("no"))
    ask(peer, None, refusals=False)
    assert told == ["permissions"]
    ask(peer, None)
    assert told == ["permissions", ""]


def test_patience_grows_with_the_refusal(clock: Clock) -> None:
    peer = Peer("milan")
    ask(peer, Forbidden("no"))
    first = peer.patience
    clock.now += 4
    assert first < 1 < peer.patience < 5
    clock.now += 10_000
    assert peer.patience == 10


async def test_changes_are_told_once() -> None:
    peers = Peers()
    told: list[str] = []
    peers.changed = told.append
    peers.report("milan", "Established", "")
    peers.report("milan", "Established", "")
    peers.report("milan", "Error", "away")
    peers.forget("milan")
    peers.forget("milan")
    await asyncio.sleep(0)
    assert told == ["milan", "milan", "milan"]


def test_a_refusal_is_told_once_it_has_lasted_and_when_it_ends(clock: Clock) -> None:
    peers = Peers()
    told: list[str] = []
    peers.changed = told.append
    peer = peers.get("milan")
    ask(peer, Forbidden("no"))
    assert (peer.refused, peer.refusal, told) == (True, "", []), "permissions may be on their way"
    clock.now += REFUSAL_SHOWN
    ask(peer, Forbidden("no"))
    ask(peer, Forbidden("no"))
    assert (peer.refusal, told) == ("permissions", ["milan"])
    ask(peer, None)
    assert (peer.refused, peer.refusal, told) == (False, "", ["milan", "milan"])


def test_a_certificate_is_refused_whatever_is_asked_for(clock: Clock) -> None:
    peer = Peer("milan")
    ask(peer, Unauthorized("no"), refusals=False)
    clock.now += REFUSAL_SHOWN
    ask(peer, Unauthorized("no"), refusals=False)
    assert peer.refusal == "certificate"
    ask(peer, None, refusals=False)
    assert (peer.refused, peer.refusal) == (False, ""), "an answer shows that it is taken again"


def test_a_renewed_certificate_starts_no_task_anew_but_another_server_does() -> None:
    given = Credentials(
        "https://milan:6443", ca_data="CA", client_certificate_data="old", client_key_data="key"
    )
    renewed = replace(given, client_certificate_data="new")
    assert fingerprint("milan", renewed, "n") == fingerprint("milan", given, "n")
    for other in (
        fingerprint("milan", replace(given, server="https://milan:443"), "n"),
        fingerprint("milan", replace(given, ca_data="other"), "n"),
        fingerprint("milan", replace(given, proxy_url="http://proxy:8118"), "n"),
        fingerprint("milan", given, "m"),
    ):
        assert other != fingerprint("milan", given, "n")
