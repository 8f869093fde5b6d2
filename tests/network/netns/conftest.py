"""Tests here make network namespaces: they need root, take seconds, and leave nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.lab import binaries
from tests.network.netns.support import Cluster, clusters


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="network namespaces need root"))


@pytest.fixture(scope="session")
def wireguard() -> Path:
    """The folder of userspace WireGuard."""
    return binaries.ensure_wireguard(lambda _: None).parent


@pytest.fixture
def pair(wireguard: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Cluster, Cluster]]:
    """Rome and milan."""
    monkeypatch.setenv("PATH", f"{wireguard}:{os.environ['PATH']}")
    with clusters() as made:
        yield made
