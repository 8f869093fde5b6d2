"""What a user watches while a command works: one line a finished step, on stderr.

On a terminal the step under way has a spinner (rich, imported only then); elsewhere there are plain lines, so that
logs stay readable, one more for every ten seconds that a step takes. Results of commands go to stdout and never
through here. A step that fails is marked and its error goes on: it is told once, by whoever ends the command.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import IO, Any

QUIET_SECONDS = 10.0
MARKS = {
    "done": ("✓", 32),
    "failed": ("✗", 31),
    "note": ("·", 36),
    "warning": ("!", 33),
    "waiting": ("…", 36),
}


class Step:
    """A step under way. Setting `title` changes what its line says; `detail` adds to it in brackets."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.detail = ""
        self._status: Any = None
        self._tag = ""

    @property
    def text(self) -> str:
        """What the step does, and what it waits for."""
        return f"{self.title} [{self.detail}]" if self.detail else self.title

    def watch(self, status: Any, tag: str) -> None:
        """Show changes of the text on a live spinner."""
        self._status, self._tag = status, tag

    def update(self, detail: str) -> None:
        """Say what the step is waiting for; kept in the finished line only where it fails."""
        self.detail = detail
        if self._status is not None:
            self._status.update(_escape(f"{self._tag}{self.text}"))


class Progress:
    """The steps of one command. `live` is found out from the stream unless it is given."""

    def __init__(self, stream: IO[str] | None = None, *, live: bool | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._live = _is_terminal(self._stream) if live is None else live
        self._unicode = (getattr(self._stream, "encoding", None) or "").lower().replace("-", "") == "utf8"

    @contextmanager
    def step(self, title: str, cluster: str = "") -> Iterator[Step]:
        """One step: a line with the time it took when it is done, marked where it failed."""
        started = time.monotonic()
        step = Step(title)
        tag = f"({cluster}) " if cluster else ""
        try:
            with self._spinner(f"{tag}{title}") as status, self._reminder(step, tag, started):
                step.watch(status, tag)
                yield step
        except BaseException:
            self._line("failed", f"{tag}{step.text}", time.monotonic() - started)
            raise
        self._line("done", f"{tag}{step.title}", time.monotonic() - started)

    def note(self, text: str, cluster: str = "") -> None:
        """Something worth knowing that is no step."""
        self._line("note", f"({cluster}) {text}" if cluster else text)

    def warn(self, text: str, cluster: str = "") -> None:
        """Something that did not stop the command but should be looked at."""
        self._line("warning", f"({cluster}) {text}" if cluster else text)

    def _spinner(self, text: str) -> AbstractContextManager[Any]:
        if not self._live:
            return nullcontext()
        from rich.console import Console

        return Console(file=self._stream, highlight=False).status(_escape(text), spinner="dots")

    @contextmanager
    def _reminder(self, step: Step, tag: str, started: float) -> Iterator[None]:
        """Where there is no spinner, say now and then that the step goes on."""
        over = threading.Event()

        def remind() -> None:
            while not over.wait(QUIET_SECONDS):
                self._line("waiting", f"{tag}{step.text}", time.monotonic() - started)

        thread = threading.Thread(target=remind, daemon=True)
        if not self._live:
            thread.start()
        try:
            yield
        finally:
            over.set()
            if not self._live:
                thread.join()

    def _line(self, kind: str, text: str, seconds: float | None = None) -> None:
        elapsed = "" if seconds is None else f"  {format_seconds(seconds)}"
        print(f"{self._mark(kind)} {text}{self._dim(elapsed)}", file=self._stream, flush=True)

    def _mark(self, kind: str) -> str:
        plain = {"done": "ok  ", "failed": "FAIL", "note": "note", "warning": "WARN", "waiting": "..  "}[kind]
        if not self._unicode:
            return plain
        mark, colour = MARKS[kind]
        return f"\x1b[{colour}m{mark}\x1b[0m" if self._coloured() else mark

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if text and self._coloured() else text

    def _coloured(self) -> bool:
        return self._live and "NO_COLOR" not in os.environ


def format_seconds(seconds: float) -> str:
    """A duration as people read it: `0.3 s`, `12 s`, `2 min 5 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def _is_terminal(stream: IO[str]) -> bool:
    return stream.isatty() and os.environ.get("TERM", "") != "dumb"


def _escape(text: str) -> str:
    # rich reads square brackets as markup.
    return text.replace("[", "\\[")
