"""Liveness on a clock of the test's own; datagrams as a stock peer, and as nobody honest, would send them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.network.gateway.connection import Reporter, format_latency
from isthmus.network.gateway.liveness import Liveness

PEER = "169.254.18.1"


@pytest.fixture
def liveness() -> Liveness:
    return Liveness("milan", PEER, interval=2.0, threshold=5, now=100.0)


def pong(ping: bytes, **changes: str) -> bytes:
    return json.dumps(json.loads(ping) | {"msgType": "PONG"} | changes).encode()


def test_a_ping_is_answered_with_the_same_object(liveness: Liveness) -> None:
    stamp = "2026-11-23T18:01:02.123456789+02:00"
    ping = {"clusterID": "rome", "msgType": "PING", "timeStamp": stamp}
    answer = liveness.receive(json.dumps(ping).encode(), PEER, 100.0)
    assert answer is not None
    assert json.loads(answer) == ping | {"msgType": "PONG"}


def test_our_ping_names_the_pinged_cluster(liveness: Liveness) -> None:
    assert json.loads(liveness.ping(100.0, "s")) == {
        "clusterID": "milan",
        "msgType": "PING",
        "timeStamp": "s",
    }


def test_connecting_then_connected_then_error_then_connected_again(liveness: Liveness) -> None:
    assert liveness.check(101.0) == "Connecting"
    liveness.receive(pong(liveness.ping(102.0, "a")), PEER, 102.25)
    assert (liveness.check(103.0), liveness.latency) == ("Connected", 0.25)
    assert liveness.check(112.2) == "Connected"
    assert liveness.check(112.25) == "Error", "10 s without an answer"
    assert liveness.latency is None
    liveness.receive(pong(liveness.ping(300.0, "b")), PEER, 300.1)
    assert liveness.value == "Connected"


def test_never_answered_is_an_error_after_the_same_time(liveness: Liveness) -> None:
    assert liveness.check(109.9) == "Connecting"
    assert liveness.check(110.0) == "Error"


def test_an_old_answer_after_a_newer_one_and_a_repeated_one_are_dropped(liveness: Liveness) -> None:
    first, second = liveness.ping(100.0, "a"), liveness.ping(102.0, "b")
    liveness.receive(pong(second), PEER, 102.5)
    liveness.receive(pong(first), PEER, 109.0)
    liveness.receive(pong(second), PEER, 109.0)
    assert liveness.latency == 0.5
    assert liveness.dropped == 2
    assert liveness.check(112.5) == "Error", "they prove nothing about now"


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({"timeStamp": "never sent"}, PEER),
        ({"clusterID": "turin"}, PEER),
        ({}, "169.254.18.3"),
        ({"msgType": "pong"}, PEER),
    ],
)
def test_forged_answers_are_dropped(liveness: Liveness, changes: dict[str, str], source: str) -> None:
    assert liveness.receive(pong(liveness.ping(100.0, "a"), **changes), source, 100.1) is None
    assert (liveness.value, liveness.dropped) == ("Connecting", 1)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"null", b"[]", b'{"clusterID":"a"}', b"\xff" * 20, b"[" * 1000,
        b'{"clusterID":1,"msgType":"PING","timeStamp":"x"}',
        json.dumps({"clusterID": "r" * 2000, "msgType": "PING", "timeStamp": "x"}).encode(),
        json.dumps({"clusterID": "rome", "msgType": "PING", "timeStamp": "x" * 300}).encode(),
    ],
)  # fmt: skip
def test_truncated_and_oversized_datagrams_are_dropped(liveness: Liveness, data: bytes) -> None:
    assert liveness.receive(data, PEER, 100.0) is None
    assert liveness.dropped == 1


@given(st.binary(max_size=1100))
def test_no_datagram_does_harm(data: bytes) -> None:
    liveness = Liveness("milan", PEER, interval=2.0, threshold=5, now=0.0)
    liveness.receive(data, PEER, 0.1)
    assert liveness.value == "Connecting"


TEXTS = st.one_of(st.sampled_from(["PING", "PONG", "milan", "rome", "s", ""]), st.text(max_size=300))
FORGED = st.fixed_dictionaries({"clusterID": TEXTS, "msgType": TEXTS, "timeStamp": TEXTS}).map(json.dumps)


@given(FORGED, st.sampled_from([PEER, "169.254.18.2", "10.0.0.1"]), st.integers(0, 400))
def test_only_the_true_answer_connects_and_the_rest_is_answered_or_counted(
    text: str, source: str, kept: int
) -> None:
    data = text.encode()[: len(text) - kept] if kept < len(text) else text.encode()
    liveness = Liveness("milan", PEER, interval=2.0, threshold=5, now=0.0)
    liveness.ping(0.0, "s")
    answer = liveness.receive(data, source, 0.1)
    if source != PEER:
        assert answer is None
    try:
        message = json.loads(data)
    except ValueError:
        message = {}
    answers = message == {"clusterID": "milan", "msgType": "PONG", "timeStamp": "s"} and source == PEER
    assert (liveness.value == "Connected") == answers
    # Each datagram is one of the three: an answer to us, a ping that we answer, or dropped and counted.
    assert liveness.dropped == int(answer is None and not answers)


def test_unanswered_pings_are_not_kept_for_ever(liveness: Liveness) -> None:
    pings = [liveness.ping(100.0 + n, str(n)) for n in range(1000)]
    liveness.receive(pong(pings[0]), PEER, 1100.0)
    assert liveness.dropped == 1
    liveness.receive(pong(pings[-1]), PEER, 1100.0)
    assert liveness.value == "Connected"


def test_a_state_is_written_at_once_and_latencies_seldom() -> None:
    reporter = Reporter(10.0)
    assert reporter.due("Connecting", None, 0.0)
    reporter.written("Connecting", None, 0.0)
    assert reporter.due("Connected", 0.010, 0.1)
    reporter.written("Connected", 0.010, 0.1)
    assert not reporter.due("Connected", 0.050, 5.0), "not within 10 s"
    assert reporter.due("Connected", 0.050, 10.2)
    assert not reporter.due("Connected", 0.011, 10.2), "nobody would notice"
    assert reporter.due("Error", None, 10.3)


def test_latency_is_text_with_its_unit() -> None:
    assert format_latency(0.0012345) == "1.234ms"
