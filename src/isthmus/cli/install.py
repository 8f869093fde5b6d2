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
from isthmus.cli.install_options import install_options, read_checks, read_flags
from isthmus.cli.install_providers import PROVIDERS, Provider, WithProviders
from isthmus.cli.options import examples
from isthmus.cli.progress import Progress
from isthmus.kube.credentials import Credentials

if TYPE_CHECKING:
    from isthmus.install.prechecks import Checks
    from isthmus.install.values import Values


@contextmanager
def told() -> Iterator[None]:
    """Turn what stops an installation into what a command tells."""
    from isthmus.install.errors import InstallError

    try:
        yield
    except InstallError as error:
        raise CommandError(error.problem, error.mend) from error


@click.group(
    cls=WithProviders,
    invoke_without_command=True,
    epilog=examples(
        "isthmus install --cluster-id rome",
        "# at another address than the one in the kubeconfig, with a region to select by",
        "isthmus install --cluster-id rome --api-server-url https://203.0.113.5:6443 \\",
        "    --cluster-labels region=eu",
        "# in a managed cluster, where a provider's name is all that there is to say",
        "isthmus install aks --cluster-id rome",
        "# only look at what would be applied, or keep it in git",
        "isthmus install --cluster-id rome --dry-run > isthmus.yaml",
        "# consumers of this cluster have to stay within what they were granted",
        "isthmus install --set controllerManager.config.defaultLimitsEnforcement=Hard",
    ),
)
@install_options
def install(resolve: Callable[[], Credentials], namespace: str, **flags: Any) -> None:
    """Install Isthmus in a cluster, or upgrade it.

    Running it again upgrades, and goes on where a run was cut off; the cluster id stays what it is. Values not given
    again go back to their defaults.
    """
    if click.get_current_context().invoked_subcommand is None:
        with told():
            _dispatch(resolve, namespace, flags, Provider("", ""))


def _add(provider: Provider) -> None:
    @provider.options
    @install_options
    def command(resolve: Callable[[], Credentials], namespace: str, **flags: Any) -> None:
        with told():
            _dispatch(resolve, namespace, flags, provider)

    install.command(
        provider.name, short_help=provider.title, help=provider.help, epilog=examples(*provider.examples)
    )(command)


for _provider in PROVIDERS:
    _add(_provider)


def _dispatch(
    resolve: Callable[[], Credentials], namespace: str, flags: dict[str, Any], provider: Provider
) -> None:
    from isthmus.install.validation import check_namespace

    check_namespace(namespace)
    if flags["dump_values_path"] and not flags["only_output_values"]:
        raise click.UsageError(
            f'--dump-values-path "{flags["dump_values_path"]}" says where --only-output-values writes: add that too'
        )
    values = read_flags(flags, provider.values(flags))
    for text in provider.notes(flags):
        Progress().note(text)
    if flags["only_output_values"]:
        _output(values, flags["dump_values_path"])
    elif flags["dry_run"] and values.cluster_id and not values.lacks_ranges:
        _print(values, namespace)
    elif flags["dry_run"]:
        _print(run(_completed(resolve(), values, namespace)), namespace)
    else:
        run(_install(resolve(), values, namespace, flags["timeout"], read_checks(flags)))


def _output(values: Values, path: Path | None) -> None:
    from isthmus.install.documents import to_yaml
    from isthmus.install.values import tree

    text = to_yaml(tree(values))
    if path is None:
        click.echo(text, nl=False)
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"--dump-values-path {path}: {error.strerror or error}", "give a file that can be written"
        ) from error
    Progress().note(f"values written to {path}: isthmus install --values {path}")


def _print(values: Values, namespace: str) -> None:
    from isthmus.install.documents import to_documents
    from isthmus.install.render import render

    click.echo(to_documents(render(values, namespace, metadata.version("isthmus"))), nl=False)


async def _completed(credentials: Credentials, values: Values, namespace: str) -> Values:
    """The values with what only the cluster can tell."""
    from isthmus.install.steps import complete
    from isthmus.install.survey import survey

    async with connect(credentials, namespace=namespace) as cluster:
        with explained(cluster, "looking for an installation"):
            found = await survey(cluster.client, namespace)
            values, told = await complete(cluster.client, values, found)
    for text in told:
        Progress().note(text)
    return values


async def _install(
    credentials: Credentials, values: Values, namespace: str, timeout: float, checks: Checks
) -> None:
    from isthmus.install.steps import install as apply

    progress, version = Progress(), metadata.version("isthmus")
    async with connect(credentials, namespace=namespace) as cluster:
        await _reach(cluster)
        with explained(cluster, "installing"):
            cluster_id = await apply(cluster.client, values, namespace, version, timeout, progress, checks)
    progress.note(f'Isthmus {version} is ready; this cluster is "{cluster_id}"')


async def _reach(cluster: Cluster) -> None:
    # One attempt with a short limit: a wrong address should be told at once, not after every repetition.
    from isthmus.cli.installation import identify

    await identify(cluster)
