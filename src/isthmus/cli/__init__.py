"""The command line: `isthmus`, which is also `kubectl isthmus`.

One module a verb; `root.py` knows their names and imports a command only when it is asked for, so that help
and every single command start fast. `options.py` and `parameters.py` are what a user may type, `progress.py`
and `tables.py` what a user sees, `errors.py` the one place where a failure becomes a line of text and an exit
code. Nothing in here runs in a cluster.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process: 0 done, 1 failed, 2 wrongly used, 130 interrupted."""
    try:
        import click  # noqa: F401 -- an extra that an installation without the command line leaves out
    except ModuleNotFoundError:
        sys.exit("error: the command line needs the packages click and rich: install isthmus[cli]")
    from isthmus.cli.execution import execute

    sys.exit(execute(sys.argv[1:] if arguments is None else list(arguments)))
