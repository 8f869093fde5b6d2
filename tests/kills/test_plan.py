"""The plan of a run is a function of its seed alone, and the seeds reach every process in every phase."""

from __future__ import annotations

import itertools

import pytest

from tests.cluster.kills.plan import COMMAND, LIFE, ROLES, WINDOW, Phase, parse_seeds, plan_run

SEEDS = range(1, 201)


def test_a_seed_means_the_same_for_ever() -> None:
    run = plan_run(17)
    assert run.phase is Phase.OFFLOAD
    assert str(run) == "seed 17: offload, node of milan killed after 6.26 s"
    assert plan_run(17) == run


def test_seven_seeds_in_a_row_are_a_life() -> None:
    assert tuple(plan_run(seed).phase for seed in range(1, 15)) == LIFE * 2


def test_every_run_falls_into_its_phase_and_finds_something() -> None:
    for run in map(plan_run, SEEDS):
        assert 0 <= run.moment < WINDOW[run.phase]
        # Every process there may be is in the list: one of them always runs.
        wanted = set(itertools.product(ROLES[run.phase], ("rome", "milan")))
        assert {(target.role, target.cluster) for target in run.targets} == wanted
        assert all(0 <= target.share < 1 for target in run.targets)


def test_each_role_is_struck_in_each_phase() -> None:
    first = {(run.phase, run.targets[0].role) for run in map(plan_run, SEEDS)}
    assert first == {(phase, role) for phase in Phase for role in ROLES[phase]}
    struck = [plan_run(seed).targets[0].role for seed in SEEDS]
    assert min(struck.count(role) for role in set(struck)) >= 25
    assert COMMAND in struck


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("17", [17]), ("1-4", [1, 2, 3, 4]), ("3, 8,20-22", [3, 8, 20, 21, 22])],
)
def test_seeds_are_read(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["x", "0", "3-", "-3", "1,,2"])
def test_what_is_no_seed_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="ISTHMUS_KILL_SEED"):
        parse_seeds(text)
