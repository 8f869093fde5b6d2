"""Keys made by the real `wg`, which is installed here where it is missing: nothing does that before unit tests."""

from __future__ import annotations

import pytest

from isthmus.network.gateways.keys import Keys, belongs, generate_keys


@pytest.mark.usefixtures("wireguard")
async def test_new_keys_belong_together_and_others_do_not() -> None:
    one, two = await generate_keys(), await generate_keys()
    assert len(one.private) == len(one.public) == 32
    assert one.private != two.private
    assert await belongs(one)
    assert not await belongs(Keys(one.private, two.public))
