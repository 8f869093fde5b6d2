"""What a pod takes is what the scheduler would count."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from isthmus.api.quantity import NANO
from isthmus.offloading.quota.requests import pod_requests, read_pod


def cpu(amount: str, **more: Any) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": {"cpu": amount}}, **more}


def requests(**spec: Any) -> dict[str, int]:
    return pod_requests(read_pod(Raw(msgspec.json.encode({"containers": [], **spec}))))


@pytest.mark.parametrize(
    ("spec", "cores"),
    [
        ({"containers": [cpu("1"), cpu("500m")]}, 1.5),
        ({"containers": [cpu("1")], "initContainers": [cpu("3"), cpu("2")]}, 3),
        ({"containers": [cpu("1")], "initContainers": [cpu("1", restartPolicy="Always"), cpu("3")]}, 4),
        ({"containers": [cpu("1")], "initContainers": [cpu("3"), cpu("1", restartPolicy="Always")]}, 3),
        ({"containers": [cpu("3")], "initContainers": [cpu("1", restartPolicy="Always")]}, 4),
        ({"containers": [cpu("1")], "overhead": {"cpu": "250m"}}, 1.25),
        ({"containers": [cpu("1")], "resources": {"requests": {"cpu": "2"}}}, 2),
        ({"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}, 2),
    ],
)
def test_counting(spec: dict[str, Any], cores: float) -> None:
    assert requests(**spec)["cpu"] == cores * NANO


def test_each_is_one_pod_whatever_it_asks_for() -> None:
    assert requests(containers=[{"name": "c"}]) == {"pods": NANO}


def test_a_pod_without_containers_is_told_from_one_with_none() -> None:
    assert read_pod(Raw(b"{}")).containers is None
    assert read_pod(Raw(b'{"containers": []}')).containers == []


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [cpu("1"), cpu("-1")]},
        {"initContainers": [cpu("-1")]},
        {"resources": {"requests": {"cpu": "-1"}}},
        {"overhead": {"cpu": "-1"}},
    ],
)
def test_nothing_below_zero_can_make_a_pod_look_smaller(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cpu request -1 is negative"):
        requests(**spec)
