"""The images every node has from the start: the pause container's and one for test workloads.

Owns their names, what is in them and the archive in the cache. The workloads' has Kubernetes' own `agnhost` on a
small Debian; `on_debian` makes others of the kind. Fails with `LabError` where a part of them cannot be made.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from isthmus.lab import binaries, debian
from isthmus.lab.archive import Image, write
from isthmus.lab.configuration import PAUSE_IMAGE
from isthmus.lab.errors import LabError

TEST_IMAGE = "localhost/isthmus-test:latest"
LINKS = ("bin", "sbin", "lib", "lib64")
"""What is a link into /usr in a Debian system."""

Report = Callable[[str], None]


def on_debian(
    name: str,
    system: Path,
    *,
    files: Mapping[str, bytes] | None = None,
    links: Mapping[str, str] | None = None,
    entrypoint: Sequence[str] = (),
    command: Sequence[str] = (),
) -> Image:
    """An image by any name with files of one's own, all executable, on the system that `debian.ensure_tools` makes.

    Images made of one system share its layer, in an archive and on the nodes. Raises LabError for a file whose
    folder would hide one of the system's links, `bin/x` for instance: write `usr/bin/x`.
    """
    for path in (*(files or {}), *(links or {})):
        if path.partition("/")[0] in LINKS:
            raise LabError(f"{name}: {path} would hide a link of Debian's: put it into usr/{path}")
    return Image(
        name, files=files or {}, links=links or {}, entrypoint=entrypoint, command=command, base=system
    )


def render(pause: bytes, agnhost: bytes, system: Path) -> list[Image]:
    """The images every node has."""
    test = on_debian(TEST_IMAGE, system, files={"usr/bin/agnhost": agnhost}, command=["sleep", "2147483647"])
    return [Image(PAUSE_IMAGE, files={"pause": pause}, entrypoint=["/pause"]), test]


def ensure(report: Report) -> Path:
    """The archive with these images, made if it is not in the cache (two minutes). Raises LabError."""
    builds = (binaries.pause_build(), binaries.agnhost_build())
    parts = " ".join([*(build.key for build in builds), debian.tools_key()])
    archive = binaries.cache_folder() / f"images-{hashlib.sha256(parts.encode()).hexdigest()[:12]}.tar"
    if not archive.exists():
        pause, agnhost = binaries.ensure_programs(builds, report)
        system = debian.ensure_tools(report)
        write(render(pause.read_bytes(), agnhost.read_bytes(), system), archive)
    return archive
