"""What each seed means: which phase of a life, which process of ours is killed in it, and when. Pure.

Seven seeds in a row are one life of two clusters, from nothing to nothing; a seed alone is one phase of it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """The phases of a life, in their order."""

    INSTALL = "install"
    PEER = "peer"
    OFFLOAD = "offload"
    SCALE = "scale"
    DRAIN = "drain"
    UNPEER = "unpeer"
    UNINSTALL = "uninstall"


LIFE = tuple(Phase)
COMMAND = "command"
WIREGUARD = "wireguard"
CLUSTERS = ("rome", "milan")

WINDOW = {
    Phase.INSTALL: 12.0,
    Phase.PEER: 16.0,
    Phase.OFFLOAD: 12.0,
    Phase.SCALE: 14.0,
    Phase.DRAIN: 14.0,
    Phase.UNPEER: 14.0,
    Phase.UNINSTALL: 16.0,
}
"""Seconds from the start of a phase within which the kill falls: about what it takes where nothing is killed."""

_ALWAYS = (COMMAND, "controller", "node")
_PEERED = (*_ALWAYS, "gateway", WIREGUARD)
ROLES = {phase: _ALWAYS if phase in (Phase.INSTALL, Phase.UNINSTALL) else _PEERED for phase in Phase}
"""Whose processes there are at some moment of a phase; `command` is the isthmus command that carries it out."""


@dataclass(frozen=True)
class Target:
    """One process of ours: its role, its cluster, and which it is where a cluster has several (from 0 to 1)."""

    role: str
    cluster: str
    share: float

    def __str__(self) -> str:
        return f"{self.role} of {self.cluster}"


@dataclass(frozen=True)
class Run:
    """One phase with one kill: `moment` seconds after its start the first of `targets` that runs then is killed."""

    seed: int
    phase: Phase
    moment: float
    targets: tuple[Target, ...]

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.phase}, {self.targets[0]} killed after {self.moment:.2f} s"


def plan_run(seed: int) -> Run:
    """The run of a seed (1 or more). Roles are as likely as each other, however many processes each has."""
    draw = random.Random(seed)
    phase = LIFE[(seed - 1) % len(LIFE)]
    moment = draw.random() * WINDOW[phase]
    targets = []
    for role in _shuffled(draw, ROLES[phase]):
        targets += [Target(role, cluster, draw.random()) for cluster in _shuffled(draw, CLUSTERS)]
    return Run(seed, phase, moment, tuple(targets))


def _shuffled(draw: random.Random, members: tuple[str, ...]) -> list[str]:
    # By `random()` alone, which gives the same numbers in every version of Python.
    return [member for _, member in sorted((draw.random(), member) for member in members)]


def parse_seeds(text: str) -> list[int]:
    """Seeds as `17`, `1-28` or `3,8,20-22`. Raises ValueError naming what is none."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or int(first) < 1:
            raise ValueError(f'ISTHMUS_KILL_SEED: "{part}" is no seed: write 17, 1-28 or 3,8,20-22')
        seeds += range(int(first), int(last or first) + 1)
    return seeds
