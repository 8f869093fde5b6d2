"""Everything that can go wrong when talking to Kubernetes, in one tree.

    KubeError
    +-- ConfigurationError      a kubeconfig, token or certificate that cannot be used
    +-- TransportError          no complete answer: refused, reset, timed out, TLS failed, malformed
    |   +-- CertificateError    the server's certificate could not be verified
    +-- ApiError                the API server answered with a Status of failure
        +-- BadRequest          400
        +-- Unauthorized        401
        +-- Forbidden           403
        +-- NotFound            404
        +-- Conflict            409, an outdated resourceVersion or a failed precondition
        +-- AlreadyExists       409, reason AlreadyExists
        +-- Expired             410, a resourceVersion or continue token that is gone
        +-- Invalid             422
        +-- TooManyRequests     429
        +-- ServerError         5xx

A message names what was asked for (verb, resource, name) and what was answered, and never holds a
credential.
"""

# ruff: noqa: N818  (the names are the reasons Kubernetes itself gives)

from __future__ import annotations


class KubeError(Exception):
    """The root of every error this package raises on purpose."""


class ConfigurationError(KubeError):
    """Credentials or addresses that cannot be used; says which file and field, and the mend."""


class NoKubeconfig(ConfigurationError):
    """No kubeconfig was asked for, and there is none where one is looked for."""


class TransportError(KubeError):
    """The request got no complete answer; whether the server acted on it is not known.

    `sent` is False where the request surely did not reach the server (no connection was made).
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class CertificateError(TransportError):
    """The server's certificate is not signed by the expected authority or is for another name."""


class ApiError(KubeError):
    """The API server refused the request.

    `code` is the HTTP status, `reason` the machine-readable reason of the Status, `retry_after` the
    seconds the server asked to wait, None where it asked for nothing, `detail` the server's own sentence.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int = 0,
        reason: str = "",
        retry_after: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.detail = detail or message
        self.code = code
        self.reason = reason
        self.retry_after = retry_after


class BadRequest(ApiError):
    """400: the request could not be understood, or an admission webhook denied it so."""


class Unauthorized(ApiError):
    """401: the credentials are missing, expired or unknown to the server."""


class Forbidden(ApiError):
    """403: the identity may not do this, or an admission webhook denied it."""


class NotFound(ApiError):
    """404: the object, its namespace or the whole kind is not there."""


class Conflict(ApiError):
    """409: the object changed meanwhile, or a precondition on uid or resourceVersion failed."""


class AlreadyExists(ApiError):
    """409: an object of that name is there already."""


class Expired(ApiError):
    """410: the resourceVersion or continue token is too old; list anew."""


class Invalid(ApiError):
    """422: the object breaks its schema or an immutability rule."""


class TooManyRequests(ApiError):
    """429: the server or an eviction budget asks to come back later."""


class ServerError(ApiError):
    """5xx: the server, or something behind it such as a webhook, failed."""


class WebhookUnavailable(ServerError):
    """500: an admission webhook gave no answer, so that the request was not acted on."""
