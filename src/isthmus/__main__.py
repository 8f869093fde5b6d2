"""`python -m isthmus`: a role's process (`controller`, `gateway`, `node`), or the command line.

Roles are told apart before anything of the command line is imported: click and rich cost memory that a
process which runs for months should not hold.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the role named by the first argument, else the command line."""
    role = sys.argv[1:2]
    if role == ["controller"]:
        from isthmus.controller.run import main as controller

        sys.exit(controller())
    if role == ["gateway"]:
        from isthmus.network.gateway.run import main as gateway

        sys.exit(gateway())
    if role == ["node"]:
        from isthmus.network.node.run import main as node

        sys.exit(node())
    if role == ["probe"]:
        from isthmus.cli.nettest.agent import main as probe

        sys.exit(probe())
    from isthmus.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
