"""`make smoke`: one whole life on a lab that stands, the quickest look at whether a change has broken anything.

It uninstalls at its end, so it is played by itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster import life
from tests.cluster.support import Cluster

pytestmark = pytest.mark.smoke


def test_one_whole_life(rome: Cluster, milan: Cluster, tmp_path: Path) -> None:
    life.play(rome, milan, tmp_path)
