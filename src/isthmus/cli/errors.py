"""The one place where a failure becomes what a user reads: one line naming the fault and the mend.

Commands raise `CommandError` where they know what is wrong. Errors of the Kubernetes client that nobody
translated are described here as well as can be, so that no traceback ever reaches a user unasked.
"""

from __future__ import annotations

from isthmus.kube import errors as kube

FAILED = 1
MISUSED = 2
INTERRUPTED = 130


class CommandError(Exception):
    """What a user did or met that stops a command: `problem` names the flag, field or object and its value,
    `mend` says what to do about it. `code` is the exit code."""

    def __init__(self, problem: str, mend: str = "", *, code: int = FAILED) -> None:
        super().__init__(problem)
        self.problem = problem
        self.mend = mend
        self.code = code

    def __str__(self) -> str:
        return f"{self.problem}: {self.mend}" if self.mend else self.problem


def exit_code(error: Exception) -> int:
    """The exit code for an error that ended a command."""
    return error.code if isinstance(error, CommandError) else FAILED


def describe(error: BaseException) -> str:
    """An error as one line, the mend included where its kind alone tells one."""
    mend = _mend(error)
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{text}: {mend}" if mend else text


def _mend(error: BaseException) -> str:
    match error:
        case kube.CertificateError():
            return "check certificate-authority-data of the kubeconfig"
        case kube.TransportError():
            return "check that the API server runs and that the kubeconfig's server address can be reached"
        case kube.Unauthorized():
            return "the credentials of the kubeconfig are not accepted (expired?)"
        case kube.Forbidden():
            return "use a kubeconfig whose user may do this"
        case TimeoutError() if not str(error):
            return "it took too long; give more time with --timeout"
        case _:
            return ""
