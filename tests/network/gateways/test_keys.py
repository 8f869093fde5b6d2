"""What of a user's Secret can be used as keys; that `wg` makes some is seen in tests/network/netns/test_keys."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from isthmus.kube.builtin import Secret
from isthmus.kube.errors import KubeError
from isthmus.kube.objects import ObjectMeta
from isthmus.network.gateways import keys as module
from isthmus.network.gateways.keys import (
    Keys,
    KeysError,
    belongs,
    forge_secret,
    generate_keys,
    read_keys,
)


async def test_without_wg_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(KubeError, match="wg genkey cannot be run"):
        await generate_keys()


def place_wg(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A program `wg` that does what `body` says."""
    (folder / "wg").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "wg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


async def test_wg_is_given_the_private_key_on_its_input_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = (base64.b64encode(letter * 32).decode() for letter in (b"s", b"p"))
    asked = f'echo "$@" >> {tmp_path}/asked; if [ $1 = genkey ]; then echo {private}; else'
    place_wg(tmp_path, monkeypatch, f"{asked} [ $(cat) = {private} ] && echo {public}; fi")
    made = await generate_keys()
    assert made == Keys(b"s" * 32, b"p" * 32)
    assert await belongs(made)
    assert not await belongs(Keys(b"s" * 32, b"q" * 32))
    assert (tmp_path / "asked").read_text().split() == ["genkey", *["pubkey"] * 3]


async def test_a_wg_that_fails_or_hangs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place_wg(tmp_path, monkeypatch, "exit 3")
    with pytest.raises(KubeError, match="wg genkey failed with exit code 3"):
        await generate_keys()
    monkeypatch.setattr(module, "TIME_LIMIT", 0.2)
    place_wg(tmp_path, monkeypatch, "exec sleep 100")
    with pytest.raises(KubeError, match="wg genkey took more than 0 s"):
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
