"""The server in memory answers as a real one does; tests/cluster/test_api_server_script.py sees to the record."""

from __future__ import annotations

import json

import pytest

from tests.apiserver import ApiServer, connected
from tests.apiserver.script import HELD, NAMESPACES, RECORDED, THINGS, play
from tests.apiserver.steps import STEPS


async def test_every_answer_is_the_one_of_a_real_server() -> None:
    api = ApiServer(check_namespaces=True, graceful_pods=True)
    for name in NAMESPACES:
        api.create("namespaces", {"metadata": {"name": name}})
    api.create("configmaps", HELD)
    api.create("customresourcedefinitions", THINGS)
    recorded = json.loads(RECORDED.read_text())
    async with connected(api) as client:
        told = await play(client, STEPS)
    wrong = [
        f"{title}\n  real    {json.dumps(recorded[title])}\n  memory  {json.dumps(told[title])}"
        for title in told
        if told[title] != recorded[title]
    ]
    assert list(told) == list(recorded)
    if wrong:
        pytest.fail(f"{len(wrong)} of {len(told)} answers differ:\n" + "\n".join(wrong), pytrace=False)
