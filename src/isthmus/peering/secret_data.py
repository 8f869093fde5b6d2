"""Reading and writing the values of a Secret, which travel as base64 text. Pure; fails with ValueError."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping

from isthmus.kube.builtin import Secret


def decode(text: str) -> bytes:
    """The bytes of a base64 value (of a Secret, or of a byte field of a liqo.io kind). Raises ValueError."""
    try:
        return b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def encode(data: bytes | str) -> str:
    """Bytes, or text as UTF-8, as a base64 value."""
    return b64encode(data.encode() if isinstance(data, str) else data).decode()


def read(secret: Secret, key: str) -> bytes:
    """The value of a key, b"" where it is missing or unusable."""
    try:
        return decode(secret.data.get(key, ""))
    except ValueError:
        return b""


def encode_all(values: Mapping[str, bytes | str]) -> dict[str, str]:
    """The `data` of a Secret holding the values."""
    return {key: encode(value) for key, value in values.items()}
