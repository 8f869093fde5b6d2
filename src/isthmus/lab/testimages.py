"""The images every node has from the start: the pause container's and a small one for test workloads.

Owns their names and the archive in the cache. Fails with `LabError` when busybox is not where Debian puts it.
"""

import hashlib
import subprocess
from pathlib import Path

from isthmus.lab.archive import Image, write
from isthmus.lab.binaries import cache_folder
from isthmus.lab.configuration import PAUSE_IMAGE
from isthmus.lab.errors import LabError

TEST_IMAGE = "localhost/isthmus-test:latest"
BUSYBOX = Path("/bin/busybox")


def render(pause: bytes, busybox: bytes, applets: list[str]) -> list[Image]:
    """The images: `isthmus-test` has a shell, httpd, nc, wget, tar and busybox' other tools."""
    test = Image(
        TEST_IMAGE,
        files={"bin/busybox": busybox},
        command=["/bin/sleep", "2147483647"],
        links={f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"},
        folders=["tmp"],
    )
    return [Image(PAUSE_IMAGE, files={"pause": pause}, entrypoint=["/pause"]), test]


def ensure(programs: Path) -> Path:
    """The archive with both images, made if it is not in the cache."""
    if not BUSYBOX.exists():
        raise LabError(f"there is no {BUSYBOX}: install the package busybox-static")
    pause, busybox = (programs / "pause").read_bytes(), BUSYBOX.read_bytes()
    digest = hashlib.sha256(pause + busybox).hexdigest()[:12]
    archive = cache_folder() / f"images-{digest}.tar"
    if not archive.exists():
        listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
        write(render(pause, busybox, listed.stdout.split()), archive)
    return archive
