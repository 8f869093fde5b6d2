"""What is cached of ConfigMaps and Secrets: enough to compare, never more than is worth its memory."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from isthmus.reflection.content import HELD, LAST_APPLIED, Content, RemoteContent, WholeContent, digest

MAPS = st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=4)


def read(type_: type[Content], **fields: Any) -> Content:
    return msgspec.json.decode(
        msgspec.json.encode({"metadata": {"name": "c", "namespace": "n"}, **fields}), type=type_
    )


@given(MAPS, MAPS, MAPS, MAPS)
def test_digests_are_equal_exactly_where_contents_are(
    data: dict[str, str], binary: dict[str, str], other: dict[str, str], other_binary: dict[str, str]
) -> None:
    same = data == other and binary == other_binary
    assert (digest(data, binary) == digest(other, other_binary)) == same
    assert digest(dict(reversed(data.items())), binary) == digest(data, binary)


@given(MAPS, MAPS)
def test_both_sides_see_the_same_digest(data: dict[str, str], binary: dict[str, str]) -> None:
    types = (Content, RemoteContent, WholeContent)
    seen = {read(type_, data=data, binaryData=binary).digest for type_ in types}
    assert seen == {digest(data, binary)}


def test_only_small_local_contents_are_kept() -> None:
    small, large = {"k": "v"}, {"k": "v" * (HELD + 1)}
    assert (read(Content, data=small).data, read(Content, data=small).held) == (small, True)
    assert (read(Content, data=large).data, read(Content, data=large).held) == ({}, False)
    assert read(Content, data=large).keys == {"k"}
    assert (read(RemoteContent, data=small).data, read(RemoteContent, data=small).held) == ({}, False)
    assert read(WholeContent, data=large).data == large


def test_what_a_server_calls_a_digest_is_not_believed() -> None:
    claimed = read(Content, data={"a": "b"}, digest="AAAA", held=False, keys=["x"])
    assert claimed == read(Content, data={"a": "b"})


def test_kubectls_memory_is_not_kept() -> None:
    metadata = {"name": "c", "annotations": {LAST_APPLIED: "{}", "mine": "x"}}
    assert read(Content, metadata=metadata).metadata.annotations == {"mine": "x"}


def test_no_content_is_ever_shown() -> None:
    secret = read(WholeContent, data={"password": "aHVudGVyMg=="})
    assert "aHVudGVyMg" not in repr(secret)
    assert "aHVudGVyMg" not in f"{[secret]}"
