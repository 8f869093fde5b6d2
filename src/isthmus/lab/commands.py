"""Running the programs that take long, so that nobody has to wonder whether they still run.

Owns nothing. While a program prints nothing that is shown, what it is at is told every ten seconds. Fails with
`LabError` in the program's words.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from isthmus.lab.errors import LabError

QUIET_SECONDS = 10.0
SHOWN = 90
KEPT = 3000

Report = Callable[[str], None]
Describe = Callable[[Sequence[str]], str]


def last_line(lines: Sequence[str]) -> str:
    """What a program printed last, shortened."""
    return lines[-1].strip()[:SHOWN] if lines else ""


def run(
    what: str,
    command: Sequence[str],
    report: Report,
    *,
    describe: Describe = last_line,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return its standard output. Raises LabError when it fails.

    `what` is how progress and failure call it; `describe` makes, of the lines that it has printed so far on both
    its outputs, the few words that say how far it is.
    """
    lines: list[str] = []
    answer: list[str] = []
    started = time.monotonic()
    with subprocess.Popen(
        command, cwd=folder, env=environment, text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        followers = [
            threading.Thread(target=_follow, args=(child.stdout, lines, answer)),
            threading.Thread(target=_follow, args=(child.stderr, lines)),
        ]
        for follower in followers:
            follower.start()
        for follower in followers:
            while follower.is_alive():
                follower.join(QUIET_SECONDS)
                if follower.is_alive():
                    report(progress(what, describe(lines), time.monotonic() - started))
    if child.returncode:
        raise LabError(f"{what} failed:\n{''.join(lines)[-KEPT:].strip()}")
    return "".join(answer)


def progress(what: str, at: str, seconds: float) -> str:
    """One line of progress."""
    return f"{what}: {at} ({seconds:.0f} s)" if at else f"{what} ({seconds:.0f} s)"


def _follow(stream: IO[str], *lists: list[str]) -> None:
    for line in stream:
        for one in lists:
            one.append(line)
