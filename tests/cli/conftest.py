"""What tests of whole commands share: two installed clusters, and time that passes only while a command waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.cli import authentication, waiting, writes
from tests.apiserver import ApiServer
from tests.cli.clock import Clock
from tests.cli.played import Duo, install
from tests.cli.two_clusters import Site


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no command wait in earnest, and save the child process that each certificate request takes."""

    async def request(private: str, name: str, organizations: list[str]) -> str:
        return f"request of {name} in {organizations}"

    clock = Clock()
    for module in (waiting, writes):
        monkeypatch.setattr(module, "asyncio", clock)
    monkeypatch.setattr(waiting, "time", clock)
    monkeypatch.setattr(authentication, "make_request", request)


@pytest.fixture
async def duo(tmp_path: Path) -> AsyncIterator[Duo]:
    """Rome and milan, not peered."""
    async with ApiServer() as rome, ApiServer() as milan:
        install(rome, "rome")
        install(milan, "milan")
        yield Duo(rome, milan, tmp_path)


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[Duo]:
    """Rome and milan with the networking module, whose controllers are played too; not joined, not peered."""
    async with Site("rome", "10.200.0.0/16") as rome, Site("milan", "10.201.0.0/16") as milan:
        install(rome, "rome")
        install(milan, "milan")
        yield Duo(rome, milan, tmp_path)
