"""Building the product's image from its Containerfile, on a machine with neither registry nor engine.

Owns the builder's storage in the cache and the base image in it: a Debian made by mmdebstrap, under the name
that the Containerfile asks for. The storage is apart from the machine's own, so no name there changes meaning.
Fails with `LabError` in the builder's words.
"""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from isthmus.lab import commands, debian, locks, packages
from isthmus.lab.binaries import cache_folder
from isthmus.lab.errors import LabError

IMAGE = "localhost/isthmus:latest"
BASE_IMAGE = "docker.io/library/debian:bookworm-slim"
CHECKOUT = Path(__file__).parents[3]
PASSED_ON = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "GOPROXY")
# Not where Debian has its own bundle: installing that would fail on a file it cannot write.
BUNDLE = "/mnt/authorities.crt"

Report = Callable[[str], None]


def build(report: Report, checkout: Path = CHECKOUT) -> Path:
    """Build the image from a checkout and return the archive with it. Raises LabError.

    Layers are kept, so that after a change of the sources only the last ones are made anew.
    """
    if not (checkout / "Containerfile").exists():
        raise LabError(f"there is no Containerfile in {checkout}: the image is built from a checkout")
    packages.ensure(packages.BUILD, report)
    with locks.held(cache_folder() / "building.lock", lambda: report("waiting for another build to end")):
        _ensure_base(report)
        report(f"building {IMAGE}")
        network = options(os.environ)
        arguments = ["build", "--layers", "--pull-never", *network, f"--tag={IMAGE}", str(checkout)]
        _buildah(f"building {IMAGE}", arguments, report)
        return export(IMAGE, report)


def options(environment: Mapping[str, str]) -> list[str]:
    """The builder's options that let steps reach the network as this machine does.

    A machine may have its package index, and its proxy's certificate authority, from its environment.
    """
    chosen = [f"--build-arg={name}={environment[name]}" for name in PASSED_ON if environment.get(name)]
    if bundle := environment.get("PIP_CERT"):
        chosen += [f"--build-arg=PIP_CERT={BUNDLE}", f"--volume={bundle}:{BUNDLE}:ro"]
    return chosen


def export(name: str, report: Report) -> Path:
    """The archive of an image in the builder's storage, written anew. Raises LabError when there is none."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    archive = cache_folder() / f"exported-{digest}.tar"
    temporary = archive.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    _buildah(f"exporting {name}", ["push", "--quiet", name, f"docker-archive:{temporary}:{name}"], report)
    temporary.replace(archive)
    return archive


def _ensure_base(report: Report) -> None:
    what = "making a Debian base image"
    if _buildah(what, ["images", "--quiet", "--filter", f"reference={BASE_IMAGE}"], report).strip():
        return
    with tempfile.TemporaryDirectory(prefix=".base-", dir=cache_folder()) as temporary:
        folder = Path(temporary)
        debian.bootstrap(what, folder / "root.tar", "minbase", report)
        (folder / "Containerfile").write_text('FROM scratch\nADD root.tar /\nCMD ["bash"]\n')
        _buildah(what, ["build", f"--tag={BASE_IMAGE}", temporary], report)


def _buildah(what: str, arguments: Sequence[str], report: Report) -> str:
    cache = cache_folder()
    storage, running = cache / "containers", cache / "containers-running"
    storage.mkdir(parents=True, exist_ok=True)
    running.mkdir(exist_ok=True)
    # The plainest isolation: it works as root on any machine, inside a container too.
    environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
    options = [f"--root={storage}", f"--runroot={running}", f"--storage-driver={_driver(storage)}"]
    command = [*in_own_mounts(running), "buildah", *options, *arguments]
    return commands.run(what, command, report, describe=current_step, environment=environment)


def current_step(lines: Sequence[str]) -> str:
    """The step of a Containerfile that the builder is at, shortened; empty before the first."""
    return commands.last_line([line for line in lines if "STEP " in line])


def in_own_mounts(running: Path) -> list[str]:
    """The start of a command line whose mounts end with it.

    A builder that is ended half-way leaves mounts, and its record of them; both go with the namespace.
    """
    script = f'mount -t tmpfs none {running} && exec "$@"'
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh"]


def _driver(storage: Path) -> str:
    """Overlay, whose layers hold only what is new; whole copies where the cache is on a file system against it."""
    if (storage / "vfs").exists():
        return "vfs"
    running = storage.with_name(storage.name + "-running")
    options = [f"--root={storage}", f"--runroot={running}", "--storage-driver=overlay"]
    attempt = [*in_own_mounts(running), "buildah", *options, "info"]
    done = subprocess.run(attempt, capture_output=True, check=False)
    return "vfs" if done.returncode else "overlay"
