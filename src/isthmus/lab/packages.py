"""The Debian packages that the lab needs, installed when they are missing.

Owns the list. Asks dpkg first, so that a machine that has everything is not touched and needs no network.
Fails with `LabError` in apt's words.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable

from isthmus.lab import commands
from isthmus.lab.errors import LabError

RUN = (
    "containerd", "runc", "containernetworking-plugins", "nftables", "iproute2", "conntrack", "iptables",
    "procps", "util-linux", "mount",
)  # fmt: skip
BOOTSTRAP = ("mmdebstrap",)
BUILD = ("buildah", *BOOTSTRAP)
NETWORK = ("nftables", "iproute2", "wireguard-tools", "busybox-static", "procps")
"""What the tests of the data path need, without a lab."""

Report = Callable[[str], None]


def missing(wanted: Iterable[str], installed: str) -> list[str]:
    """The packages not installed, given dpkg's list of `package status`."""
    present = {line.split()[0] for line in installed.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in present]


def ensure(wanted: Iterable[str], report: Report) -> None:
    """Install what is missing. Raises LabError where there is no apt or it fails."""
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        raise LabError("the lab needs a Debian machine: there is no apt-get here")
    query = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n"]
    listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    if not (absent := missing(wanted, listed)):
        return
    what = f"installing {', '.join(absent)}"
    report(what)
    # A machine that has just started may be installing its upgrades.
    patience = "--option=DPkg::Lock::Timeout=300"
    install = ["apt-get", "install", patience, "--yes", "--no-install-recommends", *absent]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        commands.run(what, install, report, environment=environment)
    except LabError:
        # Most likely the lists are old or were never fetched.
        with contextlib.suppress(LabError):
            commands.run("fetching the package lists", ["apt-get", "update"], report)
        commands.run(what, install, report, environment=environment)
