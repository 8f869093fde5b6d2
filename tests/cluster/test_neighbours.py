"""Both neighbours of the default Kubernetes live one whole life each, as the consumer of a default cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus import lab
from tests.cluster import life
from tests.cluster.support import lab_cluster

ENVIRONMENT = {"ISTHMUS_LAB_NAME": "others", "ISTHMUS_LAB_NETWORK": "10.216.0.0/16"}
pytestmark = [pytest.mark.endurance, pytest.mark.timeout(1800)]


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No lab before and none afterwards, under a name of its own."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    lab.down()
    yield
    lab.down()


@pytest.mark.parametrize("version", ["1.35", "1.37"])
def test_a_neighbour_of_the_default_lives_a_whole_life_with_it(
    apart: None, version: str, tmp_path: Path
) -> None:
    lab.up(clusters=2, workers=1, kubernetes=f"{version},1.36")
    lab.load_image(str(lab.build_image()))
    rome, milan = (lab_cluster(one.name) for one in lab.clusters())
    for cluster, expected in ((rome, version), (milan, "1.36")):
        (node,) = cluster.items("nodes")
        assert node["status"]["nodeInfo"]["kubeletVersion"].startswith(f"v{expected}.")
    life.play(rome, milan, tmp_path)
