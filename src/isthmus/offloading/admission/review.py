"""AdmissionReview v1, as every handler here reads and answers it."""

from __future__ import annotations

from isthmus.kube.admission import (
    ALLOWED,
    NOTHING,
    AdmissionRequest,
    Handler,
    Operations,
    Review,
    UserInfo,
    Verdict,
    deny,
    encode_review,
    escape,
    set_label,
)

__all__ = [
    "ALLOWED",
    "NOTHING",
    "AdmissionRequest",
    "Handler",
    "Operations",
    "Review",
    "UserInfo",
    "Verdict",
    "deny",
    "encode_review",
    "escape",
    "set_label",
]
