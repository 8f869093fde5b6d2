"""How many connections may go through the proxy: what peers open must not use up the controller's file descriptors."""

from __future__ import annotations

import resource

WANTED = 4096
"""File descriptors the process asks for, as far as it is allowed: containers often start with 1024 of many more."""
RESERVED = 512
"""File descriptors left for the controller itself: its watches, webhooks, virtual nodes."""
MOST, LEAST = 1024, 16


def tunnels_within(descriptors: int) -> int:
    """How many tunnels fit where the process may open so many files; each takes two."""
    return max(LEAST, min(MOST, (descriptors - RESERVED) // 2))


def raise_limit() -> int:
    """Let the process open `WANTED` files where it may; returns how many it may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= WANTED:
        return WANTED
    wanted = WANTED if hard == unlimited else min(WANTED, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
