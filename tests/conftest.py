"""What all tests share: which lab a worker has, which tests a run plays, and in which order.

Each worker of pytest-xdist has a lab of its own, told apart by name and network, so that whatever a test stops,
kills or uninstalls is its own. The first worker keeps the lab of the environment: a developer's standing one.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests import selection
from tests.cluster.kills.plan import LIFE

DURATIONS = Path(__file__).parent / "durations.json"
PACKAGES = ("tests/cluster/safety", "tests/cluster/installation")
"""Their modules share what takes long to set up, so one worker plays them all."""
SEEDS = "tests/cluster/kills/test_kills.py"

# How fast a machine makes examples is no property of the product: a busy one is slow at it.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def _own_lab(worker: str) -> None:
    """Give a worker after the first a lab of its own."""
    number = int(worker.removeprefix("gw") or 0)
    if number:
        os.environ["ISTHMUS_LAB_NAME"] = f"work{chr(ord('a') + number)}"
        os.environ["ISTHMUS_LAB_NETWORK"] = f"172.{29 + number}.0.0/16"


_own_lab(os.environ.get("PYTEST_XDIST_WORKER", "gw0"))


def pytest_configure() -> None:
    """Say that there is no current event loop.

    pytest-asyncio asks for one before the first asynchronous test; asyncio then makes it, nobody closes it, and the
    ResourceWarning fails whichever test runs when it is collected.
    """
    asyncio.set_event_loop(None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which of the endurance tests are played."""
    group = parser.getgroup("isthmus")
    group.addoption("--shard", metavar="K/N", help="of the endurance tests, only shard K of N")
    group.addoption(
        "--endurance-part",
        type=int,
        metavar="N",
        help="of the endurance tests, only part N (modulo their number), each at most three minutes",
    )


def unit(nodeid: str) -> str:
    """What is played together with a test: its module; of the kills the seven seeds that are one life of two clusters,
    for each begins where the one before it ended.
    """
    path, _, name = nodeid.partition("::")
    seed = name.partition("[")[2].rstrip("]") if path == SEEDS else ""
    return f"{path}::life {(int(seed) - 1) // len(LIFE)}" if seed else path


def group(nodeid: str) -> str:
    """What one worker plays from beginning to end: a package whose modules share their lab, or a unit."""
    name = unit(nodeid)
    return next((package for package in PACKAGES if name.startswith(package)), name)


class Groups(LoadScopeScheduling):
    """Hands groups to workers in the order of collection. The marks of `--dist loadgroup` come to nothing with pytest
    9.2, whose node ids pytest-xdist 3.8 cannot extend."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups | None:
    """Use it where groups are asked for."""
    return Groups(config, log) if config.getoption("dist") == "loadgroup" else None


class Choice:
    """What is played of what was collected, after `-m` has had its say."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Without root nothing on clusters can be played; else the shard or part asked for, longest first."""
        real = [item for item in items if item.get_closest_marker("cluster")]
        if real and os.geteuid() != 0:
            _without_root(config, items, real)
            return
        seconds = _seconds(items)
        dropped = _not_played(config, real, seconds)
        if dropped:
            config.hook.pytest_deselected(items=[item for item in items if item in dropped])
            items[:] = [item for item in items if item not in dropped]
        spent = _grouped(real, seconds)
        first = {name: number for number, name in enumerate(selection.longest_first(spent, spent))}
        items.sort(key=lambda item: first.get(group(item.nodeid), -1))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Choose last, when every conftest has marked its tests."""
    session.config.pluginmanager.register(Choice(), "isthmus-choice")


def _without_root(config: pytest.Config, items: list[pytest.Item], real: list[pytest.Item]) -> None:
    if not os.environ.get("ISTHMUS_TESTS_WITHOUT_ROOT"):
        raise pytest.UsageError(
            "the tests on real clusters need root: run them as root, or set ISTHMUS_TESTS_WITHOUT_ROOT=1"
            " to leave them out"
        )
    config.hook.pytest_deselected(items=real)
    items[:] = [item for item in items if item not in real]


def _seconds(items: list[pytest.Item]) -> dict[str, float]:
    """The measured seconds of each unit; those of the kills are the mean of a seed."""
    measured: dict[str, dict[str, float]] = json.loads(DURATIONS.read_text())
    seconds = dict(measured["endurance"])
    lives = Counter(unit(item.nodeid) for item in items if item.nodeid.startswith(SEEDS))
    return seconds | {life: seeds * seconds[SEEDS] for life, seeds in lives.items()}


def _grouped(items: list[pytest.Item], seconds: dict[str, float]) -> dict[str, float]:
    """The seconds of each group: of its modules, and of the endurance tests in it that are played."""
    modules: dict[str, float] = json.loads(DURATIONS.read_text())["test"]
    long = {unit(item.nodeid) for item in items if item.get_closest_marker("endurance")}
    found: dict[str, float] = {}
    for name, where in {unit(item.nodeid): group(item.nodeid) for item in items}.items():
        spent = modules.get(name, 0.0) + (
            seconds.get(name, selection.UNKNOWN_SECONDS) if name in long else 0.0
        )
        found[where] = found.get(where, 0.0) + spent
    return found


def _not_played(
    config: pytest.Config, real: list[pytest.Item], seconds: dict[str, float]
) -> set[pytest.Item]:
    """The endurance tests that are in another shard or part. Raises UsageError for a shard that cannot be."""
    long = {item: unit(item.nodeid) for item in real if item.get_closest_marker("endurance")}
    units = set(long.values())
    chosen = units
    if text := config.getoption("--shard"):
        try:
            chosen = selection.shard(units, seconds, *selection.parse_shard(text))
        except ValueError as error:
            raise pytest.UsageError(f"--shard: {error}") from None
    elif (part := config.getoption("--endurance-part")) is not None:
        found = selection.parts(units, seconds)
        chosen = found[part % len(found)] if found else set()
    return {item for item, name in long.items() if name not in chosen}
