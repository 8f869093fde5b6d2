"""What installation needs of whoever shows its progress; `isthmus.cli.progress.Progress` is one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Step(Protocol):
    """A step under way."""

    title: str

    def update(self, detail: str) -> None:
        """Say what the step is waiting for."""


class Progress(Protocol):
    """The steps of one command."""

    def step(self, title: str, cluster: str = "") -> AbstractContextManager[Step]:
        """One step, shown as done when it ends and as failed when it raises."""

    def note(self, text: str, cluster: str = "") -> None:
        """Something worth knowing that is no step."""

    def warn(self, text: str, cluster: str = "") -> None:
        """Something that did not stop the command but should be looked at."""
