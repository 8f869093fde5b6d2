"""What the tests of gateways share."""

from __future__ import annotations

import os

import pytest

from isthmus.network.gateways import keystore
from isthmus.network.gateways.keys import Keys
from tests.network.gateways.api import api as api


@pytest.fixture(autouse=True)
def keys_without_wg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs that belong together where their first bytes are alike; the real ones are tested in test_keys.py."""

    async def generate() -> Keys:
        private = os.urandom(32)
        return Keys(private, private[:1] + os.urandom(31))

    async def belongs(keys: Keys) -> bool:
        return keys.private[0] == keys.public[0]

    monkeypatch.setattr(keystore, "generate_keys", generate)
    monkeypatch.setattr(keystore, "belongs", belongs)
