"""How long an X.509 certificate is valid, read from its DER without a library, and when to renew it.

Every reconcile of every peering asks for it, also right after a restart: a child process with `cryptography` for
each would cost 0.1 s of CPU a peer. Only the two dates are read, of certificates that signers of a cluster made;
what decides about trust goes through `isthmus.kube.certificates`. Pure; fails with ValueError.
"""

from __future__ import annotations

import calendar
import time
from base64 import b64decode
from typing import NamedTuple

SEQUENCE, VERSION, UTC_TIME, GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
RENEWAL_SHARE = 2 / 3
"""The share of a certificate's life after which it is renewed (behaviour 3.8)."""
MINIMUM_DELAY = 5.0

_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


class Validity(NamedTuple):
    """The life of a certificate, in seconds since the epoch."""

    not_before: float
    not_after: float

    def since(self, moment: float) -> Validity:
        """The life counted from when it was signed: signers date certificates back, Kubernetes' by five minutes,
        and of one that lives minutes two thirds would be over when it is issued."""
        return Validity(max(self.not_before, min(moment, self.not_after)), self.not_after)

    @property
    def renewal(self) -> float:
        """When two thirds of its life are over."""
        return self.not_before + (self.not_after - self.not_before) * RENEWAL_SHARE


def read_validity(pem: str) -> Validity:
    """The life of the first certificate of a PEM text. Raises ValueError where there is none."""
    _, begin, rest = pem.partition(_BEGIN)
    body, end, _ = rest.partition(_END)
    if not begin or not end:
        raise ValueError("no PEM block CERTIFICATE")
    return _read_der(b64decode("".join(body.split()), validate=True))


def renewal_delay(validity: Validity, now: float) -> float:
    """Seconds until a certificate is to be renewed, never so few that asking again would be a busy loop."""
    return max(validity.renewal - now, MINIMUM_DELAY)


def _read_der(data: bytes) -> Validity:
    try:
        certificate = _expect(data, 0, SEQUENCE)
        position, _ = _expect(data, certificate[0], SEQUENCE)  # tbsCertificate
        tag, _, end = _element(data, position)
        if tag == VERSION:
            position = end
        for _ in range(3):  # serialNumber, signature, issuer
            position = _element(data, position)[2]
        position, _ = _expect(data, position, SEQUENCE)  # validity
        tag, start, end = _element(data, position)
        not_before = _time(tag, data[start:end])
        tag, start, end = _element(data, end)
        return Validity(not_before, _time(tag, data[start:end]))
    except IndexError as error:
        raise ValueError("the certificate is cut short") from error


def _expect(data: bytes, position: int, wanted: int) -> tuple[int, int]:
    tag, start, end = _element(data, position)
    if tag != wanted:
        raise ValueError(f"not a certificate: found tag {tag:#x} for {wanted:#x}")
    return start, end


def _element(data: bytes, position: int) -> tuple[int, int, int]:
    """The tag of the element at a position, where its content starts and where it ends."""
    tag, length = data[position], data[position + 1]
    start = position + 2
    if length & 0x80:
        size = length & 0x7F
        if not 0 < size <= 4:
            raise ValueError("not a certificate: a length out of bounds")
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > len(data):
        raise ValueError("the certificate is cut short")
    return tag, start, start + length


def _time(tag: int, content: bytes) -> float:
    text = content.decode("ascii")
    if tag == UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text  # RFC 5280 4.1.2.5.1
    elif tag != GENERALIZED_TIME:
        raise ValueError(f"not a certificate: tag {tag:#x} for a date")
    return float(calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ")))
