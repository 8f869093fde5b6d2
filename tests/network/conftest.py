"""What the tests of the network share."""

from __future__ import annotations

from tests.apiserver.clock import clock
from tests.network.played import heard

__all__ = ["clock", "heard"]
