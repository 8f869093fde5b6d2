"""Running `ip`, `nft` and `wg`: text in, text out, never a secret in an argument, never without an end.

Owns the child of one call while it lasts. Fails with `CommandError` in the words of the program, or naming the
program where it is not installed or did not end in time.
"""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE

TIMEOUT = 20.0
"""Seconds after which a child is killed."""
LONGEST_ERROR = 1000


class CommandError(Exception):
    """A program failed; the message is what it said."""


class Commands:
    """Runs programs on this host; `prefix` puts another command before each (a network namespace, in tests)."""

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        self.prefix = prefix

    async def run(self, *command: str, text: str = "") -> str:
        """Run a program with `text` on its standard input; what it printed. Raises CommandError."""
        source = _memory_file(text)
        try:
            child = await asyncio.create_subprocess_exec(
                *self.prefix, *command, stdin=source, stdout=PIPE, stderr=PIPE
            )
        except OSError as error:
            raise CommandError(f"{command[0]} cannot be run: {error.strerror}; is it installed?") from error
        finally:
            os.close(source)
        try:
            async with asyncio.timeout(TIMEOUT):
                out, err = await child.communicate()
        except TimeoutError:
            raise CommandError(f"{command[0]} did not end within {TIMEOUT:.0f} s") from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode:
            words = err.decode(errors="replace").strip()[:LONGEST_ERROR]
            raise CommandError(f"{' '.join(command[:4])}: {words or f'exit code {child.returncode}'}")
        return out.decode(errors="replace")

    async def find(self, *command: str) -> str:
        """As `run`, "" where the program fails: what was asked about is not there."""
        try:
            return await self.run(*command)
        except CommandError:
            return ""


def _memory_file(text: str) -> int:
    # Not asyncio's own pipe, which is a socket: a program cannot open that again as /dev/stdin, as `wg` does.
    file = os.memfd_create("isthmus")
    os.write(file, text.encode())
    os.lseek(file, 0, os.SEEK_SET)
    return file
