"""The programs of the lab, built from the published Go modules and cached for each version.

Owns the cache folder (`$XDG_CACHE_HOME/isthmus/lab`, outside any checkout). The name of a build has a digest of
its sources in it, and a build appears complete or not at all. Fails with `LabError` for a version that is not
served, and with the compiler's words when a build fails.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.lab import locks
from isthmus.lab.errors import LabError
from isthmus.lab.toolchain import find_go, parse_version

SOURCES = Path(__file__).parent
DEFAULT_KUBERNETES = "1.36"
PROGRAMS = (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
)  # fmt: skip
VERSION_PACKAGE = "k8s.io/component-base/version"
PROGRESS_SECONDS = 15.0
BUILDING = ".building-"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Build:
    """One program to build: its name, its version, its source files and what the linker is told.

    `replaced` has, by their path below `vendor`, files that stand in place of those of the modules it is made of.
    """

    name: str
    version: str
    files: tuple[Path, ...]
    linker: str = ""
    replaced: Path | None = None

    @property
    def key(self) -> str:
        """The name of the build in the cache."""
        digest = hashlib.sha256(self.linker.encode())
        for file in self.files:
            digest.update(file.name.encode() + file.read_bytes())
        if self.replaced:
            for file in sorted(self.replaced.rglob("*.go")):
                digest.update(bytes(file.relative_to(self.replaced)) + file.read_bytes())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"


def cache_folder() -> Path:
    """Where the lab keeps what takes long to make."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "isthmus" / "lab"


def served_versions() -> dict[str, str]:
    """The full version of Kubernetes for each minor version that can be asked for."""
    found = {}
    for file in sorted((SOURCES / "kubernetes").glob("*/go.mod")):
        required = re.search(r"k8s\.io/kubernetes v(\S+)", file.read_text())
        if required:
            found[file.parent.name] = required[1]
    return found


def resolve_version(asked: str) -> str:
    """The full version for what a user writes: 1.36, v1.36 or 1.36.3. Raises LabError for any other."""
    served = served_versions()
    asked = asked.removeprefix("v")
    if asked in served:
        return served[asked]
    if asked in served.values():
        return asked
    raise LabError(f"Kubernetes {asked} is not served: choose one of {', '.join(served)}")


def kubernetes_build(version: str) -> Build:
    """How Kubernetes of a full version is built. Without the linker's flags it calls itself v0.0.0."""
    major, minor, _ = version.split(".")
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    linker = " ".join(f"-X {VERSION_PACKAGE}.{key}={value}" for key, value in values.items())
    folder = SOURCES / "kubernetes"
    modules = folder / f"{major}.{minor}"
    return Build("kubernetes", version, (folder / "main.go", modules / "go.mod", modules / "go.sum"), linker)


def coredns_build() -> Build:
    """How CoreDNS is built."""
    folder = SOURCES / "coredns"
    required = re.search(r"coredns/coredns v(\S+)", (folder / "go.mod").read_text())
    version = required[1] if required else "unknown"
    return Build("coredns", version, (folder / "main.go", folder / "go.mod", folder / "go.sum"))


def pause_build() -> Build:
    """How the program of the pause container is built."""
    folder = SOURCES / "pause"
    return Build("pause", "1", (folder / "main.go", folder / "go.mod"))


def wireguard_build() -> Build:
    """How userspace WireGuard is built: this kernel may have none of its own."""
    folder = SOURCES / "wireguard"
    required = re.search(r"zx2c4\.com/wireguard v\S+-(\w+)", (folder / "go.mod").read_text())
    version = required[1] if required else "unknown"
    files = (folder / "main.go", folder / "go.mod", folder / "go.sum")
    return Build("wireguard-go", version, files, replaced=folder / "replaced")


def ensure_wireguard(report: Report) -> Path:
    """The program `wireguard-go`, built where it is not in the cache (seconds). Raises LabError."""
    cache = cache_folder()
    with locks.held(cache / "programs.lock", lambda: report("waiting for another build to end")):
        return _ensure_build(wireguard_build(), cache, report)


def ensure(version: str, report: Report) -> Path:
    """The folder with every program for a full version of Kubernetes, each under its own name.

    Builds what is not in the cache, which takes minutes for Kubernetes. Raises LabError.
    """
    cache = cache_folder()
    builds = (pause_build(), coredns_build(), kubernetes_build(version))
    with locks.held(cache / "programs.lock", lambda: report("waiting for another build to end")):
        _clear_cut_short(cache)
        files = [_ensure_build(build, cache, report) for build in builds]
    folder = cache / "programs" / files[-1].parent.name
    folder.mkdir(parents=True, exist_ok=True)
    links = {build.name: file for build, file in zip(builds, files, strict=True)}
    links |= dict.fromkeys(PROGRAMS, files[-1])
    for name, target in links.items():
        _link(folder / name, target)
    return folder


def _clear_cut_short(cache: Path) -> None:
    """Remove what builds that were killed left in the cache; the lock says that none is at work."""
    for leftover in cache.glob(f"{BUILDING}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    temporary = link.with_name(link.name + ".new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


def _ensure_build(build: Build, cache: Path, report: Report) -> Path:
    target = cache / build.key / build.name
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    go = find_go(_needed_go(build), cache)
    with tempfile.TemporaryDirectory(prefix=BUILDING, dir=cache) as temporary:
        folder = Path(temporary)
        for file in build.files:
            shutil.copy(file, folder / file.name)
        _compile(go, build, folder, report)
        (folder / "done").mkdir()
        (folder / build.name).rename(folder / "done" / build.name)
        (folder / "done").rename(target.parent)
    return target


def _needed_go(build: Build) -> tuple[int, ...]:
    modules = next(file for file in build.files if file.name == "go.mod")
    return parse_version(modules.read_text())


def _compile(go: Path, build: Build, folder: Path, report: Report) -> None:
    what = f"{build.name} {build.version}"
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",
    }
    report(f"{what}: getting the sources")
    listed = _run([str(go), "list", "-deps", "."], folder, environment, lambda _: None)
    total = len(listed)
    if build.replaced:
        _run([str(go), "mod", "vendor"], folder, environment, lambda _: None)
        shutil.copytree(build.replaced, folder / "vendor", dirs_exist_ok=True)
        environment["GOFLAGS"] = "-mod=vendor -buildvcs=false"
    report(f"{what}: building {total} packages, once")
    started = time.monotonic()
    progress = _Progress(
        lambda done: report(f"{what}: {done} of {total} packages, {time.monotonic() - started:.0f} s")
    )
    linker = f"-s -w {build.linker}".strip()
    command = [str(go), "build", "-v", "-trimpath", f"-ldflags={linker}", "-o", build.name, "."]
    _run(command, folder, environment, progress.line)
    report(f"{what}: built in {time.monotonic() - started:.0f} s")


class _Progress:
    """Counts the packages a build names and tells so every now and then."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._done = 0
        self._told = time.monotonic()

    def line(self, text: str) -> None:
        self._done += 1
        if time.monotonic() - self._told > PROGRESS_SECONDS:
            self._told = time.monotonic()
            self._tell(self._done)


def _run(
    command: Sequence[str], folder: Path, environment: dict[str, str], line: Callable[[str], None]
) -> list[str]:
    """Run Go, hand on each line of its progress, return the lines of its answer. Raises LabError."""
    errors: list[str] = []
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        stderr = child.stderr

        def follow() -> None:
            for text in stderr:
                errors.append(text)
                line(text)

        follower = threading.Thread(target=follow)
        follower.start()
        answer = child.stdout.read().splitlines()
        follower.join()
    if child.returncode:
        raise LabError(f"{' '.join(command[:2])} failed:\n{''.join(errors[-20:]).strip()}")
    return answer
