"""What a node's containerd has from the start: images imported and unpacked once, then shared by all nodes.

Owns these folders in the cache, one for each archive and version of containerd. A node gets a copy whose files are
hard links: no node ever changes a file of an image, so nothing is written, and what runs on several nodes is in
memory once. Fails with `LabError` when containerd does not take the archive.
"""

import contextlib
import hashlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from isthmus.lab import locks
from isthmus.lab.binaries import cache_folder
from isthmus.lab.errors import LabError

Report = Callable[[str], None]

START_SECONDS = 60.0
POLL_SECONDS = 0.05
CONFIGURATION = 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
DATABASES = "*.db"
"""containerd's own records, which each node changes."""


def ensure(archive: Path, report: Report) -> Path:
    """The folder of a containerd that has an archive's images, made if it is not in the cache. Raises LabError."""
    version = subprocess.run(["containerd", "--version"], capture_output=True, check=True).stdout
    store = cache_folder() / f"store-{archive.stem}-{hashlib.sha256(version).hexdigest()[:8]}"
    with locks.held(cache_folder() / "images.lock", lambda: report("waiting for another unpacking to end")):
        if not store.exists():
            report("unpacking the nodes' images, once")
            _make(archive, store)
    return store


def copy(store: Path, target: Path) -> None:
    """Give a node's containerd, which must never have run yet, the images of a store. Raises LabError."""
    near = store.stat().st_dev == target.stat().st_dev
    _run(["cp", "--archive", "--link" if near else "--reflink=auto", f"{store}/.", str(target)])
    for database in target.rglob(DATABASES):
        temporary = database.with_name(database.name + ".new")
        shutil.copy2(database, temporary)
        temporary.replace(database)


def _make(archive: Path, store: Path) -> None:
    # Sockets have short paths; what is renamed must be on the file system of its new name.
    with (
        tempfile.TemporaryDirectory(prefix="containerd-") as state,
        tempfile.TemporaryDirectory(prefix=".store-", dir=store.parent) as temporary,
    ):
        root = Path(temporary) / "root"
        with _containerd(root, Path(state)) as address:
            _run(["ctr", f"--address={address}", "--namespace=k8s.io", "images", "import", str(archive)])
        root.rename(store)


@contextlib.contextmanager
def _containerd(root: Path, state: Path) -> Iterator[Path]:
    """A containerd apart from the machine's own, while the block runs; it ends with this process at the latest."""
    address, configuration, log = state / "socket", state / "config.toml", state / "log"
    configuration.write_text(CONFIGURATION)
    folders = [f"--root={root}", f"--state={state / 'run'}", f"--address={address}"]
    command = ["setpriv", "--pdeathsig=KILL", "unshare", "--mount", "containerd", f"--config={configuration}"]
    with (
        log.open("wb") as output,
        subprocess.Popen([*command, *folders], stdout=output, stderr=output) as child,
    ):
        try:
            deadline = time.monotonic() + START_SECONDS
            while not address.exists():
                if child.poll() is not None or time.monotonic() > deadline:
                    raise LabError(f"containerd does not start:\n{log.read_text()[-2000:]}")
                time.sleep(POLL_SECONDS)
            yield address
        finally:
            child.terminate()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(command)} failed: {done.stderr.strip()}")
