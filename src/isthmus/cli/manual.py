"""What the commands for one step of a peering at a time share: one cluster, and the other by its id only.

Two operators who do not share access use them: each runs his own in his own cluster and sends what is printed to
the other. Reads only; printing goes to stdout, everything else to stderr.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from isthmus.cli import installation
from isthmus.cli.authentication import ensure_namespace
from isthmus.cli.cluster import Cluster, connect, step
from isthmus.cli.errors import MISUSED, CommandError
from isthmus.cli.marks import marked
from isthmus.cli.options import cluster_options, namespace_option, verbose_option
from isthmus.cli.parameters import ClusterId
from isthmus.cli.preflight import find_tenant_namespace
from isthmus.cli.progress import Progress
from isthmus.cli.tables import print_document
from isthmus.kube.credentials import Credentials
from isthmus.kube.objects import Manifest
from isthmus.kube.resource import Resource

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Site:
    """A cluster, the id of its peer, and the tenant namespace for it with whether that is there already."""

    cluster: Cluster
    peer: str
    namespace: str
    present: bool


def one_cluster(command: F) -> F:
    """Add the flags that name the cluster and its installation, and --verbose."""
    return cluster_options(namespace_option(verbose_option(command)))


def remote_cluster_id_option(command: F) -> F:
    """Add --remote-cluster-id, required; the command takes `remote_cluster_id: str`."""
    return click.option(
        "--remote-cluster-id", type=ClusterId(), required=True, metavar="ID", help="Id of the other cluster."
    )(command)


def tenant_namespace_option(command: F) -> F:
    """Add --tenant-namespace; the command takes `tenant_namespace: str`, "" for the one of the peer."""
    return click.option(
        "--tenant-namespace",
        metavar="NAME",
        default="",
        help="Tenant namespace of the other cluster, here. [default: the one labelled for it]",
    )(command)


def manifest_output_option(default: str, text: str) -> Callable[[F], F]:
    """Add -o/--output for a manifest; the command takes `output: str`: json, yaml or the default."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["json", "yaml"]),
        default=default or None,
        show_default=bool(default),
        callback=lambda _context, _parameter, value: value or "",
        help=text,
    )


@asynccontextmanager
async def open_cluster(credentials: Credentials, namespace: str) -> AsyncIterator[Cluster]:
    """The local cluster with its id read. Raises CommandError where it cannot be reached or used."""
    async with connect(credentials, "local", namespace) as cluster:
        await installation.identify(cluster)
        await installation.read_cluster_id(cluster)
        yield cluster


@asynccontextmanager
async def open_site(
    credentials: Credentials, namespace: str, peer: str, tenant_namespace: str = ""
) -> AsyncIterator[Site]:
    """The local cluster and its tenant namespace for a peer. Raises CommandError."""
    async with open_cluster(credentials, namespace) as cluster:
        if peer == cluster.id:
            raise CommandError(
                f'--remote-cluster-id "{peer}" is the id of {cluster.title} itself',
                "give the id of the other cluster",
                code=MISUSED,
            )
        found, present = await find_tenant_namespace(cluster, peer)
        if tenant_namespace and tenant_namespace != found:
            if present:
                raise CommandError(
                    f'--tenant-namespace "{tenant_namespace}": the tenant namespace of {peer} is {found}',
                    "leave it out",
                )
            found = tenant_namespace
        yield Site(cluster, peer, found, present)


def require_namespace(site: Site) -> None:
    """Raise CommandError where the peer has no tenant namespace yet."""
    if not site.present:
        raise CommandError(
            f'{site.cluster.title} has no tenant namespace for "{site.peer}"',
            "check --remote-cluster-id; isthmus create nonce or isthmus generate tenant makes one",
        )


async def make_namespace(site: Site, progress: Progress) -> None:
    """Create the tenant namespace where it is not there. Raises CommandError."""
    if not site.present:
        with step(progress, f"Tenant namespace {site.namespace}", site.cluster):
            await ensure_namespace(site.cluster, site.peer, site.namespace)


def complete(resource: Resource[Any], manifest: Manifest) -> Manifest:
    """The manifest as a file has it: with apiVersion and kind in front and its marks, without an empty namespace."""
    manifest = marked(resource, manifest)
    metadata = {key: value for key, value in manifest["metadata"].items() if value != ""}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        **{key: value for key, value in manifest.items() if key not in ("apiVersion", "kind")},
        "metadata": metadata,
    }


def print_manifest(resource: Resource[Any], manifest: Manifest, output: str) -> None:
    """Print a manifest on stdout as json or yaml."""
    print_document(complete(resource, manifest), output)


def explain_use(progress: Progress, manifest: Manifest, own_id: str, peer: str = "") -> None:
    """Say on stderr where the printed manifest is to be applied."""
    where = f"cluster {peer}" if peer else "the other cluster"
    namespace = manifest["metadata"].get("namespace", "")
    flag = "" if namespace else f" -n liqo-tenant-{own_id}"
    progress.note(f"apply it in {where}: kubectl apply{flag} -f FILE", own_id)
