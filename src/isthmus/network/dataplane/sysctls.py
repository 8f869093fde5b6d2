"""Sysctls of the network namespace: reading, setting, and noting what they were, to be put back.

The note is the alias of our overlay device: it lives exactly as long as what we did does, survives our own
restarts, and a reboot takes both away.
"""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.network.dataplane.commands import Commands

NOTE = "isthmus found "


def render_note(found: dict[str, str]) -> str:
    """The alias that notes the values that were changed."""
    return NOTE + " ".join(f"{name}={value}" for name, value in sorted(found.items()))


def parse_note(alias: str) -> dict[str, str]:
    """The values noted in an alias; {} for anything that is no note of ours."""
    if not alias.startswith(NOTE):
        return {}
    pairs = (word.partition("=") for word in alias[len(NOTE) :].split())
    return {name: value for name, _, value in pairs if name.startswith("net.ipv4.") and value.isdigit()}


def goes_with_device(name: str, devices: Iterable[str]) -> bool:
    """Whether a sysctl is a setting of one of these devices: it ends with the device, and is never put back."""
    return any(f".conf.{device}." in name for device in devices)


async def read(commands: Commands, name: str) -> str:
    """The value of a sysctl of one of our namespaces; "" where the kernel has no such."""
    if commands.prefix:
        return (await commands.find("sysctl", "-n", name)).strip()
    return _read(_path(name))


async def write(commands: Commands, name: str, value: str) -> None:
    """Set a sysctl. Raises OSError (or CommandError in another namespace)."""
    if commands.prefix:
        await commands.run("sysctl", "-qw", f"{name}={value}")
        return
    _write(_path(name), value)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _write(path: str, value: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(value)


def _path(name: str) -> str:
    return "/proc/sys/" + name.replace(".", "/")
