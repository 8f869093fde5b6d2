"""The flags all commands of `isthmus create` have, and the name of what they create."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from isthmus.api import names
from isthmus.cli.manual import (
    manifest_output_option,
    one_cluster,
    remote_cluster_id_option,
    tenant_namespace_option,
)
from isthmus.cli.marks import mark_options
from isthmus.cli.options import timeout_option
from isthmus.cli.parameters import DNS_LABEL_RULE

F = TypeVar("F", bound=Callable[..., Any])


def created(command: F) -> F:
    """Add --remote-cluster-id, --tenant-namespace, -o, --timeout, the global marks and the cluster's flags."""
    output = manifest_output_option("", "Print the object as JSON or YAML instead of creating it.")
    options = output(timeout_option("2m")(one_cluster(mark_options(command))))
    return remote_cluster_id_option(tenant_namespace_option(options))


def named(what: str) -> Callable[[F], F]:
    """Add the argument NAME; the command takes `name: str`, "" where none is given."""
    return click.argument("name", metavar="[NAME]", required=False, default="", callback=_require_name(what))


def _require_name(what: str) -> Callable[[click.Context, click.Parameter, str], str]:
    def check(_context: click.Context, parameter: click.Parameter, value: str) -> str:
        if value and not names.is_dns_label(value):
            raise click.BadParameter(f'"{value}" cannot name a {what}: {DNS_LABEL_RULE}', param=parameter)
        return value

    return check
