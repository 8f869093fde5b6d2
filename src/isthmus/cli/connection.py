"""kubectl's flags that override a kubeconfig: `--server`, `--token` and their like.

Scripts that serve kubectl and liqoctl alike give them to every command. They change what the kubeconfig says of the
local cluster, or are refused where that would leave the API server unverified.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from isthmus.cli.errors import MISUSED, CommandError
from isthmus.kube.credentials import Credentials, read_text
from isthmus.kube.dial import parse_endpoint
from isthmus.kube.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])

FIELDS = {
    "server": "server",
    "tls-server-name": "tls_server_name",
    "token": "token",
    "certificate-authority": "ca_data",
    "client-certificate": "client_certificate_data",
    "client-key": "client_key_data",
}
"""Which field of the Credentials each flag is for; the last three name files."""
FILES = ("certificate-authority", "client-certificate", "client-key")
SWITCH = "insecure-skip-tls-verify"
REFUSED = {
    "as": "impersonation is not supported: use the credentials of that user",
    "as-group": "impersonation is not supported: use the credentials of a user of that group",
    SWITCH: "TLS is always verified: give --certificate-authority FILE, and --tls-server-name NAME "
    "where the certificate is for another name",
}
WITHOUT_EFFECT = ("request-timeout",)
"""Each request has a bound of its own, and each command --timeout."""
CONNECTION_FLAGS = {f"--{name}": int(name != SWITCH) for name in (*FIELDS, *REFUSED, *WITHOUT_EFFECT)}
"""Every flag, and how many values follow it."""


def connection_options(command: F) -> F:
    """Add kubectl's flags, hidden; the command takes each as `connection_NAME`, for `override`."""
    added: Callable[..., Any] = command
    for name in (*FIELDS, *REFUSED, *WITHOUT_EFFECT):
        added = click.option(
            f"--{name}",
            f"connection_{name.replace('-', '_')}",
            hidden=True,
            default=None,
            is_flag=False,
            flag_value="true" if name == SWITCH else None,
            expose_value=name not in WITHOUT_EFFECT,
        )(added)
    return added  # type: ignore[return-value]


def take_connection(flags: dict[str, Any]) -> dict[str, str]:
    """Take the values of kubectl's flags out of a command's, those that were given.

    Raises CommandError naming a flag that cannot be used.
    """
    names = {name: f"connection_{name.replace('-', '_')}" for name in (*FIELDS, *REFUSED)}
    found = {name: flags.pop(variable, None) for name, variable in names.items()}
    given = {name: value for name, value in found.items() if value not in (None, "", "false")}
    for name, hint in REFUSED.items():
        if name in given:
            raise CommandError(f"--{name} cannot be used", hint, code=MISUSED)
    if bool(given.get("client-key")) != bool(given.get("client-certificate")):
        missing = "--client-key" if given.get("client-certificate") else "--client-certificate"
        raise CommandError(f"{missing} is missing", "a client certificate needs its key", code=MISUSED)
    return given


def override(credentials: Credentials, given: Mapping[str, str]) -> Credentials:
    """The credentials with what was given instead of the kubeconfig's.

    A token or a client certificate takes the place of whatever the kubeconfig has to prove who we are. Raises
    CommandError naming the flag.
    """
    if not given:
        return credentials
    changed: dict[str, Any] = {FIELDS[name]: _read(name, value) for name, value in given.items()}
    if {"token", "client-certificate"} & given.keys():
        credentials = credentials.route
    found = replace(credentials, **changed)
    try:
        parse_endpoint(found.server, found.tls_server_name, found.proxy_url)
    except ConfigurationError as error:
        raise CommandError(f"--{error}", code=MISUSED) from None
    return found


def _read(name: str, value: str) -> str:
    if name not in FILES:
        return value
    try:
        return read_text(Path(value).expanduser())
    except ConfigurationError as error:
        raise CommandError(f"--{name} {error}", code=MISUSED) from None
