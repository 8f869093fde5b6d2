"""Answers that nobody should have given."""

from __future__ import annotations

import sys

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


def test_a_list_can_be_read_but_for_what_cannot(caplog: pytest.LogCaptureFixture) -> None:
    codec = Codec(Pod)
    for depth in (1500, 9990):
        deep = b"[" * depth + b"]" * depth
        bad = (
            b'{"metadata":{"name":"deep"},"unknown":' + deep + b"}",
            b'{"metadata":{"name":"deep"},"spec":' + deep + b"}",
            b'{"metadata":{"name":"odd","finalizers":"text"}}',
        )
        good = b'{"metadata":{"name":"good","labels":null}}'
        for body in bad:
            caplog.clear()
            listed = codec.readable(
                b'{"metadata":{"resourceVersion":"7","continue":"t"},"items":[%b,%b]}' % (body, good)
            )
            assert [pod.metadata.name for pod in listed.items or ()] == ["good"]
            assert (listed.metadata.resource_version, listed.metadata.continue_) == ("7", "t")
            assert caplog.text.count("left out") == 1


def test_taking_a_list_apart_leaves_the_interpreter_as_it_was() -> None:
    limit = sys.getrecursionlimit()
    codec = Codec(Pod)
    endless = b'{"items":[{"spec":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}"
    for body in (endless, b"no JSON", b'{"items":1}'):
        with pytest.raises(TransportError):
            codec.readable(body)
    assert sys.getrecursionlimit() == limit
