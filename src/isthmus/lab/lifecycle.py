"""The lab's beginning and end: `up` and `down`.

Owns the order of things and the promise that nothing is left behind: what is to be made is recorded first, a
failure on the way removes what was made, and the remains of a lab that was killed are recognised and cleared.
Fails with `LabError`.
"""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path

from isthmus.lab import (
    binaries,
    cgroups,
    cluster,
    imagestore,
    network,
    node,
    packages,
    settings,
    state,
    testimages,
)  # fmt: skip
from isthmus.lab.errors import LabError
from isthmus.lab.plan import POD_CIDR, SERVICE_CIDR, Cluster, Site, namespaces, plan_clusters
from isthmus.lab.state import Phase, State

Report = Callable[[str], None]

LIFE = re.compile(r"[1-9][0-9]*[smh]")


def up(
    site: Site,
    clusters: int,
    workers: int,
    kubernetes: str,
    report: Report,
    pod_cidr: IPv4Network = POD_CIDR,
    service_cidr: IPv4Network = SERVICE_CIDR,
    disjoint: bool = False,
    certificate_life: str = "",
) -> tuple[Cluster, ...]:
    """Bring the lab up and return its clusters when pods can run in each. Raises LabError, leaving nothing."""
    require_root()
    if certificate_life and not LIFE.fullmatch(certificate_life):
        raise LabError(
            f"--certificate-life {certificate_life!r} is not a valid duration: write for instance 3m or 24h"
        )
    versions = binaries.resolve_versions(kubernetes, clusters)
    planned = plan_clusters(site, clusters, workers, pod_cidr, service_cidr, disjoint)
    with state.locked(site):
        _clear_remains(site, report)
        packages.ensure(packages.RUN, report)
        _check_free(site, planned)
        programs = {version: str(binaries.ensure(version, report)) for version in dict.fromkeys(versions)}
        images = testimages.ensure(report)
        store = imagestore.ensure(images, report)
        record = State(
            Phase.STARTING,
            {one.name: version for one, version in zip(planned, versions, strict=True)},
            {one.name: programs[version] for one, version in zip(planned, versions, strict=True)},
            clusters, workers, str(pod_cidr), str(service_cidr), disjoint=disjoint, images=str(images),
        )  # fmt: skip
        _share(record, state.others(site))
        state.save(site, record)
        try:
            _make(site, record, planned, store, report, certificate_life)
        except BaseException:
            report("failed: removing what was made")
            _remove(site, record)
            raise
        record.phase = Phase.UP
        state.save(site, record)
    return planned


def build(kubernetes: str, report: Report) -> None:
    """Have in the cache all that `up` needs of these versions, and start nothing. Raises LabError."""
    require_root()
    packages.ensure(packages.RUN, report)
    for version in binaries.resolve_versions(kubernetes, kubernetes.count(",") + 1):
        binaries.ensure(version, report)
    imagestore.ensure(testimages.ensure(report), report)


def _share(record: State, others: list[State]) -> None:
    """Note what was before the first of the labs, whoever was first: the last one to go restores it."""
    made = [directory for other in others for directory in other.directories]
    record.directories = list(dict.fromkeys([*made, *node.missing_mount_points()]))
    record.settings = others[0].settings if others else settings.read()


def down(site: Site, report: Report) -> bool:
    """End and remove all that `up` made, however far it got; False when there was nothing. Raises LabError."""
    require_root()
    with state.locked(site):
        record = state.load(site)
        if record is None:
            return False
        report("ending the lab")
        _remove(site, record)
    return True


def require_root() -> None:
    """Raises LabError unless this process may make namespaces."""
    if os.geteuid() != 0:
        raise LabError("the lab needs root: it makes network namespaces and runs containers")


def _clear_remains(site: Site, report: Report) -> None:
    """Remove a lab that has died or never came up. Raises LabError when it lives."""
    record = state.load(site)
    if record is None:
        return
    if record.phase is Phase.UP and cgroups.members(site.cgroup):
        raise LabError("a lab is up already; a machine has room for one: end it with `isthmus lab down`")
    report("clearing the remains of an earlier lab")
    _remove(site, record)


def _check_free(site: Site, planned: tuple[Cluster, ...]) -> None:
    """Raises LabError when something that the lab would make is there already and is not the lab's."""
    network.check_free(site, planned)
    if site.state.exists() and any(site.state.iterdir()):
        raise LabError(f"{site.state} exists already and is not this lab's: remove it first")
    if cgroups.members(site.cgroup):
        raise LabError(
            f"the control group {site.cgroup} has processes that are not this lab's: end them first"
        )


def _make(
    site: Site,
    record: State,
    planned: tuple[Cluster, ...],
    store: Path,
    report: Report,
    certificate_life: str,
) -> None:
    started = time.monotonic()

    def timed(text: str) -> None:
        report(f"{text} ({time.monotonic() - started:.1f} s)")

    for directory in record.directories:
        Path(directory).mkdir(exist_ok=True)
    settings.raise_limits()
    cgroups.create(site.cgroup, [worker.name for one in planned for worker in one.workers])
    network.create(site, planned)
    timed("network made")
    with ThreadPoolExecutor(len(planned)) as pool:
        starts = [
            pool.submit(
                cluster.start, site, one, Path(record.binaries[one.name]), store, timed, certificate_life
            )
            for one in planned
        ]
        try:
            for start in starts:
                start.result()
        except BaseException:
            # The others would go on to their end otherwise; without their processes they give up at once.
            cgroups.end(site.cgroup)
            raise


def _remove(site: Site, record: State) -> None:
    """Remove everything; the record goes last, so that a removal that was cut short can be done again."""
    cgroups.end(site.cgroup)
    network.remove(site, namespaces(site, record.plan(site)))
    cgroups.remove(site.cgroup)
    if not state.others(site):
        _restore(record)
    for name in ("nodes", "clusters", "processes", "logs"):
        shutil.rmtree(site.state / name, ignore_errors=True)
    shutil.rmtree(site.state)


def _restore(record: State) -> None:
    """Undo what all labs share. Removing a mount point would take the mount from another lab's nodes."""
    settings.restore(record.settings)
    for directory in reversed(record.directories):
        # Not empty means that somebody else has put it to use.
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
