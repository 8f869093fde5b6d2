"""Locks between commands: a file that one process holds and the kernel gives up when that process dies.

Owns nothing but the way of doing it. What to do when somebody else holds the lock is the caller's choice.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def held(file: Path, busy: Callable[[], None]) -> Iterator[None]:
    """Hold a lock. When another holds it, `busy` is called: it may raise, or return to wait for the lock."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
