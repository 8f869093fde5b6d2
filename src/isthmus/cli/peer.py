"""`isthmus peer`: let this cluster (the consumer) use the resources of another (the provider).

Everything that can be wrong is checked before the first write; each step after that can be repeated, so running
the command again goes on where an earlier run was broken off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import click

from isthmus.api.networking import Cidrs
from isthmus.cli.authentication import authenticate
from isthmus.cli.cluster import connect
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import run
from isthmus.cli.marks import mark_options
from isthmus.cli.network_check import (
    find_in_band_proxy,
    plan_tunnel,
    read_ranges,
    require_networking,
)
from isthmus.cli.network_connect import join_networks
from isthmus.cli.network_options import list_given, network_options, read_wish
from isthmus.cli.network_plan import NetworkWish
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
from isthmus.cli.resources import (
    Provider,
    Request,
    await_virtual_node,
    merge_resources,
    request_resources,
)
from isthmus.cli.waiting import Deadline
from isthmus.kube.credentials import Credentials


@dataclass(frozen=True, slots=True)
class Wish:
    """What the flags of `peer` ask for; `request` None where no slice is to be made, `network` None where the pod
    networks are to stay apart; `in_band` goes through the tunnel to the provider's API server."""

    request: Request | None
    network: NetworkWish | None
    network_flags: tuple[str, ...]
    proxy_url: str
    in_band: bool
    timeout: float


@click.command(
    epilog=examples(
        "# rome is the current context, milan has a kubeconfig of its own",
        "isthmus peer --remote-kubeconfig milan.kubeconfig",
        "# two contexts of one kubeconfig, with 8 CPUs and 16 GiB of the other cluster",
        "isthmus peer --context rome --remote-context milan --cpu 8 --memory 16Gi",
        "# the provider has no load balancer: expose the tunnel on a port of its nodes",
        "isthmus peer --remote-kubeconfig milan.kubeconfig --gw-server-service-type NodePort",
        "# no tunnel between the pods of the two clusters",
        "isthmus peer --remote-kubeconfig milan.kubeconfig --networking-disabled",
        "# a GPU, and no virtual node yet",
        "isthmus peer --remote-kubeconfig milan.kubeconfig --resource nvidia.com/gpu=1 \\",
        "    --create-virtual-node=false",
    )
)
@cluster_options
@remote_cluster_options
@namespace_option
@remote_namespace_option
@click.option("--networking-disabled", is_flag=True, help="Do not join the pod networks.")
@network_options
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
@click.option("--in-band", is_flag=True, help="Reach the provider's API server through the tunnel.")
@timeout_option("10m")
@mark_options
@verbose_option
def peer(credentials: Credentials, remote_credentials: Credentials, **flags: Any) -> None:
    """Let this cluster use the resources of another.

    The pod networks of the two are joined first, so that pods reach each other wherever they run. The cluster of
    the current context becomes the consumer, the remote one the provider: it shows up here as a virtual node, and
    namespaces can be offloaded to it. For both directions run it once in each. Running it again is harmless, and
    changes the resources asked for.
    """
    wish = _read_flags(flags)
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
        ranges = await _read_networking(pair, wish, progress, deadline)
        with progress.step("Pre-flight checks passed"):
            await check_permissions_of_both(pair, networking=ranges is not None)
            await check_conflicts(pair, keys)
            plan = await plan_tunnel(pair, wish.network, *ranges) if wish.network and ranges else None
        if plan is not None and wish.network is not None:
            await join_networks(plan, wish.network, progress, deadline)
        proxy_url = await find_in_band_proxy(pair) if wish.in_band else wish.proxy_url
        await authenticate(pair, keys, progress, deadline, proxy_url)
        if wish.request is not None:
            provider = Provider(pair.local, pair.local_namespace, pair.remote.id)
            granted = await request_resources(provider, wish.request, progress, deadline)
            if granted and wish.request.create_virtual_node:
                await await_virtual_node(pair.local, pair.local_namespace, pair.remote.id, progress, deadline)
    click.echo(f"{pair.local.id} is peered with {pair.remote.id}")


async def _read_networking(
    pair: Pair, wish: Wish, progress: Progress, deadline: Deadline
) -> tuple[Cidrs, Cidrs] | None:
    """The ranges of both clusters, None where their networks stay apart. Raises CommandError."""
    if wish.network is None:
        return None
    local = await read_ranges(pair.local, progress, deadline)
    remote = await read_ranges(pair.remote, progress, deadline)
    if require_networking(pair, local, remote) and local is not None and remote is not None:
        return local, remote
    if wish.network_flags:
        raise CommandError(
            f"{wish.network_flags[0]}: neither {pair.local.id} nor {pair.remote.id} has the networking module",
            "leave it out, or install networking in both (isthmus install --set networking.enabled=true)",
        )
    progress.note(
        f"the pod networks are not joined: neither {pair.local.id} nor {pair.remote.id} has the networking module"
    )
    return None


def _read_flags(flags: dict[str, Any]) -> Wish:
    """What all flags ask for. Raises CommandError (exit code 2) where they contradict each other."""
    disabled, in_band = flags["networking_disabled"], flags["in_band"]
    given = (*list_given(flags), *(["--in-band"] if in_band else []))
    network, proxy_url = read_wish(flags), check_proxy(flags["proxy_url"])
    if disabled and in_band:
        raise CommandError(
            "--in-band: there is no tunnel to go through with --networking-disabled",
            "leave one of them out, or give --proxy-url",
            code=2,
        )
    if in_band and proxy_url:
        raise CommandError(
            f"--in-band and --proxy-url {proxy_url}: each names a way to the provider", "give one", code=2
        )
    return Wish(
        request=_read_request(flags),
        network=None if disabled else network,
        network_flags=() if disabled else given,
        proxy_url=proxy_url,
        in_band=in_band,
        timeout=flags["timeout"],
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


def check_proxy(url: str) -> str:
    """The URL of --proxy-url as given. Raises CommandError (exit code 2) where it is none."""
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise CommandError(f'--proxy-url "{url}" is not a valid proxy URL', "write http://host:port", code=2)
    return url
