"""`isthmus get`: what another command or the other operator needs to know, from this cluster. Reads only."""

from __future__ import annotations

from typing import Any

import click

from isthmus.api import names
from isthmus.api.authentication import RESOURCE_SLICES, ResourceSlice
from isthmus.cli.cluster import explained
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import run
from isthmus.cli.groups import CommandGroup
from isthmus.cli.manual import (
    one_cluster,
    open_cluster,
    open_site,
    remote_cluster_id_option,
    require_namespace,
    tenant_namespace_option,
)
from isthmus.cli.options import examples, output_option
from isthmus.cli.parameters import ClusterId
from isthmus.cli.queries import as_text, pick
from isthmus.cli.report import is_of_peer, report_slice
from isthmus.cli.tables import print_document, render_table
from isthmus.kube.builtin import SECRETS
from isthmus.kube.credentials import Credentials
from isthmus.peering import secret_data


@click.group(
    cls=CommandGroup,
    epilog=examples(
        "isthmus get nonce --remote-cluster-id rome",
        "isthmus get kubeconfig --remote-cluster-id milan > milan.kubeconfig",
        "isthmus get resourceslice",
    ),
)
def get() -> None:
    """Show a nonce, a kubeconfig or resource slices."""


@get.command(epilog=examples("isthmus get nonce --remote-cluster-id rome"))
@remote_cluster_id_option
@tenant_namespace_option
@one_cluster
def nonce(credentials: Credentials, **flags: Any) -> None:
    """Print the nonce a consumer has to sign.

    It is no secret: who signs it proves to have the consumer's key.
    """
    mend = f"run isthmus create nonce --remote-cluster-id {flags['remote_cluster_id']}"
    run(_print_secret(credentials, flags, names.NONCE_SECRET, "nonce", mend))


@get.command(epilog=examples("isthmus get kubeconfig --remote-cluster-id milan > milan.kubeconfig"))
@remote_cluster_id_option
@tenant_namespace_option
@one_cluster
def kubeconfig(credentials: Credentials, **flags: Any) -> None:
    """Print the kubeconfig with which this cluster writes to a provider.

    It holds this cluster's private key: keep it to yourself.
    """
    peer = flags["remote_cluster_id"]
    secret = names.kubeconfig_secret(names.control_plane_identity(peer))
    mend = f"this cluster is not authenticated with {peer}: see isthmus peer and isthmus authenticate"
    run(_print_secret(credentials, flags, secret, "kubeconfig", mend))


async def _print_secret(
    credentials: Credentials, flags: dict[str, Any], name: str, key: str, mend: str
) -> None:
    peer = flags["remote_cluster_id"]
    async with open_site(credentials, flags["namespace"], peer, flags["tenant_namespace"]) as site:
        require_namespace(site)
        with explained(site.cluster, f"reading Secret {name}"):
            secret = await site.cluster.client.find(SECRETS, name, site.namespace)
        value = secret_data.read(secret, key) if secret is not None else b""
        if not value:
            raise CommandError(f"{site.cluster.title} has no {key} in Secret {site.namespace}/{name}", mend)
    click.echo(value.decode(errors="replace").rstrip("\n"))


@get.command(
    epilog=examples(
        "isthmus get resourceslice",
        "isthmus get resourceslice --remote-cluster-id milan -o yaml",
        "isthmus get resourceslice --get milan.resources.cpu",
    )
)
@click.option(
    "--remote-cluster-id", type=ClusterId(), metavar="ID", default=None, help="Those of this peer only."
)
@click.option(
    "-g", "--get", "path", metavar="PATH", default="", help="Print one field, such as NAME.accepted."
)
@output_option
@one_cluster
def resourceslice(credentials: Credentials, **flags: Any) -> None:
    """Show the resource slices asked for here, and those given to others."""
    run(_resourceslice(credentials, flags))


async def _resourceslice(credentials: Credentials, flags: dict[str, Any]) -> None:
    peer = flags["remote_cluster_id"]
    async with open_cluster(credentials, flags["namespace"]) as cluster:
        with explained(cluster, "reading the resource slices"):
            page = await cluster.client.list(RESOURCE_SLICES)
    found = [one for one in page.items if peer is None or is_of_peer(one, peer)]
    reports = [_report(one, cluster.id) for one in found]
    if flags["path"]:
        click.echo(as_text(pick({report["name"]: report for report in reports}, flags["path"])))
    elif flags["output"]:
        print_document(reports, flags["output"])
    elif reports:
        click.echo(render_table(COLUMNS, [_row(report) for report in reports]), nl=False)
    else:
        click.echo("no resource slices" + (f" of {peer}" if peer else ""))


COLUMNS = ("name", "peer", "action", "accepted", "class", "resources", "alert")


def _report(found: ResourceSlice, own_id: str) -> dict[str, Any]:
    ids = (found.spec.provider_cluster_id, found.spec.consumer_cluster_id)
    return {
        **report_slice(found),
        "peer": next((each for each in ids if each and each != own_id), ""),
        "class": found.spec.class_,
    }


def _row(report: dict[str, Any]) -> list[Any]:
    resources = ", ".join(f"{name}={amount}" for name, amount in sorted(report["resources"].items()))
    return [
        report["name"],
        report["peer"],
        report["action"],
        "yes" if report["accepted"] else "no",
        report["class"],
        resources,
        report["alert"],
    ]
