"""The suite's images by their own names, made here: `agnhost` is itself, the others are Debian with what they need.

The suite says which versions it uses. What is not made here is used by no spec of ours, or only to be refused.
"""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from isthmus import lab
from isthmus.lab import binaries, debian, packages
from isthmus.lab.archive import Image, write
from isthmus.lab.testimages import on_debian
from tests.conformance.certificates import self_signed

REGISTRY = "registry.k8s.io"
TESTS = f"{REGISTRY}/e2e-test-images"
FOREVER = ["sleep", "2147483647"]
BUSYBOX = {"usr/bin/sh": "busybox", "usr/bin/sysctl": "busybox"}
"""Its shell's words are what specs look for, and Debian's sysctl is elsewhere."""
SHELL = {"usr/bin/sh": "bash"}
"""For scripts that are written for busybox' shell, which has more than Debian's: $RANDOM, for one."""
SERVE = ["/agnhost", "test-webserver"]
USER = "user-defined-in-image:x:1000:1000::/:/bin/sh\n"
GROUPS = "user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n"
"""Whom the real agnhost knows, and specs ask it for."""

Report = Callable[[str], None]


def load(suite: Path, cluster: str, report: Report) -> None:
    """Have the suite's images on every node of a cluster. Raises LabError."""
    archive = ensure(listed(suite), report)
    report(f"loading the suite's images into {cluster}")
    lab.load_image(str(archive), cluster)


def listed(suite: Path) -> list[str]:
    """The names of the images that the suite may use."""
    done = subprocess.run([suite, "--list-images"], capture_output=True, text=True, check=True)
    return sorted(done.stdout.split())


def ensure(names: list[str], report: Report) -> Path:
    """The archive with those of the images that are made here, in the cache. Raises LabError."""
    builds = {
        build.name: build
        for build in (binaries.agnhost_build(), binaries.pause_build(), binaries.conformance_builds()[2])
    }
    parts = [
        *names,
        *(build.key for build in builds.values()),
        debian.tools_key(),
        Path(__file__).read_text(),
    ]
    digest = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]
    archive = binaries.cache_folder() / f"conformance-{digest}.tar"
    if not archive.exists():
        files = binaries.ensure_programs(list(builds.values()), report)
        programs = {name: file.read_bytes() for name, file in zip(builds, files, strict=True)}
        packages.ensure(["busybox-static"], report)
        programs["busybox"] = Path("/bin/busybox").read_bytes()
        write(render(names, programs, debian.ensure_tools(report)), archive)
    return archive


def render(names: list[str], programs: Mapping[str, bytes], system: Path) -> list[Image]:
    """The images of those names, as far as they are made here."""
    kinds = forms(programs, system)
    named = ((name, name.rpartition(":")[0]) for name in names)
    return [replace(kinds[kind], name=name) for name, kind in named if kind in kinds]


def forms(programs: Mapping[str, bytes], system: Path) -> dict[str, Image]:
    """What is in the images of a repository, by the repository's name."""
    agnhost = {"agnhost": programs["agnhost"]}
    image = partial(on_debian, "", system)
    full = image(
        files={**agnhost, **accounts(system), **self_signed("localhost")},
        links={**SHELL, "agnhost-2": "agnhost"},
        entrypoint=["/agnhost"],
        command=["pause"],
    )
    nnp = image(files={"usr/bin/nnp": programs["nnp"]}, command=["nnp"])
    tests = {
        "agnhost": replace(full, folders=["uploads"]),
        "busybox": image(files={"usr/bin/busybox": programs["busybox"]}, links=BUSYBOX, command=["sh"]),
        "nginx": image(files={**agnhost, "index.html": b"Welcome to nginx!\n"}, entrypoint=SERVE),
        "nautilus": image(files={**agnhost, **picture("nautilus")}, entrypoint=SERVE),
        "kitten": image(files={**agnhost, **picture("kitten")}, entrypoint=SERVE),
        "glibc-dns-testing": image(command=FOREVER),
        "nonroot": replace(image(command=FOREVER), user="1234"),
        "nonewprivs": replace(nnp, modes={"usr/bin/nnp": 0o6755}),
    }
    pause = Image("", files={"pause": programs["pause"]}, entrypoint=["/pause"])
    return {**{f"{TESTS}/{kind}": one for kind, one in tests.items()}, f"{REGISTRY}/pause": pause}


def picture(name: str) -> dict[str, bytes]:
    """What a web server of the suite says it shows."""
    return {"data.json": f'{{"image": "{name}.jpg"}}\n'.encode()}


def accounts(system: Path) -> dict[str, bytes]:
    """The files of users and groups of a Debian, with those that specs ask agnhost for."""
    with tarfile.open(system) as tar:
        passwd, group = (_read(tar, f"./etc/{name}") for name in ("passwd", "group"))
    return {"etc/passwd": passwd + USER.encode(), "etc/group": group + GROUPS.encode()}


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None
    return file.read()
