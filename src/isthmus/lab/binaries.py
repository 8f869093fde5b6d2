"""The programs of the lab, built from the published Go modules and cached for each version.

Owns the cache folder (`$XDG_CACHE_HOME/isthmus/lab`, outside any checkout). The name of a build has a digest of
its sources in it, and a build appears complete or not at all. Fails with `LabError` for a version that is not
served, and with the compiler's words when a build fails.
"""

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.lab import commands, locks
from isthmus.lab.errors import LabError
from isthmus.lab.toolchain import find_go, parse_version

SOURCES = Path(__file__).parent
DEFAULT_KUBERNETES = "1.36"
PROGRAMS = (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
)  # fmt: skip
VERSION_PACKAGE = "k8s.io/component-base/version"
AGNHOST_PACKAGE = "k8s.io/kubernetes/test/images/agnhost"
BUILDING = ".building-"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Build:
    """One program to build: its name, its version, its source files and what the linker is told.

    `package` is what is built of the module. `replaced` has, by their path below `vendor`, files that stand in place
    of those of the modules it is made of. With `tests` it is the package's tests that are built.
    """

    name: str
    version: str
    files: tuple[Path, ...]
    linker: str = ""
    replaced: Path | None = None
    package: str = "."
    tests: bool = False

    @property
    def key(self) -> str:
        """The name of the build in the cache."""
        digest = hashlib.sha256(self.linker.encode())
        digest.update(self.package.removeprefix(".").encode())
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


def resolve_versions(asked: str, clusters: int) -> list[str]:
    """The full version for each cluster: one for all, or one for each, separated by commas. Raises LabError."""
    words = asked.split(",")
    if len(words) not in (1, clusters):
        raise LabError(
            f"--kubernetes {asked} names {len(words)} versions for {clusters} clusters: name one for all,"
            " or one for each"
        )
    return [resolve_version(word) for word in (words * clusters if len(words) == 1 else words)]


def kubernetes_build(version: str) -> Build:
    """How Kubernetes of a full version is built."""
    folder = SOURCES / "kubernetes"
    modules = folder / version.rpartition(".")[0]
    files = (folder / "main.go", modules / "go.mod", modules / "go.sum")
    return Build("kubernetes", version, files, _version_flags(version))


def _version_flags(version: str) -> str:
    """What the linker is told of a version of Kubernetes, which calls itself v0.0.0 otherwise."""
    major, minor, _ = version.split(".")
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(f"-X {VERSION_PACKAGE}.{key}={value}" for key, value in values.items())


def conformance_builds() -> tuple[Build, Build, Build]:
    """How Kubernetes' conformance suite is built, its runner, and the program `nnp` of one of its images."""
    folder = SOURCES / "conformance"
    files = (folder / "programs.go", folder / "go.mod", folder / "go.sum")
    version = resolve_version(DEFAULT_KUBERNETES)
    runner = re.search(r"ginkgo/v2 v(\S+)", (folder / "go.mod").read_text())
    package = "k8s.io/kubernetes/test"
    return (
        Build("e2e.test", version, files, _version_flags(version), package=f"{package}/e2e", tests=True),
        Build(
            "ginkgo", runner[1] if runner else "unknown", files, package="github.com/onsi/ginkgo/v2/ginkgo"
        ),
        Build("nnp", version, files, package=f"{package}/images/nonewprivs"),
    )


def agnhost_build() -> Build:
    """How `agnhost`, Kubernetes' own program for tests in pods, is built: always of the default version."""
    version = resolve_version(DEFAULT_KUBERNETES)
    modules = SOURCES / "kubernetes" / DEFAULT_KUBERNETES
    return Build("agnhost", version, (modules / "go.mod", modules / "go.sum"), package=AGNHOST_PACKAGE)


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
    (program,) = ensure_programs([wireguard_build()], report)
    return program


def ensure(version: str, report: Report) -> Path:
    """The folder with every program for a full version of Kubernetes, each under its own name.

    Builds what is not in the cache, which takes minutes for Kubernetes. Raises LabError.
    """
    builds = (pause_build(), coredns_build(), kubernetes_build(version))
    files = ensure_programs(builds, report)
    folder = cache_folder() / "programs" / files[-1].parent.name
    folder.mkdir(parents=True, exist_ok=True)
    links = {build.name: file for build, file in zip(builds, files, strict=True)}
    links |= dict.fromkeys(PROGRAMS, files[-1])
    for name, target in links.items():
        _link(folder / name, target)
    return folder


def ensure_programs(builds: Sequence[Build], report: Report) -> list[Path]:
    """The file of each program, built where it is not in the cache. Raises LabError."""
    cache = cache_folder()
    with locks.held(cache / "programs.lock", lambda: report("waiting for another build to end")):
        _clear_cut_short(cache)
        return [_ensure_build(build, cache, report) for build in builds]


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
    go = find_go(_needed_go(build), cache, report)
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
    started = time.monotonic()
    report(f"{what}: getting the sources")

    def run(at: str, describe: commands.Describe, *words: str) -> str:
        command = [str(go), *words]
        return commands.run(
            f"{what}: {at}", command, report, describe=describe, folder=folder, environment=environment
        )

    tests = ["-test"] if build.tests else []
    packages = run("getting the sources", count_modules, "list", "-deps", *tests, build.package).splitlines()
    if build.replaced:
        run("laying out the sources", count_modules, "mod", "vendor")
        shutil.copytree(build.replaced, folder / "vendor", dirs_exist_ok=True)
        environment["GOFLAGS"] = "-mod=vendor -buildvcs=false"
    report(f"{what}: building {len(packages)} packages, once")
    linker = f"-s -w {build.linker}".strip()
    result = (f"-ldflags={linker}", "-o", build.name, build.package)
    compiling = ("build", "-v", "-trimpath")

    def progress(lines: Sequence[str]) -> str:
        return f"{len(lines)} of {len(packages)} packages"

    if build.tests:
        # What they import is built first: the builder of tests does not tell how far it is.
        imports = run("building", progress, "list", "-f", '{{join .TestImports "\\n"}}', build.package)
        run("building", progress, *compiling, *imports.split())
        run("linking", commands.last_line, "test", "-c", "-vet=off", "-trimpath", *result)
    else:
        run("building", progress, *compiling, *result)
    report(f"{what}: built in {time.monotonic() - started:.0f} s")


def count_modules(lines: Sequence[str]) -> str:
    """How far Go is with fetching sources, by what it has printed."""
    return f"{sum(line.startswith('go: downloading') for line in lines)} modules fetched"
