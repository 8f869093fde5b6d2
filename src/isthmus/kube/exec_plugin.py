"""Credential plugins of a kubeconfig's `exec` (client.authentication.k8s.io): a program that prints credentials.

The plugin runs as a child with a time limit; what it prints on standard output is decoded and never logged. Its
standard error goes where ours goes, since it is how plugins talk to people.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from isthmus.kube.credentials import Credentials
from isthmus.kube.errors import ConfigurationError

API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
TIME_LIMIT = 60.0
INTERACTIVE_TIME_LIMIT = 300.0
"""Seconds a plugin may take, the second where it may ask a person to log in."""


class PluginAnswer(Struct, frozen=True):
    """What a plugin printed; `expires` is seconds since the epoch, None where it does not say."""

    token: str = ""
    certificate: str = ""
    key: str = ""
    expires: float | None = None


class _Status(Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: str | None = None


class _ExecCredential(Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Status | None = None


async def run_plugin(credentials: Credentials) -> PluginAnswer:
    """Run the plugin of `credentials.exec`. Raises ConfigurationError naming the command and the mend."""
    config = credentials.exec or {}
    command = str(config.get("command", ""))
    version = str(config.get("apiVersion") or "")
    if version not in API_VERSIONS:
        raise ConfigurationError(f"exec.apiVersion: {version!r} is not known; use {API_VERSIONS[0]}")
    interactive = _may_interact(config, command)
    environment = dict(os.environ)
    for entry in config.get("env") or []:
        environment[str(entry.get("name", ""))] = str(entry.get("value", ""))
    environment["KUBERNETES_EXEC_INFO"] = msgspec.json.encode(
        _forge_info(credentials, config, version, interactive)
    ).decode()
    output = await _run(
        command, [str(arg) for arg in config.get("args") or []], environment, interactive, config
    )
    return read_answer(output, version, command)


def _may_interact(config: dict[str, Any], command: str) -> bool:
    mode = str(config.get("interactiveMode") or "IfAvailable")
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if mode == "Always" and not terminal:
        raise ConfigurationError(
            f"exec.interactiveMode of {command!r} is Always, but there is no terminal here"
        )
    return terminal and mode != "Never"


def _forge_info(
    credentials: Credentials, config: dict[str, Any], version: str, interactive: bool
) -> dict[str, Any]:
    spec: dict[str, Any] = {"interactive": interactive}
    if config.get("provideClusterInfo"):
        cluster = {
            "server": credentials.server,
            "tls-server-name": credentials.tls_server_name,
            "certificate-authority-data": credentials.ca_data.encode(),
            "proxy-url": credentials.proxy_url,
        }
        spec["cluster"] = {name: value for name, value in cluster.items() if value}
    return {"apiVersion": version, "kind": "ExecCredential", "spec": spec}


async def _run(
    command: str, arguments: list[str], environment: dict[str, str], interactive: bool, config: dict[str, Any]
) -> bytes:
    try:
        child = await asyncio.create_subprocess_exec(
            command,
            *arguments,
            env=environment,
            stdin=None if interactive else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        hint = str(config.get("installHint") or "install it or correct exec.command")
        raise ConfigurationError(
            f"the credential plugin {command!r} cannot be run: {error.strerror}; {hint}"
        ) from None
    limit = INTERACTIVE_TIME_LIMIT if interactive else TIME_LIMIT
    try:
        async with asyncio.timeout(limit):
            output, _ = await child.communicate()
    except TimeoutError:
        raise ConfigurationError(f"the credential plugin {command!r} took more than {limit:.0f} s") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise ConfigurationError(
            f"the credential plugin {command!r} failed with exit code {child.returncode}; run it by hand to see why"
        )
    return output


def read_answer(output: bytes, version: str, command: str) -> PluginAnswer:
    """Decode an ExecCredential. Raises ConfigurationError; the output itself is never repeated."""
    try:
        answer = msgspec.json.decode(output, type=_ExecCredential)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ConfigurationError(
            f"the credential plugin {command!r} did not print an ExecCredential"
        ) from None
    if answer.kind != "ExecCredential" or answer.api_version != version:
        raise ConfigurationError(
            f"the credential plugin {command!r} printed {answer.api_version} {answer.kind}, not {version} "
            "ExecCredential; set exec.apiVersion to what it speaks"
        )
    status = answer.status or _Status()
    if bool(status.client_certificate_data) != bool(status.client_key_data):
        raise ConfigurationError(
            f"the credential plugin {command!r} printed a certificate or a key, not both"
        )
    if not status.token and not status.client_certificate_data:
        raise ConfigurationError(
            f"the credential plugin {command!r} printed neither a token nor a certificate"
        )
    expires = None
    if status.expiration_timestamp:
        try:
            moment = datetime.fromisoformat(status.expiration_timestamp)
        except ValueError:
            raise ConfigurationError(
                f"the credential plugin {command!r} printed an expirationTimestamp that is not an RFC 3339 time"
            ) from None
        expires = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return PluginAnswer(
        token=status.token or "",
        certificate=status.client_certificate_data or "",
        key=status.client_key_data or "",
        expires=expires,
    )
