"""The settings of the kernel that a lab changes, and changes back.

Owns the list. Some are raised because four kubelets and their containers need more of a thing than one machine
usually grants; others the kubelet sets by itself. Settings that a kernel lacks are passed over.
"""

import contextlib
from pathlib import Path

ROOT = Path("/proc/sys")
LIMITS = {"fs/inotify/max_user_instances": 8192, "fs/inotify/max_user_watches": 1048576}
KUBELET = (
    "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
)  # fmt: skip


def read() -> dict[str, str]:
    """The present values of all settings that a lab changes."""
    found = {}
    for name in (*LIMITS, *KUBELET):
        with contextlib.suppress(OSError):
            found[name] = (ROOT / name).read_text().strip()
    return found


def raise_limits() -> None:
    """Raise the limits that are too low for a lab."""
    for name, least in LIMITS.items():
        with contextlib.suppress(OSError):
            if int((ROOT / name).read_text()) < least:
                (ROOT / name).write_text(str(least))


def restore(values: dict[str, str]) -> None:
    """Set everything back to what it was."""
    for name, value in values.items():
        with contextlib.suppress(OSError):
            (ROOT / name).write_text(value)
