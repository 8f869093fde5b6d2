"""Programs are run with text on their input, end in time, and fail in their own words."""

from __future__ import annotations

import asyncio

import pytest

from isthmus.network.dataplane import commands, sysctls
from isthmus.network.dataplane.commands import CommandError, Commands


async def test_text_goes_in_by_a_file_that_can_be_opened_again() -> None:
    assert await Commands().run("cat", "/dev/stdin", text="PrivateKey = x\n") == "PrivateKey = x\n"
    assert await Commands(("env", "A=b")).run("sh", "-c", "echo $A") == "b\n"


async def test_a_failure_is_told_in_the_programs_words() -> None:
    with pytest.raises(CommandError, match=r"^sh -c echo gone >&2; exit 3: gone$"):
        await Commands().run("sh", "-c", "echo gone >&2; exit 3")
    with pytest.raises(CommandError, match="exit code 3"):
        await Commands().run("sh", "-c", "exit 3")
    assert await Commands().find("sh", "-c", "echo half; exit 1") == ""


async def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(
        CommandError, match="no-such-program cannot be run: No such file or directory; is it installed"
    ):
        await Commands().run("no-such-program")


async def test_a_program_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "TIMEOUT", 0.2)
    with pytest.raises(CommandError, match="sleep did not end within 0 s"):
        await asyncio.wait_for(Commands().run("sleep", "1000"), 10)


async def test_sysctls_of_our_own_namespace_are_files() -> None:
    assert (await sysctls.read(Commands(), "kernel.ostype")) == "Linux"
    assert await sysctls.read(Commands(), "net.ipv4.no_such_thing") == ""
    with pytest.raises(OSError, match="no_such_thing"):
        await sysctls.write(Commands(), "net.ipv4.no_such_thing", "1")
