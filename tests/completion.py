"""Completion as bash asks for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).parent / "isthmus"


def complete_in_bash(*words: str, **environment: str) -> list[str]:
    """What bash is told when TAB is pressed behind the words. It must not be told anything else."""
    asked = {
        "_ISTHMUS_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [PROGRAM],
        env=os.environ | asked | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]
