"""What may be said to `isthmus install`: its flags, and the values that they stand for.

Flags of liqoctl that cannot be honoured are known here, so that each gets an error that says what to do instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isthmus.cli.marks import mark_options, present_marks
from isthmus.cli.options import deferred_cluster_options, namespace_option, timeout_option, verbose_option

if TYPE_CHECKING:
    from isthmus.install.prechecks import Checks
    from isthmus.install.values import Tree, Values

NO_CHART = "there is no Helm chart, what is installed comes with this command"


def refused_option(flag: str, problem: str, mend: str, *, is_switch: bool = False) -> Callable[[Any], Any]:
    """A flag of liqoctl that cannot be honoured: giving it is an error that says why and what to do. It is not
    listed in the help. Its value is not shown, for it may be a secret."""

    def refuse(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value and not context.resilient_parsing:
            raise click.UsageError(f"{flag}: {problem}: {mend}", context)

    return click.option(flag, is_flag=is_switch, hidden=True, expose_value=False, callback=refuse)


def install_options(command: Any) -> Any:
    """All the flags of an installation; the command takes `resolve`, `namespace` and `**flags`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_FILE = click.Path(path_type=Path)
_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    deferred_cluster_options,
    namespace_option,
    click.option("--cluster-id", metavar="ID", help="Id of this cluster, a DNS label; random if left out."),
    click.option(
        "--cluster-labels", metavar="KEY=VALUE", multiple=True, help="Labels peers see on the virtual node."
    ),
    click.option(
        "--api-server-url", metavar="URL", help="Where peers reach the API server (default: auto-detected)."
    ),
    click.option(
        "--pod-cidr", metavar="CIDR", multiple=True, help="Range of the pods; found out if left out."
    ),
    click.option("--service-cidr", metavar="CIDR", help="Range of the Services; found out if left out."),
    click.option(
        "--reserved-subnets", metavar="CIDR", multiple=True, help="CIDRs excluded from remapping (repeatable)."
    ),
    click.option("--version", metavar="TAG", help="Tag of the image to run."),
    click.option("--image", metavar="NAME[:TAG]", help="Image to run."),
    click.option(
        "--enable-metrics",
        is_flag=True,
        help="Gateways have a Service for their metrics, and a ServiceMonitor where those are known.",
    ),
    click.option(
        "--values", metavar="FILE", multiple=True, type=_FILE,
        help="YAML file with values; wins over the flags above.",
    ),
    click.option(
        "--set", "assignments", metavar="NAME=VALUE", multiple=True, help="One value; wins over everything."
    ),
    click.option("--set-string", "strings", metavar="NAME=VALUE", multiple=True, hidden=True),
    click.option("--only-output-values", is_flag=True, help="Print the values and do nothing."),
    click.option(
        "--dump-values-path", metavar="FILE", type=_FILE, help="Where --only-output-values writes them instead."
    ),
    click.option("--dry-run", is_flag=True, help="Print the manifests and do nothing."),
    click.option(
        "--skip-validation", is_flag=True, help="Do not compare addresses of pods and Services with the ranges."
    ),
    click.option(
        "--disable-api-server-sanity-check", is_flag=True, help="Do not ask the address that peers are given."
    ),
    click.option(
        "--disable-kernel-version-check", is_flag=True, help="Do not ask for Linux 5.10 or later on every node."
    ),
    # There is no telemetry to disable.
    click.option("--disable-telemetry", is_flag=True, hidden=True, expose_value=False),
    refused_option("--repo-url", NO_CHART, "leave it out; --image and --version choose what runs"),
    refused_option(
        "--local-chart-path", NO_CHART, "leave it out; --values takes a file with values of the chart"
    ),
    timeout_option("10m"),
    mark_options,
    verbose_option,
)  # fmt: skip


def read_flags(flags: Mapping[str, Any], provided: Tree) -> Values:
    """The values that the flags ask for over those of a provider, checked. Raises InstallError."""
    from isthmus.install.assignments import parse_assignments
    from isthmus.install.documents import read_values
    from isthmus.install.values import resolve

    layers: list[tuple[str, Tree]] = [("provider", provided), ("flags", _from_flags(flags))]
    layers += [(f"--values {path}", read_values(path)) for path in flags["values"]]
    layers.append(("--set-string", parse_assignments("--set-string", flags["strings"])))
    layers.append(("--set", parse_assignments("--set", flags["assignments"])))
    return resolve(layers)


def read_checks(flags: Mapping[str, Any]) -> Checks:
    """Which checks the flags leave on."""
    from isthmus.install.prechecks import Checks

    return Checks(
        ranges=not flags["skip_validation"], api_server=not flags["disable_api_server_sanity_check"]
    )


def _from_flags(flags: Mapping[str, Any]) -> Tree:
    from isthmus.install.assignments import parse_labels, parse_list
    from isthmus.install.validation import check_cluster_id
    from isthmus.install.values import merge

    if flags["cluster_id"] is not None:
        check_cluster_id("--cluster-id", flags["cluster_id"])
    marks = present_marks()
    given: tuple[tuple[str, Any], ...] = (
        ("discovery.config.clusterID", flags["cluster_id"]),
        ("discovery.config.clusterLabels", parse_labels("--cluster-labels", flags["cluster_labels"])),
        ("apiServer.address", flags["api_server_url"]),
        ("ipam.podCIDRs", parse_list(flags["pod_cidr"])),
        ("ipam.serviceCIDR", flags["service_cidr"]),
        ("ipam.reservedSubnets", parse_list(flags["reserved_subnets"])),
        ("controllerManager.image.name", flags["image"]),
        ("tag", flags["version"]),
        ("metrics", flags["enable_metrics"] and {"enabled": True, "prometheusOperator": {"enabled": True}}),
        ("requirements.kernel", flags["disable_kernel_version_check"] and {"enabled": False}),
        ("common.globalLabels", marks.labels),
        ("common.globalAnnotations", marks.annotations),
    )
    tree: Tree = {}
    for name, value in given:
        if value:
            for part in reversed(name.split(".")):
                value = {part: value}
            tree = merge(tree, value)
    return tree
