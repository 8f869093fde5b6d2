"""A provider that does not answer: pods pause at once, the node is lost only after a while, and comes back at once."""

from __future__ import annotations

from typing import Any, cast

from isthmus.kube.errors import TransportError, Unauthorized
from isthmus.offloading.pods.provider import ProviderHealth
from isthmus.offloading.virtualnode.heartbeat import LOST_AFTER, Heartbeat, describe_failure


def make(health: ProviderHealth) -> tuple[Heartbeat, list[tuple[bool, bool]]]:
    changes: list[tuple[bool, bool]] = []
    client = cast(Any, None)
    heartbeat = Heartbeat(
        client, client, health, lambda: None, lambda: changes.append((health.reachable, health.lost))
    )
    return heartbeat, changes


def test_a_certificate_that_is_not_taken_is_no_silence() -> None:
    assert "does not accept the certificate" in describe_failure(Unauthorized("no", code=401))
    assert describe_failure(TransportError("gone")) == "does not answer: gone"


def test_the_first_answer_counts() -> None:
    health = ProviderHealth()
    heartbeat, changes = make(health)
    heartbeat.judge(None, 0.0)
    assert health.probed
    assert changes == [(True, False)]
    heartbeat.judge(None, 10.0)
    assert len(changes) == 1, "nothing new"


def test_an_api_server_that_restarts_does_not_cost_the_node() -> None:
    health = ProviderHealth()
    heartbeat, changes = make(health)
    heartbeat.judge(None, 0.0)
    heartbeat.judge("refused", 10.0)
    assert changes[-1] == (False, False)
    heartbeat.judge("refused", 10.0 + LOST_AFTER - 0.1)
    assert not health.lost
    heartbeat.judge(None, 10.0 + LOST_AFTER)
    assert changes[-1] == (True, False)
    assert health.unsettled() == 0, "the node was Ready all the time"


def test_a_provider_that_stays_away_loses_the_node_and_recovers_at_once() -> None:
    health = ProviderHealth()
    heartbeat, changes = make(health)
    heartbeat.judge(None, 0.0)
    heartbeat.judge("refused", 10.0)
    heartbeat.judge("refused", 10.0 + LOST_AFTER)
    assert changes[-1] == (False, True)
    heartbeat.judge("refused", 100.0)
    assert health.lost
    heartbeat.judge(None, 102.0)
    assert changes[-1] == (True, False)
    assert health.unsettled() > 5, "the node controller needs a moment to see it"
