"""`isthmus network`: the tunnel between two clusters alone, without a peering (wire.md 9, steps 1 to 14)."""

from __future__ import annotations

from typing import Any

import click

from isthmus.cli.cluster import connect
from isthmus.cli.errors import MISUSED, CommandError
from isthmus.cli.execution import run
from isthmus.cli.groups import CommandGroup
from isthmus.cli.marks import mark_options
from isthmus.cli.network_check import plan_tunnel, read_ranges, require_networking
from isthmus.cli.network_connect import join_networks
from isthmus.cli.network_options import network_options, read_wish
from isthmus.cli.network_plan import (
    CLIENT_TEMPLATE,
    CLIENT_TYPE,
    SERVER_TEMPLATE,
    SERVER_TYPE,
    NetworkWish,
    Template,
)
from isthmus.cli.network_removal import separate_networks
from isthmus.cli.options import (
    cluster_options,
    confirm,
    confirm_option,
    examples,
    namespace_option,
    remote_cluster_options,
    remote_namespace_option,
    switch_option,
    timeout_option,
    verbose_option,
)
from isthmus.cli.preflight import (
    Pair,
    check_controllers,
    check_permissions_of_both,
    check_two_clusters,
    find_tenant_namespace,
)
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline
from isthmus.kube.credentials import Credentials


@click.group(
    cls=CommandGroup,
    epilog=examples(
        "isthmus network connect --remote-kubeconfig milan.kubeconfig --gw-server-service-type NodePort",
        "isthmus network disconnect --remote-kubeconfig milan.kubeconfig",
        "isthmus network reset --remote-kubeconfig milan.kubeconfig",
    ),
)
def network() -> None:
    """Join the pod networks of two clusters, or separate them."""


def _two_clusters(command: Any) -> Any:
    for option in (verbose_option, remote_namespace_option, namespace_option):
        command = option(command)
    return cluster_options(remote_cluster_options(command))


def _template_options(command: Any) -> Any:
    for side, type_, template in (
        ("client", CLIENT_TYPE, CLIENT_TEMPLATE),
        ("server", SERVER_TYPE, SERVER_TEMPLATE),
    ):
        flag = f"--gw-{side}-template"
        where = "Its namespace. [default: the installation's]"
        for option in (
            click.option(f"{flag}-namespace", metavar="NAME", default="", help=where),
            click.option(
                f"{flag}-name",
                metavar="NAME",
                default=template.name,
                show_default=True,
                help=f"Template of the {side}.",
            ),
            click.option(
                f"--gw-{side}-type", metavar="TYPE", default=type_, help=f"Kind of the {side}'s template."
            ),
        ):
            command = option(command)
    return command


def _removal_options(command: Any) -> Any:
    for option in (
        confirm_option,
        timeout_option("2m"),
        switch_option("--wait", False, "Wait until all that goes is gone."),
        _two_clusters,
    ):
        command = option(command)
    return command


@network.command(
    name="connect",
    epilog=examples(
        "isthmus network connect --remote-kubeconfig milan.kubeconfig --wait",
        "# the remote cluster has no load balancer",
        "isthmus network connect --remote-kubeconfig milan.kubeconfig --gw-server-service-type NodePort",
        "# milan is behind NAT: the router forwards 203.0.113.7:51840/UDP to it",
        "isthmus network connect --remote-kubeconfig milan.kubeconfig --gw-client-address 203.0.113.7 \\",
        "    --gw-client-port 51840",
    ),
)
@mark_options
@_two_clusters
@network_options
@_template_options
@click.option("--disable-sharing-keys", is_flag=True, help="Do not exchange the keys of the two gateways.")
@switch_option("--wait", False, "Wait until the tunnel stands.")
@timeout_option("2m")
def connect_networks(credentials: Credentials, remote_credentials: Credentials, **flags: Any) -> None:
    """Join the pod networks of two clusters.

    The server end of the tunnel is in the remote cluster, unless --gw-server-service-location says Consumer; the
    other end connects to it. Running it again is harmless, and changes what its flags say.
    """
    wish = read_wish(
        flags,
        share_keys=not flags["disable_sharing_keys"],
        server_template=_read_template(flags, "server", SERVER_TYPE, SERVER_TEMPLATE),
        client_template=_read_template(flags, "client", CLIENT_TYPE, CLIENT_TEMPLATE),
    )
    namespaces = (flags["namespace"], flags["remote_namespace"])
    run(_connect(credentials, remote_credentials, namespaces, wish, flags["wait"], flags["timeout"]))


def _read_template(flags: dict[str, Any], side: str, known: str, default: Template) -> Template:
    type_ = flags[f"gw_{side}_type"]
    if type_ != known:
        raise CommandError(
            f'--gw-{side}-type "{type_}" is of no kind that gateways are made from here',
            f"leave it out, or write {known}",
            code=MISUSED,
        )
    return Template(
        flags[f"gw_{side}_template_name"],
        default.kind,
        default.api_version,
        flags[f"gw_{side}_template_namespace"],
    )


async def _connect(
    local: Credentials,
    remote: Credentials,
    namespaces: tuple[str, str],
    wish: NetworkWish,
    wait: bool,
    timeout: float,
) -> None:
    progress, deadline = Progress(), Deadline(timeout)
    async with (
        connect(local, "local", namespaces[0]) as here,
        connect(remote, "remote", namespaces[1]) as there,
    ):
        pair = Pair(here, there)
        await check_two_clusters(pair, progress)
        await check_controllers(pair, progress, deadline)
        mine = await read_ranges(pair.local, progress, deadline)
        theirs = await read_ranges(pair.remote, progress, deadline)
        if not require_networking(pair, mine, theirs) or mine is None or theirs is None:
            raise CommandError(
                f"neither {pair.local.id} nor {pair.remote.id} has the networking module",
                "install it in both with isthmus install --set networking.enabled=true",
            )
        with progress.step("Pre-flight checks passed"):
            await check_permissions_of_both(pair, authentication=False, networking=True)
            plan = await plan_tunnel(pair, wish, mine, theirs)
        await join_networks(plan, wish, progress, deadline, wait=wait)
    joined = "are joined" if wait and wish.share_keys else "will be joined once the tunnel stands"
    click.echo(f"the pod networks of {pair.local.id} and {pair.remote.id} {joined}")


@network.command(
    epilog=examples(
        "isthmus network disconnect --remote-kubeconfig milan.kubeconfig",
        "isthmus network disconnect --remote-kubeconfig milan.kubeconfig --skip-confirm --wait",
    )
)
@_removal_options
def disconnect(credentials: Credentials, remote_credentials: Credentials, **flags: Any) -> None:
    """Remove the tunnel between two clusters.

    Pods of one no longer reach those of the other, also where a peering uses the tunnel. The address ranges stay
    assigned, so that a later connect finds the same ones.
    """
    run(_separate(credentials, remote_credentials, flags, ranges=False))


@network.command(
    epilog=examples(
        "isthmus network reset --remote-kubeconfig milan.kubeconfig",
        "isthmus network reset --remote-kubeconfig milan.kubeconfig --skip-confirm --wait",
    )
)
@_removal_options
def reset(credentials: Credentials, remote_credentials: Credentials, **flags: Any) -> None:
    """Remove the tunnel between two clusters and forget their address ranges.

    As disconnect, and the Configurations go too: a later connect may assign other ranges.
    """
    run(_separate(credentials, remote_credentials, flags, ranges=True))


async def _separate(local: Credentials, remote: Credentials, flags: dict[str, Any], *, ranges: bool) -> None:
    progress = Progress()
    async with (
        connect(local, "local", flags["namespace"]) as here,
        connect(remote, "remote", flags["remote_namespace"]) as there,
    ):
        pair = Pair(here, there)
        await check_two_clusters(pair, progress)
        pair.local_namespace, _ = await find_tenant_namespace(pair.local, pair.remote.id)
        pair.remote_namespace, _ = await find_tenant_namespace(pair.remote, pair.local.id)
        confirm(
            f"Remove the tunnel between {pair.local.id} and {pair.remote.id}"
            f"{' and forget their address ranges' if ranges else ''}? Their pods no longer reach each other.",
            skip=flags["skip_confirm"],
        )
        count = await separate_networks(
            pair,
            progress,
            Deadline(flags["timeout"]),
            ranges=ranges,
            wait=flags["wait"],
            mend=f"look at the controllers of {pair.local.id} and {pair.remote.id}, then run this again",
        )
    both = f"{pair.local.id} and {pair.remote.id}"
    done = f"the pod networks of {both} are " + ("separated" if flags["wait"] else "being separated")
    click.echo(done if count else f"the pod networks of {both} were not joined: nothing to do")
