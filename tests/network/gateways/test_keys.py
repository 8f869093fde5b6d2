"""What of a user's Secret can be used as keys; that `wg` makes some is seen in tests/network/netns/test_keys."""

from __future__ import annotations

import base64
import os

import pytest

from isthmus.kube.builtin import Secret
from isthmus.kube.errors import KubeError
from isthmus.kube.objects import ObjectMeta
from isthmus.network.gateways.keys import (
    Keys,
    KeysError,
    forge_secret,
    generate_keys,
    read_keys,
)


async def test_without_wg_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(KubeError, match="wg genkey cannot be run"):
        await generate_keys()


def test_a_secret_keeps_the_raw_bytes() -> None:
    keys = Keys(os.urandom(32), os.urandom(32))
    manifest = forge_secret("gw-milan", "ns", "milan", {"uid": "u"}, keys)
    secret = Secret(metadata=ObjectMeta(name="gw-milan", namespace="ns"), data=manifest["data"])
    assert read_keys(secret) == keys


@pytest.mark.parametrize("size", [0, 31, 33, 44])
def test_keys_of_another_length_are_refused_without_showing_them(size: int) -> None:
    data = base64.b64encode(b"s" * size).decode()
    secret = Secret(
        metadata=ObjectMeta(name="mine", namespace="ns"), data={"privateKey": data, "publicKey": data}
    )
    with pytest.raises(KeysError, match=f"Secret ns/mine: privateKey has {size} bytes") as caught:
        read_keys(secret)
    assert "sss" not in str(caught.value)


def test_keys_are_never_shown() -> None:
    assert "7" not in repr(Keys(b"7" * 32, b"7" * 32))
