"""How a reconciler of this module says no: a refusal that people are told about as an event."""

from __future__ import annotations


class RefusedError(Exception):
    """What an object asks for is refused.

    `reason` is the CamelCase reason of the event, the message a sentence for people that names the mend.
    `retry_after` is the seconds until another try; None where only a change of the object can help.
    """

    def __init__(self, reason: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after
