"""SIGKILL of any process of ours at a random moment of any phase of a life: the end is always the same.

`ISTHMUS_KILL_SEED=17 pytest tests/cluster/kills` repeats one seed (`1-28` and `3,8` are understood too): the clusters
are brought to the start of its phase first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cluster.kills.life import Life
from tests.cluster.kills.plan import parse_seeds, plan_run
from tests.cluster.support import Cluster, isthmus

SEEDS = range(1, 201)
"""What `make endurance` plays."""


def _seeds() -> list[object]:
    chosen = os.environ.get("ISTHMUS_KILL_SEED")
    if chosen:
        return [pytest.param(seed, id=str(seed)) for seed in parse_seeds(chosen)]
    return [pytest.param(seed, id=str(seed), marks=pytest.mark.endurance) for seed in SEEDS]


@pytest.fixture(scope="module")
def life(rome: Cluster, milan: Cluster) -> Iterator[Life]:
    """Two clusters with nothing of ours; Isthmus is there again afterwards for the tests that follow."""
    life = Life((rome, milan))
    yield life
    life.close()
    for cluster in (rome, milan):
        isthmus(
            *("install", "--kubeconfig", str(cluster.kubeconfig)),
            *("--cluster-id", cluster.name, "--api-server-url", cluster.server),
        )


@pytest.mark.parametrize("seed", _seeds())
def test_a_kill_changes_nothing_about_the_end(life: Life, seed: int) -> None:
    run = plan_run(seed)
    print(run)
    try:
        print(f"seed {seed}: {life.play(run)}")
    except AssertionError as error:
        print(f"seed {seed} FAILED, repeat it with ISTHMUS_KILL_SEED={seed}: {error}")
        raise
