"""Waiting for a cluster: it ends as soon as it can, outlives an API server, and never goes on without bound."""

from __future__ import annotations

from isthmus.install.progress import Step
from isthmus.install.waiting import Deadline, wait_until
from isthmus.kube.errors import TransportError


class Seen(Step):
    """Remembers what a step waited for."""

    def __init__(self) -> None:
        self.title = ""
        self.details: list[str] = []

    def update(self, detail: str) -> None:
        self.details.append(detail)


async def test_waiting_ends_when_nothing_is_missing_and_outlives_an_api_server() -> None:
    answers: list[str | Exception] = [TransportError("refused"), "a pod", ""]

    async def missing() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    step = Seen()
    assert await wait_until(missing, Deadline(30), step)
    assert step.details == ["refused", "a pod"]


async def test_waiting_is_bounded() -> None:
    async def missing() -> str:
        return "a pod"

    assert not await wait_until(missing, Deadline(0.05), Seen())
