"""What the tests of peering share."""

from __future__ import annotations

from tests.apiserver.clock import clock
from tests.kube.authority import certificates_here

__all__ = ["certificates_here", "clock"]
