"""Answers that nobody should have given."""

from __future__ import annotations

import pytest

from isthmus.kube.builtin import Pod
from isthmus.kube.decoding import Codec
from isthmus.kube.errors import TransportError


def test_what_is_nested_too_deeply_is_an_error_that_is_handled() -> None:
    codec = Codec(Pod)
    deep = b"[" * 5000 + b"]" * 5000
    bodies = (
        b'{"unknown":' + deep + b"}",
        b'{"spec":' + deep + b"}",
        b'{"metadata":null,"spec":' + deep + b"}",
    )
    for body in bodies:
        with pytest.raises(TransportError):
            codec.object(body)
        with pytest.raises(TransportError):
            codec.list(b'{"items":[' + body + b"]}")
        with pytest.raises(TransportError):
            codec.event(b'{"type":"ADDED","object":' + body + b"}")
