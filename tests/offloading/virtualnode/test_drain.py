"""Who a drain waits for, and how often it looks."""

from __future__ import annotations

from typing import Any

import msgspec

from isthmus.kube.objects import Object
from isthmus.offloading.virtualnode.drain import is_over
from isthmus.offloading.virtualnode.retirement import Situation


def pod(**metadata: Any) -> Object:
    return msgspec.convert({"metadata": {"name": "p", **metadata}}, Object)


def test_a_pod_that_only_a_finalizer_holds_is_not_waited_for() -> None:
    gone = {"deletionTimestamp": "2026-11-23T10:00:00Z", "deletionGracePeriodSeconds": 0}
    assert is_over(pod(**gone, finalizers=["example.com/mine"]))
    assert not is_over(pod(**gone)), "it is about to go"
    assert not is_over(pod(**{**gone, "deletionGracePeriodSeconds": 30}, finalizers=["example.com/mine"]))
    assert not is_over(pod(finalizers=["example.com/mine"]))


def test_a_drain_that_drags_on_looks_less_often() -> None:
    assert Situation(1.0, hopeless=False).pause < 1.0
    assert Situation(60.0, hopeless=False).pause > 1.0
