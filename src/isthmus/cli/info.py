"""`isthmus info`: the installation and its peerings, for people and for scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from isthmus.cli import installation
from isthmus.cli.cluster import connect
from isthmus.cli.completed import complete_cluster_ids
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import run
from isthmus.cli.network_report import render_own_network, render_peer_network
from isthmus.cli.options import cluster_options, examples, namespace_option, output_option, verbose_option
from isthmus.cli.queries import as_text, pick
from isthmus.cli.report import report_cluster, report_peers
from isthmus.cli.tables import print_document, render_fields, render_table
from isthmus.kube.credentials import Credentials


def _complete(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem[str]]:
    given = context.params.get("what") or ()
    if given:
        return complete_cluster_ids(context, parameter, incomplete)
    return [CompletionItem("peer")] if "peer".startswith(incomplete) else []


@click.command(
    epilog=examples(
        "isthmus info",
        "# every detail about some peers, or about all",
        "isthmus info peer milan",
        "# for scripts",
        "isthmus info -o json",
        "isthmus info --get local.clusterid",
        "isthmus info --get network.podcidrs",
        "isthmus info peer milan --get network.cidrs.remapped.pod",
        "isthmus info peer milan --get offloading.virtualnodes",
    )
)
@click.argument("what", metavar="[peer [ID]...]", nargs=-1, shell_complete=_complete)
@click.option(
    "-g", "--get", "get", metavar="PATH", default="", help="One field by its path, such as local.clusterid."
)
@cluster_options
@namespace_option
@output_option
@verbose_option
def info(credentials: Credentials, namespace: str, what: tuple[str, ...], get: str, output: str) -> None:
    """Show the installation and its peerings.

    With `peer`, show every detail about the peers named, or about all.
    """
    if what and what[0] not in ("peer", "peers"):
        raise click.UsageError(f'"{what[0]}" is nothing to show: leave it out, or write "peer [ID]..."')
    report = run(_gather(credentials, namespace, what))
    if get:
        show_field(report, what, get, output)
    elif output:
        print_document(report, output)
    else:
        render: Callable[[dict[str, Any]], str] = render_peers if what else render_cluster
        click.echo(render(report), nl=False)


async def _gather(credentials: Credentials, namespace: str, what: tuple[str, ...]) -> dict[str, Any]:
    async with connect(credentials, "local", namespace) as cluster:
        await installation.identify(cluster)
        await installation.check_kinds(cluster, {"core.liqo.io/v1beta1": ("foreignclusters",)})
        await installation.read_cluster_id(cluster)
        return await (report_peers(cluster, what[1:]) if what else report_cluster(cluster))


def show_field(report: dict[str, Any], what: tuple[str, ...], path: str, output: str) -> None:
    """Print one field. Of a single peer its id may be left out, and of the installation `local`, as liqoctl has it."""
    inner = report if what else report["local"]
    if len(what) == 2:
        inner = report[what[1]]
    try:
        found = pick(report, path)
    except CommandError as error:
        try:
            found = pick(inner, path)
        except CommandError:
            raise error from None
    if output:
        print_document(found, output)
    else:
        click.echo(as_text(found))


def render_cluster(report: dict[str, Any]) -> str:
    """The installation, for people."""
    local, health = report["local"], report["health"]
    text = "Installation\n" + render_fields(
        {
            "Cluster ID": local["clusterID"],
            "Version": local["version"],
            "API server": local["apiServerAddr"],
            "Labels": local["labels"],
        },
        indent="  ",
    )
    text += _render_health(health)
    text += render_own_network(report["network"])
    peers = report["peerings"]["peers"]
    text += "\nPeerings\n"
    text += _table(
        peers,
        ("cluster", "role", "authentication", "offloading", "networking"),
        ("clusterID", "role", "authenticationStatus", "offloadingStatus", "networkingStatus"),
        "none; see isthmus peer --help",
    )
    for each in peers:
        if "Unhealthy" in each.values():
            text += f"  ! isthmus info peer {each['clusterID']} says what is wrong and what to do\n"
    text += "\nOffloaded namespaces\n"
    return text + _table(
        report["namespaces"],
        ("namespace", "remote name", "pods", "phase"),
        ("name", "remoteName", "podOffloadingStrategy", "phase"),
        "none; see isthmus offload --help",
    )


def _render_health(health: dict[str, Any]) -> str:
    if health["healthy"]:
        return "\nHealth\n  all pods are ready\n"
    if not health["unhealthyPods"]:
        return "\nHealth\n  no pods: the controller does not run\n"
    return "\nHealth\n" + render_table(
        ["pod", "status", "ready", "restarts"],
        [
            (
                name,
                pod["status"],
                f"{pod['containers']['ready']}/{pod['containers']['total']}",
                pod["restarts"],
            )
            for name, pod in health["unhealthyPods"].items()
        ],
        indent="  ",
    )


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...], keys: tuple[str, ...], empty: str) -> str:
    if not rows:
        return f"  {empty}\n"
    return render_table(columns, [[row[key] for key in keys] for row in rows], indent="  ")


def render_peers(report: dict[str, Any]) -> str:
    """The peers in detail, for people."""
    if not report:
        return "no peers; see isthmus peer --help\n"
    return "\n".join(_render_peer(name, peer) for name, peer in report.items())


def _render_peer(name: str, peer: dict[str, Any]) -> str:
    authentication, offloading = peer["authentication"], peer["offloading"]
    text = f"{name} ({peer['role']})\n"
    text += f"  Authentication: {authentication['status']}\n"
    text += render_fields({"API server": authentication["apiServerAddr"]}, indent="    ")
    for each in authentication["identities"]:
        if each["validUntil"]:
            text += f"    Identity {each['name']}: valid until {each['validUntil']}\n"
    text += _alerts(authentication["alerts"])
    for each in authentication["resourceSlices"]:
        state = "accepted" if each["accepted"] else "not accepted"
        text += f"    Resource slice {each['name']}: {each['action'].lower()}, {state}"
        text += f"{', cordoned' if each['cordoned'] else ''}{_amounts(each['resources'], each['used'])}\n"
        text += _alerts([each["alert"]] if each["alert"] else [])
    text += f"  Offloading: {offloading['status']}\n"
    text += _alerts(offloading["alerts"])
    for each in offloading["virtualNodes"]:
        text += (
            f"    Virtual node {each['name']}: {each['status']}{_amounts(each['resources'], each['used'])}\n"
        )
    text += f"  Networking: {peer['network']['status']}\n"
    return text + render_peer_network(peer["network"]) + _alerts(peer["network"]["alerts"])


def _amounts(resources: dict[str, Any], used: dict[str, str]) -> str:
    if not resources:
        return ""
    parts = (
        f"{name} {used[name]} of {amount}" if used.get(name, "0") != "0" else f"{name} {amount}"
        for name, amount in resources.items()
    )
    return f" ({', '.join(parts)})"


def _alerts(lines: list[str]) -> str:
    return "".join(f"    ! {line}\n" for line in lines)
