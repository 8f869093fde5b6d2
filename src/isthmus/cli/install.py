"""`isthmus install`: install Isthmus in a cluster, or upgrade what is installed.

Turns flags into values and hands them to `isthmus.install`; everything that can be wrong is told before the first
write. With `--dry-run` and `--only-output-values` nothing is written, and with the cluster's id and ranges given no
cluster is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isthmus.cli.cluster import Cluster, connect, explained
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import run
from isthmus.cli.options import (
    deferred_cluster_options,
    examples,
    namespace_option,
    timeout_option,
    verbose_option,
)
from isthmus.cli.progress import Progress
from isthmus.kube.credentials import Credentials

if TYPE_CHECKING:
    from isthmus.install.values import Tree, Values


@contextmanager
def told() -> Iterator[None]:
    """Turn what stops an installation into what a command tells."""
    from isthmus.install.errors import InstallError

    try:
        yield
    except InstallError as error:
        raise CommandError(error.problem, error.mend) from error


def values_options(command: Any) -> Any:
    """The flags that say what the installation is to be like; the command takes them as `**flags`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS = (
    click.option("--cluster-id", metavar="ID", help="Id of this cluster, a DNS label; random if left out."),
    click.option(
        "--cluster-labels", metavar="KEY=VALUE", multiple=True, help="Labels peers see on the virtual node."
    ),
    click.option(
        "--api-server-url", metavar="URL", help="Where peers reach the API server; found if left out."
    ),
    click.option(
        "--pod-cidr", metavar="CIDR", multiple=True, help="Range of the pods; found out if left out."
    ),
    click.option("--service-cidr", metavar="CIDR", help="Range of the Services; found out if left out."),
    click.option(
        "--reserved-subnets", metavar="CIDR", multiple=True, help="Ranges that peers shall not be seen under."
    ),
    click.option("--version", metavar="TAG", help="Tag of the image to run."),
    click.option("--image", metavar="NAME[:TAG]", help="Image to run."),
    click.option(
        "--values",
        metavar="FILE",
        multiple=True,
        type=click.Path(path_type=Path),
        help="YAML file with values; wins over the flags above.",
    ),
    click.option(
        "--set", "assignments", metavar="NAME=VALUE", multiple=True, help="One value; wins over everything."
    ),
    click.option("--set-string", "strings", metavar="NAME=VALUE", multiple=True, hidden=True),
    click.option("--disable-telemetry", is_flag=True, hidden=True),
)


@click.command(
    epilog=examples(
        "isthmus install --cluster-id rome",
        "# at another address than the one in the kubeconfig, with a region to select by",
        "isthmus install --cluster-id rome --api-server-url https://203.0.113.5:6443 \\",
        "    --cluster-labels region=eu",
        "# only look at what would be applied, or keep it in git",
        "isthmus install --cluster-id rome --dry-run > isthmus.yaml",
        "# consumers of this cluster have to stay within what they were granted",
        "isthmus install --set controllerManager.config.defaultLimitsEnforcement=Hard",
    )
)
@deferred_cluster_options
@namespace_option
@values_options
@click.option("--only-output-values", is_flag=True, help="Print the values and do nothing.")
@click.option("--dry-run", is_flag=True, help="Print the manifests and do nothing.")
@timeout_option("10m")
@verbose_option
def install(
    resolve: Callable[[], Credentials],
    namespace: str,
    only_output_values: bool,
    dry_run: bool,
    timeout: float,
    **flags: Any,
) -> None:
    """Install Isthmus in a cluster, or upgrade it.

    Running it again upgrades, and goes on where a run was cut off; the cluster id stays what it is. Values not given
    again go back to their defaults.
    """
    with told():
        _dispatch(resolve, namespace, flags, only_output_values, dry_run, timeout)


def _dispatch(
    resolve: Callable[[], Credentials],
    namespace: str,
    flags: dict[str, Any],
    only_output_values: bool,
    dry_run: bool,
    timeout: float,
) -> None:
    from isthmus.install.validation import check_namespace

    check_namespace(namespace)
    values = read_flags(flags)
    if only_output_values:
        from isthmus.install.documents import to_yaml
        from isthmus.install.values import tree

        click.echo(to_yaml(tree(values)), nl=False)
    elif dry_run and values.cluster_id and not values.lacks_ranges:
        _print(values, namespace)
    elif dry_run:
        _print(run(_completed(resolve(), values, namespace)), namespace)
    else:
        run(_install(resolve(), values, namespace, timeout))


def read_flags(flags: dict[str, Any]) -> Values:
    """The values that the flags ask for, checked. Raises InstallError."""
    from isthmus.install.assignments import parse_assignments
    from isthmus.install.documents import read_values
    from isthmus.install.values import resolve

    layers: list[tuple[str, Tree]] = [("flags", _from_flags(flags))]
    layers += [(f"--values {path}", read_values(path)) for path in flags["values"]]
    layers.append(("--set-string", parse_assignments("--set-string", flags["strings"])))
    layers.append(("--set", parse_assignments("--set", flags["assignments"])))
    return resolve(layers)


def _from_flags(flags: dict[str, Any]) -> Tree:
    from isthmus.install.assignments import parse_labels, parse_list
    from isthmus.install.validation import check_cluster_id
    from isthmus.install.values import merge

    if flags["cluster_id"] is not None:
        check_cluster_id("--cluster-id", flags["cluster_id"])
    given: tuple[tuple[str, Any], ...] = (
        ("discovery.config.clusterID", flags["cluster_id"]),
        ("discovery.config.clusterLabels", parse_labels("--cluster-labels", flags["cluster_labels"])),
        ("apiServer.address", flags["api_server_url"]),
        ("ipam.podCIDRs", parse_list(flags["pod_cidr"])),
        ("ipam.serviceCIDR", flags["service_cidr"]),
        ("ipam.reservedSubnets", parse_list(flags["reserved_subnets"])),
        ("controllerManager.image.name", flags["image"]),
        ("tag", flags["version"]),
    )
    tree: Tree = {}
    for name, value in given:
        if value:
            for part in reversed(name.split(".")):
                value = {part: value}
            tree = merge(tree, value)
    return tree


def _print(values: Values, namespace: str) -> None:
    from isthmus.install.documents import to_documents
    from isthmus.install.render import render

    click.echo(to_documents(render(values, namespace, metadata.version("isthmus"))), nl=False)


async def _completed(credentials: Credentials, values: Values, namespace: str) -> Values:
    """The values with what only the cluster can tell: its id and its ranges."""
    from isthmus.install.ranges import with_ranges
    from isthmus.install.steps import choose_cluster_id
    from isthmus.install.survey import survey

    async with connect(credentials, namespace=namespace) as cluster:
        with explained(cluster, "looking for an installation"):
            found = await survey(cluster.client, namespace)
            values = choose_cluster_id(values, found.cluster_id)
            values, guess = await with_ranges(cluster.client, values, found.values)
    if guess:
        Progress().note(guess)
    return values


async def _install(credentials: Credentials, values: Values, namespace: str, timeout: float) -> None:
    from isthmus.install.steps import install as apply

    progress, version = Progress(), metadata.version("isthmus")
    async with connect(credentials, namespace=namespace) as cluster:
        await _reach(cluster)
        with explained(cluster, "installing"):
            cluster_id = await apply(cluster.client, values, namespace, version, timeout, progress)
    progress.note(f'Isthmus {version} is ready; this cluster is "{cluster_id}"')


async def _reach(cluster: Cluster) -> None:
    # One attempt with a short limit: a wrong address should be told at once, not after every repetition.
    from isthmus.cli.installation import identify

    await identify(cluster)
