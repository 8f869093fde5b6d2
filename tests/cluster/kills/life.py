"""A life of two clusters, phase after phase, and what must be true at the end of each, whatever was killed in it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from isthmus import lab
from isthmus.kube.errors import KubeError
from tests.cluster.kills import phases, workload
from tests.cluster.kills.history import History, count_made, find_faults
from tests.cluster.kills.inventory import Inventory, compare, held, take_inventory
from tests.cluster.kills.phases import ACTIONS, Pair
from tests.cluster.kills.plan import LIFE, Phase, Run
from tests.cluster.kills.reading import Reader, is_ready
from tests.cluster.kills.strike import NothingRanError, Strike
from tests.processes import processes

PATIENCE = 150.0
"""Seconds for everything to come to rest: a process that was killed several times is started after up to 40 s."""
EARLIER = 2 / 3
"""The share of a moment to kill at instead, where nothing was left to kill."""
TRIES = 4
"""How often: the last is before a third of the first moment."""
ALIKE = 3
"""How many looks in a row, a second apart, must find the same."""
ABROAD = (Phase.OFFLOAD, Phase.SCALE, Phase.DRAIN)
WITH_NETWORK = (Phase.PEER, *ABROAD)
OURS = "liqo"
"""How the namespaces that our own pods run in begin."""

Inventories = tuple[Inventory, Inventory]


class Life:
    """The two clusters, and how far they are."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._readers = (Reader(pair[0]), Reader(pair[1]))
        self._stage: Phase | None = None
        self._ends: dict[Phase, Inventories] = {}
        """What there was at the end of each phase the first time, and must be there every time."""
        self._bare: Inventories | None = None
        self._watches = ExitStack()
        self._seen: tuple[History, History] | None = None

    def close(self) -> None:
        """Take everything away again."""
        self._watches.close()
        for reader in self._readers:
            reader.close()
        phases.reset(self._pair)

    def play(self, run: Run) -> str:
        """Carry out a phase with its kill, from where it starts; returns what was killed and how long it took.

        Where the phase was over before the kill and left nothing to kill, it is carried out again, the kill earlier.
        Raises AssertionError where the end is not what it must be; the next run then starts from nothing.
        """
        for _ in range(TRIES):
            self._bring_to_start(run.phase)
            try:
                return self._carry_out(run.phase, run)
            except NothingRanError as over:
                print(over)
                run = replace(run, moment=run.moment * EARLIER)
        raise AssertionError(f"nothing of {[str(one) for one in run.targets]} ever ran")

    def _bring_to_start(self, phase: Phase) -> None:
        """Carry out the phases before without a kill, from nothing where the clusters are elsewhere."""
        before = LIFE[: LIFE.index(phase)]
        if self._bare is None or self._stage != (before[-1] if before else LIFE[-1]):
            self._begin()
            for one in before:
                self._carry_out(one, None)
        elif not before:
            self._watch()

    def _begin(self) -> None:
        phases.reset(self._pair)
        self._bare = self._take()
        self._watch()

    def _watch(self) -> None:
        rome, milan = self._pair
        self._watches.close()
        here = self._watches.enter_context(History(rome, workload.NAMESPACE))
        self._seen = (here, self._watches.enter_context(History(milan, workload.TWIN)))

    def _carry_out(self, phase: Phase, run: Run | None) -> str:
        self._stage = None
        begin = time.monotonic()
        strike = Strike(run)
        with strike.around():
            ACTIONS[phase](self._pair, strike)
        acted = time.monotonic() - begin
        _await_none(lambda: self._find_gaps(phase), f"the end of {phase} ({strike.done})")
        if phase not in self._ends:
            self._ends[phase] = self._settle()
        self._stage = phase
        return f"{strike.done}; done after {acted:.1f} s, at rest after {time.monotonic() - begin:.1f} s"

    def _take(self) -> Inventories:
        rome, milan = self._readers
        return take_inventory(rome), take_inventory(milan)

    def _settle(self) -> Inventories:
        """What there is once nothing more comes: some objects are made a moment after all is ready."""
        alike = [self._take()]
        end = time.monotonic() + PATIENCE
        while len(alike) < ALIKE:
            assert time.monotonic() < end, f"no rest within {PATIENCE:.0f} s"
            time.sleep(1)
            found = self._take()
            alike = [*alike, found] if found == alike[-1] else [found]
        return alike[-1]

    def _find_gaps(self, phase: Phase) -> list[str]:
        """All that is not as it must be at the end of a phase. Raises AssertionError for what no time mends."""
        faults = self._find_faults(phase)
        assert not faults, faults
        gaps = _find_down(self._readers, phase) + self._find_work_lacking(phase)
        return gaps or self._find_differences(phase)

    def _find_faults(self, phase: Phase) -> list[str]:
        assert self._seen is not None
        here, there = (history.lives() for history in self._seen)
        faults = find_faults(here, there, dict.fromkeys(_jobs(phase), workload.JOB_PODS))
        made = {Phase.OFFLOAD: phases.FIRST, Phase.SCALE: phases.MOST}.get(phase)
        if made is not None:
            for kind, number in (("ReplicaSet/web", made), ("StatefulSet/store", 1)):
                pods = count_made(here, kind)
                if pods > number:
                    faults.append(f"{kind} had {pods} pods, not {number}")
            again = {uid: n for uid, n in Counter(one.stands_for for one in there).items() if n > 1}
            faults += [f"{uid} had {number} pods abroad" for uid, number in again.items()]
        return faults

    def _find_work_lacking(self, phase: Phase) -> list[str]:
        rome, milan = self._readers
        if phase in ABROAD:
            replicas = phases.FIRST if phase is Phase.OFFLOAD else phases.LAST
            return workload.find_lacking(rome, milan, replicas, _jobs(phase))
        if phase is Phase.UNPEER:
            return workload.find_lacking_at_home(rome, phases.LAST, _jobs(phase))
        return []

    def _find_differences(self, phase: Phase) -> list[str]:
        found = self._take()
        gaps = [f"{one} is stuck" for inventory in found for one in held(inventory)]
        expected = self._bare if phase is Phase.UNINSTALL else self._ends.get(phase)
        if phase is Phase.DRAIN:
            expected = self._ends[Phase.SCALE]
        if phase is Phase.UNPEER:
            rome, milan = self._ends[Phase.INSTALL]
            gaps += [f"rome, since {Phase.INSTALL}: {one}" for one in _not_of_work(rome, found[0])]
            gaps += [f"milan, since {Phase.INSTALL}: {one}" for one in compare(milan, found[1])]
        if expected is not None:
            for cluster, before, after in zip(self._readers, expected, found, strict=True):
                gaps += [f"{cluster.name}: {one}" for one in compare(before, after)]
        return gaps


def _not_of_work(before: Inventory, after: Inventory) -> list[str]:
    """The differences, but for the namespace of the workload and what is in it."""
    place = re.compile(rf" {workload.NAMESPACE}(/|$| )")
    return [one for one in compare(before, after) if not place.search(one.removeprefix("+ "))]


def _jobs(phase: Phase) -> tuple[str, ...]:
    """The Jobs that are done at the end of a phase."""
    if phase in (Phase.INSTALL, Phase.PEER, Phase.UNINSTALL):
        return ()
    return (phases.EARLY,) if phase is Phase.OFFLOAD else (phases.EARLY, phases.LATE)


def _find_down(readers: Sequence[Reader], phase: Phase) -> list[str]:
    """Which processes of ours do not run, and which pods of ours are not Ready."""
    if phase is Phase.UNINSTALL:
        return [f"{one.role} of {one.cluster} still runs" for one in processes()]
    running = Counter((one.cluster, one.role, one.program) for one in processes())
    nodes = {one.name: len(one.workers) for one in lab.clusters()}
    tunnels = int(phase in WITH_NETWORK)
    gaps = []
    for reader in readers:
        wanted = {
            ("controller", "isthmus"): 1,
            ("node", "isthmus"): nodes[reader.name],
            ("gateway", "isthmus"): tunnels,
            ("gateway", "wireguard-go"): tunnels,
        }
        for (role, program), number in wanted.items():
            there = running[reader.name, role, program]
            if there != number:
                gaps.append(f"{there} processes {program} of {role} in {reader.name}, not {number}")
        gaps += [f"pod {name} of {reader.name} is not Ready" for name in _unready(reader)]
    return gaps


def _unready(reader: Reader) -> list[str]:
    """The pods of ours that are not Ready, or are going."""
    return [
        pod["metadata"]["name"]
        for pod in reader.items("/api/v1/pods")
        if pod["metadata"]["namespace"].startswith(OURS) and not is_ready(pod)
    ]


def _await_none(find: Callable[[], list[str]], what: str) -> None:
    """Wait until nothing is found any more. Raises AssertionError with what is left."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            gaps = find()
        except KubeError as error:
            gaps = [str(error)]
        if not gaps:
            return
        if time.monotonic() > end:
            raise AssertionError(f"{what} is not what it must be after {PATIENCE:.0f} s:\n" + "\n".join(gaps))
        time.sleep(0.25)
