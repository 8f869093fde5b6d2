"""Tests here make network namespaces and join them with the real tools: they need root, and leave nothing.

They run with the tests on clusters, which may install what they need; the other unit tests need nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.lab import binaries, packages
from tests.network.netns.support import Cluster, Figures, clusters


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent not in item.path.parents:
            continue
        item.add_marker(pytest.mark.cluster)
        item.add_marker(pytest.mark.timeout(120, func_only=True))
        if os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="network namespaces need root"))


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.figures)], ids=["ends", "in time"])
def promised(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test is played twice: that things come back at all, and among the figures that they do in time."""
    monkeypatch.setattr(Figures, "held", request.param)


@pytest.fixture(scope="session")
def wireguard() -> Path:
    """The folder of userspace WireGuard; sees to the tools beside it too."""
    packages.ensure(packages.NETWORK, lambda _: None)
    return binaries.ensure_wireguard(lambda _: None).parent


@pytest.fixture
def pair(wireguard: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Cluster, Cluster]]:
    """Rome and milan."""
    monkeypatch.setenv("PATH", f"{wireguard}:{os.environ['PATH']}")
    with clusters() as made:
        yield made
