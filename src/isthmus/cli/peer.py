"""`isthmus peer`: let this cluster (the consumer) use the resources of another (the provider).

Everything that can be wrong is checked before the first write; each step after that can be repeated, so running
the command again goes on where an earlier run was broken off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import click

from isthmus.cli.authentication import authenticate
from isthmus.cli.cluster import connect
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import run
from isthmus.cli.options import (
    cluster_options,
    examples,
    namespace_option,
    remote_cluster_options,
    remote_namespace_option,
    switch_option,
    timeout_option,
    verbose_option,
)
from isthmus.cli.parameters import Assignment, Count, Quantity
from isthmus.cli.preflight import (
    Pair,
    check_conflicts,
    check_controllers,
    check_identities,
    check_permissions_of_both,
    read_keys,
)
from isthmus.cli.progress import Progress
from isthmus.cli.resources import Request, await_virtual_node, merge_resources, request_resources
from isthmus.cli.waiting import Deadline
from isthmus.kube.credentials import Credentials

# Flags of liqoctl about joining the pod networks, which this version does not do yet.
NETWORKING_FLAGS = (
    "gw-server-service-location",
    "gw-server-service-type",
    "gw-server-service-port",
    "gw-server-service-nodeport",
    "gw-server-service-loadbalancerip",
    "gw-client-address",
    "gw-client-port",
    "mtu",
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the flags of `peer` ask for; `request` None where no slice is to be made."""

    request: Request | None
    proxy_url: str
    timeout: float


def networking_options(command: Any) -> Any:
    """Accept liqoctl's networking flags, hidden; the command takes `networking: list[str]` of those given."""
    for flag in NETWORKING_FLAGS:
        command = click.option(f"--{flag}", default=None, hidden=True)(command)
    return command


@click.command(
    epilog=examples(
        "# rome is the current context, milan has a kubeconfig of its own",
        "isthmus peer --remote-kubeconfig milan.kubeconfig",
        "# two contexts of one kubeconfig, with 8 CPUs and 16 GiB of the other cluster",
        "isthmus peer --context rome --remote-context milan --cpu 8 --memory 16Gi",
        "# a GPU, and no virtual node yet",
        "isthmus peer --remote-kubeconfig milan.kubeconfig --resource nvidia.com/gpu=1 \\",
        "    --create-virtual-node=false",
    )
)
@cluster_options
@remote_cluster_options
@namespace_option
@remote_namespace_option
@click.option(
    "--networking-disabled", is_flag=True, help="Do not join the pod networks (not done yet anyway)."
)
@switch_option("--create-resource-slice", True, "Ask the provider for resources.")
@click.option(
    "--resource-slice-class",
    metavar="NAME",
    default="default",
    show_default=True,
    help="Class of the request.",
)
@switch_option("--create-virtual-node", True, "Make a virtual node of the resources.")
@click.option("--cpu", type=Quantity(), help="CPUs to ask for. [default: the provider's]")
@click.option("--memory", type=Quantity(), help="Memory to ask for. [default: the provider's]")
@click.option("--pods", type=Count(), help="Pods to ask for. [default: the provider's]")
@click.option(
    "--resource", "resource", type=Assignment(), multiple=True, help="Any other resource; repeatable."
)
@click.option(
    "--proxy-url", metavar="URL", default="", help="HTTP proxy through which the provider is reached."
)
@click.option("--in-band", is_flag=True, hidden=True)
@click.option("--skip-validation", is_flag=True, hidden=True)
@networking_options
@timeout_option("10m")
@verbose_option
def peer(credentials: Credentials, remote_credentials: Credentials, **flags: Any) -> None:
    """Let this cluster use the resources of another.

    The cluster of the current context becomes the consumer, the remote one the provider: it shows up here as a
    virtual node, and namespaces can be offloaded to it. For both directions run it once in each. Running it
    again is harmless, and changes the resources asked for.
    """
    _refuse_networking(flags)
    wish = Wish(_read_request(flags), _check_proxy(flags["proxy_url"]), flags["timeout"])
    run(_peer(credentials, remote_credentials, (flags["namespace"], flags["remote_namespace"]), wish))


async def _peer(local: Credentials, remote: Credentials, namespaces: tuple[str, str], wish: Wish) -> None:
    progress, deadline = Progress(), Deadline(wish.timeout)
    async with (
        connect(local, "local", namespaces[0]) as here,
        connect(remote, "remote", namespaces[1]) as there,
    ):
        pair = Pair(here, there)
        await check_identities(pair, progress)
        await check_controllers(pair, progress, deadline)
        keys = await read_keys(pair.local, progress, deadline)
        with progress.step("Nothing stands in the way"):
            await check_permissions_of_both(pair)
            await check_conflicts(pair, keys)
        await authenticate(pair, keys, progress, deadline, wish.proxy_url)
        if wish.request is not None:
            granted = await request_resources(pair, wish.request, progress, deadline)
            if granted and wish.request.create_virtual_node:
                await await_virtual_node(pair, progress, deadline)
    click.echo(f"{pair.local.id} is peered with {pair.remote.id}")


def _refuse_networking(flags: dict[str, Any]) -> None:
    given = [flag for flag in NETWORKING_FLAGS if flags.pop(flag.replace("-", "_")) is not None]
    if flags["in_band"]:
        raise CommandError(
            "--in-band: the API server is not reached through the tunnel in this version",
            "leave it out, or give --proxy-url",
            code=2,
        )
    if given and not flags["networking_disabled"]:
        raise CommandError(
            f"--{given[0]}: the pod networks are not joined in this version",
            "leave it out, or add --networking-disabled",
            code=2,
        )


def _read_request(flags: dict[str, Any]) -> Request | None:
    resources = merge_resources(flags["cpu"], flags["memory"], flags["pods"], flags["resource"])
    if not flags["create_resource_slice"]:
        if resources:
            raise CommandError(
                f"--{next(iter(resources))}: no resources are asked for with --create-resource-slice=false",
                "leave one of them out",
                code=2,
            )
        return None
    return Request(flags["resource_slice_class"], resources, flags["create_virtual_node"])


def _check_proxy(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise CommandError(f'--proxy-url "{url}" is no URL of a proxy', "write http://host:port", code=2)
    return url
