"""What the tests of the controller share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.apiserver.clock import clock
from tests.kube.authority import certificates_here

__all__ = ["certificates_here", "clock"]


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    """A controller that leads has the garbage collected: what other tests left need not be walked for that."""
    gc.freeze()
    yield
    gc.unfreeze()
