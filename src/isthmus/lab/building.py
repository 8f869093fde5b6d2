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

from isthmus.lab import locks, packages
from isthmus.lab.binaries import cache_folder
from isthmus.lab.errors import LabError

IMAGE = "localhost/isthmus:latest"
BASE_IMAGE = "docker.io/library/debian:bookworm-slim"
CHECKOUT = Path(__file__).parents[3]
# What the Debian project leaves out of its own slim image.
LEFT_OUT = ("man", "doc", "locale", "info", "lintian", "linda", "groff")
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
        _buildah(["build", "--layers", "--pull-never", *network, f"--tag={IMAGE}", str(checkout)])
        return export(IMAGE)


def options(environment: Mapping[str, str]) -> list[str]:
    """The builder's options that let steps reach the network as this machine does.

    A machine may have its package index, and its proxy's certificate authority, from its environment.
    """
    chosen = [f"--build-arg={name}={environment[name]}" for name in PASSED_ON if environment.get(name)]
    if bundle := environment.get("PIP_CERT"):
        chosen += [f"--build-arg=PIP_CERT={BUNDLE}", f"--volume={bundle}:{BUNDLE}:ro"]
    return chosen


def export(name: str) -> Path:
    """The archive of an image in the builder's storage, written anew. Raises LabError when there is none."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    archive = cache_folder() / f"exported-{digest}.tar"
    temporary = archive.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    _buildah(["push", "--quiet", name, f"docker-archive:{temporary}:{name}"])
    temporary.replace(archive)
    return archive


def _ensure_base(report: Report) -> None:
    if _buildah(["images", "--quiet", "--filter", f"reference={BASE_IMAGE}"]).strip():
        return
    report("making a Debian base image, once")
    with tempfile.TemporaryDirectory(prefix=".base-", dir=cache_folder()) as temporary:
        folder = Path(temporary)
        excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT]
        command = ["mmdebstrap", "--quiet", "--variant=minbase", *excluded, "bookworm"]
        _run("mmdebstrap", [*command, str(folder / "root.tar")])
        (folder / "Containerfile").write_text('FROM scratch\nADD root.tar /\nCMD ["bash"]\n')
        _buildah(["build", f"--tag={BASE_IMAGE}", temporary])


def _buildah(arguments: Sequence[str]) -> str:
    cache = cache_folder()
    storage, running = cache / "containers", cache / "containers-running"
    storage.mkdir(parents=True, exist_ok=True)
    running.mkdir(exist_ok=True)
    # The plainest isolation: it works as root on any machine, inside a container too.
    environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
    options = [f"--root={storage}", f"--runroot={running}", f"--storage-driver={_driver(storage)}"]
    return _run("buildah", [*in_own_mounts(running), "buildah", *options, *arguments], environment)


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


def _run(name: str, command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        reason = (done.stdout + done.stderr).strip()[-3000:]
        raise LabError(f"{name} failed:\n{reason}")
    return done.stdout
