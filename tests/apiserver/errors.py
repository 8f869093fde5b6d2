"""What an API server refuses, as the Status it answers with; the sentences are Kubernetes' own."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class StatusError(Exception):
    """A refusal: HTTP code, reason and message of the Status; `retry_after` in seconds, None for none."""

    def __init__(self, code: int, reason: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    def body(self) -> Json:
        """The Status."""
        status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.retry_after is not None:
            status["details"] = {"retryAfterSeconds": self.retry_after}
        return status


def bad_request(message: str) -> StatusError:
    """400."""
    return StatusError(400, "BadRequest", message)


def forbidden(resource: str, name: str, why: str) -> StatusError:
    """403."""
    return StatusError(403, "Forbidden", f'{resource} "{name}" is forbidden: {why}')


def not_found(resource: str, name: str) -> StatusError:
    """404 for an object."""
    return StatusError(404, "NotFound", f'{resource} "{name}" not found')


def no_page() -> StatusError:
    """404 for a path of no API that is served."""
    return StatusError(404, "", "404 page not found")


def not_served() -> StatusError:
    """404 for a kind."""
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: str, name: str) -> StatusError:
    """409 for a creation."""
    return StatusError(409, "AlreadyExists", f'{resource} "{name}" already exists')


def conflict(resource: str, name: str, why: str) -> StatusError:
    """409 for a change."""
    return StatusError(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {why}')


def outdated(resource: str, name: str) -> StatusError:
    """409 for a resourceVersion that is not the object's."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def precondition(kind: str, name: str, field: str, asked: str, found: str, why: str) -> StatusError:
    """409 for a precondition of a deletion."""
    differ = f"the {field} in the precondition ({asked}) does not match the {field} in record ({found})"
    return conflict(kind, name, f"{differ}. The object might have been {why}")


def immutable(kind: str, name: str, field: str, asked: str) -> StatusError:
    """422 for a change of what cannot change."""
    return invalid(kind, name, f'{field}: Invalid value: "{asked}": field is immutable')


def expired(message: str = "too old resource version") -> StatusError:
    """410."""
    return StatusError(410, "Expired", message)


def not_allowed() -> StatusError:
    """405."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message)


def invalid(kind: str, name: str, why: str) -> StatusError:
    """422."""
    return StatusError(422, "Invalid", f'{kind} "{name}" is invalid: {why}')
