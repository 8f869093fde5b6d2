"""What the tests of the network share."""

from __future__ import annotations

from tests.apiserver.clock import clock

__all__ = ["clock"]
