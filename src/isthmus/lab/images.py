"""Getting images into the nodes: there is no registry, so each node's containerd is handed the archive.

Owns nothing. Fails with `LabError` for a file that is no archive, a name that no builder knows, or no lab.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from isthmus.lab import building, node, processes, state, testimages
from isthmus.lab.errors import LabError
from isthmus.lab.plan import Site

Report = Callable[[str], None]


def load(site: Site, image: str, cluster: str | None, report: Report) -> None:
    """Import an image into every node, or into those of one cluster.

    `image` is the path of an archive (docker-archive or OCI) or the name of an image that the lab has built.
    Raises LabError.
    """
    planned = state.require(site).plan(site)
    chosen = [state.find_cluster(site, cluster)] if cluster else planned
    workers = [worker.name for one in chosen for worker in one.workers]
    archive = Path(image)
    if not archive.is_file():
        if "/" not in image and ":" not in image:
            raise LabError(f"there is no file {image!r}, and it is not an image name")
        archive = building.export(image, report)
    holders = [processes.find(site, worker, node.HOLDER) for worker in workers]
    with ThreadPoolExecutor(len(holders)) as pool:
        for done in [pool.submit(node.load_image, holder, archive) for holder in holders]:
            done.result()
    report(f"{image} loaded into {', '.join(workers)}")


def renew(site: Site, report: Report) -> None:
    """Load the images that every node has from the start where this checkout makes others now. Raises LabError."""
    with state.locked(site):
        record = state.require(site)
        archive = str(testimages.ensure(report))
        if archive != record.images:
            load(site, archive, None, report)
            record.images = archive
            state.save(site, record)
