"""Small Debian systems as archives, for images to lie on.

Owns the way they are made (mmdebstrap) and, in the cache, the one under the test images: what a test needs in a
pod, and neither package manager's lists nor documentation. Fails with `LabError` in mmdebstrap's words.
"""

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from isthmus.lab import commands, packages
from isthmus.lab.binaries import cache_folder

Report = Callable[[str], None]

SUITE = "bookworm"
# What the Debian project leaves out of its own slim images.
LEFT_OUT = tuple(
    f"/usr/share/{name}/*" for name in ("man", "doc", "locale", "info", "lintian", "linda", "groff")
)
# usr-is-merged instead of usrmerge, which would bring Perl along.
TOOLS = (
    "usr-is-merged", "bind9-dnsutils", "curl", "iproute2", "iputils-ping", "mount", "netcat-openbsd", "procps",
    "wget",
)  # fmt: skip
UNUSED = ("/usr/share/perl/*", "/usr/share/zoneinfo/*", "/usr/lib/*/gconv/*")
MERGED = "/usr/share/mmdebstrap/hooks/merged-usr"


def tools_key() -> str:
    """What tells one state of the test images' system from another."""
    return hashlib.sha256(repr((SUITE, TOOLS, LEFT_OUT, UNUSED)).encode()).hexdigest()[:12]


def ensure_tools(report: Report) -> Path:
    """The archive of the system with `TOOLS`, made if it is not in the cache (a minute). Raises LabError.

    /bin, /sbin and /lib are links into /usr there, as on every Debian.
    """
    archive = cache_folder() / f"debian-tools-{tools_key()}.tar"
    if not archive.exists():
        packages.ensure(packages.BOOTSTRAP, report)
        options = [f"--hook-dir={MERGED}", f"--include={','.join(TOOLS)}"]
        bootstrap("making a Debian for the test images", archive, "essential", report, options, UNUSED)
    return archive


def bootstrap(
    what: str,
    archive: Path,
    variant: str,
    report: Report,
    options: Sequence[str] = (),
    left_out: Sequence[str] = (),
) -> None:
    """Write a Debian system as an uncompressed tar, complete or not at all. Raises LabError."""
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in (*LEFT_OUT, *left_out)]
    report(f"{what}, once")
    with tempfile.TemporaryDirectory(prefix=".debian-", dir=archive.parent) as temporary:
        made = Path(temporary) / "root.tar"
        command = ["mmdebstrap", f"--variant={variant}", *excluded, *options, SUITE, str(made)]
        commands.run(what, command, report, describe=_stage)
        made.replace(archive)


def _stage(lines: Sequence[str]) -> str:
    stages = [line.removeprefix("I: ") for line in lines if line.startswith("I: ")]
    return commands.last_line(stages).rstrip(".")
