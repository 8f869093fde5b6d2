"""`isthmus offload namespace`: extend namespaces to the clusters this one is peered with.

Creates or changes the NamespaceOffloading of each namespace and waits until every selected provider has the twin
namespace. What cannot be done is told before the first namespace is touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from isthmus.api import names
from isthmus.api.offloading import NAMESPACE_OFFLOADINGS, NamespaceOffloading
from isthmus.cli import installation
from isthmus.cli.cluster import Cluster, connect, explained, step
from isthmus.cli.completed import complete_namespaces
from isthmus.cli.errors import CommandError
from isthmus.cli.execution import run
from isthmus.cli.groups import CommandGroup
from isthmus.cli.marks import mark_options, marked
from isthmus.cli.namespaces import pick_namespaces
from isthmus.cli.options import (
    cluster_options,
    examples,
    namespace_option,
    output_option,
    timeout_option,
    verbose_option,
)
from isthmus.cli.progress import Progress, Step
from isthmus.cli.selectors import parse_selectors
from isthmus.cli.tables import print_document
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.cli.writes import write
from isthmus.kube.credentials import Credentials
from isthmus.kube.objects import Manifest

MAPPING = click.Choice(["DefaultName", "EnforceSameName", "SelectedName"])
PODS = click.Choice(["LocalAndRemote", "Local", "Remote"])
UNCHANGEABLE = frozenset({"namespaceMappingStrategy", "remoteNamespaceName"})
NO_CLUSTER_PATIENCE = 3.0
"""Seconds after which a namespace that no provider is selected for is left so: a virtual node may just come."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the flags of `offload namespace` ask for."""

    spec: dict[str, Any]
    named: tuple[str, ...]
    selector: str
    output: str
    timeout: float


@click.group(cls=CommandGroup, epilog=examples("isthmus offload namespace shop"))
def offload() -> None:
    """Extend namespaces to other clusters."""


@offload.command(
    epilog=examples(
        "isthmus offload namespace shop",
        "# pods only on clusters in Europe, or on the one called milan",
        "isthmus offload namespace shop --pod-offloading-strategy Remote \\",
        "    --selector region=europe --selector liqo.io/remote-cluster-id=milan",
        "# every namespace of a team, under the same names there",
        "isthmus offload namespace --ns-selector team=blue --namespace-mapping-strategy EnforceSameName",
    )
)
@click.argument("names_", metavar="[NAMESPACE]...", nargs=-1, shell_complete=complete_namespaces)
@click.option(
    "--namespace-mapping-strategy",
    type=MAPPING,
    default=None,
    help="How the namespace is called there: NAME-CLUSTER, the same, or --remote-namespace-name. "
    "[default: DefaultName]",
)
@click.option(
    "--remote-namespace-name", metavar="NAME", default="", help="Its name there, with SelectedName."
)
@click.option(
    "--pod-offloading-strategy",
    type=PODS,
    default="LocalAndRemote",
    show_default=True,
    help="Where its pods may run.",
)
@click.option(
    "-l",
    "--selector",
    "selectors",
    metavar="SELECTOR",
    multiple=True,
    help="Labels of the virtual nodes to extend to; repeatable, any of them suffices.",
)
@click.option("--ns-selector", metavar="SELECTOR", default="", help="Labels of the namespaces to extend.")
@cluster_options
@namespace_option
@output_option
@timeout_option("20s")
@mark_options
@verbose_option
def namespace(credentials: Credentials, namespace: str, **flags: Any) -> None:
    """Extend namespaces to other clusters.

    Each provider that is selected gets a twin of the namespace. Pods created from then on may be scheduled to the
    virtual nodes; pods that run already stay where they are.
    """
    wish = Wish(
        read_spec(
            flags["namespace_mapping_strategy"],
            flags["remote_namespace_name"],
            flags["pod_offloading_strategy"],
            flags["selectors"],
        ),
        flags["names_"],
        flags["ns_selector"],
        flags["output"],
        flags["timeout"],
    )
    run(_offload(credentials, namespace, wish))


def read_spec(mapping: str | None, remote_name: str, pods: str, selectors: tuple[str, ...]) -> dict[str, Any]:
    """The spec of a NamespaceOffloading, as the flags have it; without a mapping (`None`) the present one stays.

    Raises CommandError where the flags contradict each other.
    """
    if mapping == "SelectedName" and not remote_name:
        raise CommandError(
            "--namespace-mapping-strategy SelectedName needs a name",
            "add --remote-namespace-name NAME",
            code=2,
        )
    if remote_name and mapping != "SelectedName":
        raise CommandError(
            f'--remote-namespace-name "{remote_name}" is not used with --namespace-mapping-strategy '
            f"{mapping or 'DefaultName'}",
            "add --namespace-mapping-strategy SelectedName",
            code=2,
        )
    if remote_name and not names.is_dns_label(remote_name):
        raise CommandError(
            f'--remote-namespace-name "{remote_name}" cannot be the name of a namespace: it is not a valid DNS label',
            code=2,
        )
    spec: dict[str, Any] = {"podOffloadingStrategy": pods}
    if mapping:
        spec["namespaceMappingStrategy"] = mapping
    if remote_name:
        spec["remoteNamespaceName"] = remote_name
    try:
        selector = parse_selectors(selectors)
    except ValueError as error:
        raise CommandError(f"--selector {error}", code=2) from error
    if selector is not None:
        spec["clusterSelector"] = selector
    return spec


def forge_offloading(namespace: str, spec: dict[str, Any]) -> Manifest:
    """The NamespaceOffloading of a namespace."""
    return {
        "apiVersion": NAMESPACE_OFFLOADINGS.api_version,
        "kind": NAMESPACE_OFFLOADINGS.kind,
        "metadata": {"name": names.NAMESPACE_OFFLOADING, "namespace": namespace},
        "spec": spec,
    }


async def _offload(credentials: Credentials, liqo_namespace: str, wish: Wish) -> None:
    progress, deadline = Progress(), Deadline(wish.timeout)
    async with connect(credentials, "local", liqo_namespace) as cluster:
        await installation.check_kinds(cluster, {"offloading.liqo.io/v1beta1": ("namespaceoffloadings",)})
        await installation.read_cluster_id(cluster)
        picked = await pick_namespaces(cluster, wish.named, wish.selector, offloadable=True)
        if len(picked) > 1 and wish.spec.get("remoteNamespaceName"):
            raise CommandError(
                f'--remote-namespace-name "{wish.spec["remoteNamespaceName"]}" cannot be the name of '
                f"{len(picked)} namespaces ({', '.join(picked)})",
                "offload one at a time",
            )
        for name in picked:
            await _check_changeable(cluster, name, wish.spec)
        manifests = [forge_offloading(name, wish.spec) for name in picked]
        if wish.output:
            shown = [marked(NAMESPACE_OFFLOADINGS, one) for one in manifests]
            print_document(shown[0] if len(shown) == 1 else as_list(shown), wish.output)
            return
        for name, manifest in zip(picked, manifests, strict=True):
            with step(progress, f"Namespace {name}", cluster) as current:
                await write(cluster.client, NAMESPACE_OFFLOADINGS, manifest, deadline, kept=UNCHANGEABLE)
                found = await _await_outcome(cluster, name, deadline, current)
                current.title = _describe(name, found)
            _judge(cluster, name, found, progress)


def as_list(manifests: list[Manifest]) -> Manifest:
    """Several manifests as one document."""
    return {"apiVersion": "v1", "kind": "List", "items": manifests}


async def _check_changeable(cluster: Cluster, namespace: str, spec: dict[str, Any]) -> None:
    """Refuse to change what cannot be changed (behaviour 7), before any namespace is touched."""
    with explained(cluster, "reading the NamespaceOffloading"):
        found = await cluster.client.find(NAMESPACE_OFFLOADINGS, names.NAMESPACE_OFFLOADING, namespace)
    if found is None or found.deleting:
        return
    for flag, before, wanted in (
        (
            "--namespace-mapping-strategy",
            found.spec.namespace_mapping_strategy,
            spec.get("namespaceMappingStrategy"),
        ),
        ("--remote-namespace-name", found.spec.remote_namespace_name, spec.get("remoteNamespaceName")),
    ):
        if wanted is not None and before != wanted:
            raise CommandError(
                f'{flag} "{wanted}": namespace "{namespace}" is offloaded with "{before}" already, and this '
                "cannot be changed",
                f"isthmus unoffload namespace {namespace}, then offload it anew",
            )


async def _await_outcome(
    cluster: Cluster, namespace: str, deadline: Deadline, current: Step
) -> NamespaceOffloading:
    """Wait until the providers have the namespace, have failed to, or none turns out to be selected."""
    patience = deadline.within(NO_CLUSTER_PATIENCE)

    async def read() -> NamespaceOffloading | None:
        found = await cluster.client.find(NAMESPACE_OFFLOADINGS, names.NAMESPACE_OFFLOADING, namespace)
        if found is None or found.status.observed_generation < found.metadata.generation:
            return None
        phase = found.status.offloading_phase
        current.update("; ".join(failures(found)) or phase)
        if phase == "NoClusterSelected":
            return found if patience.left() == 0 else None
        # A failure is final only at the deadline: the provider tries again and again.
        return found if phase == "Ready" else None

    return await wait_for(
        read,
        deadline,
        current,
        f'namespace "{namespace}" of {cluster.title} was not Ready everywhere',
        "see kubectl describe namespaceoffloading -n " + namespace,
    )


def failures(found: NamespaceOffloading) -> list[str]:
    """What the providers say that do not have the namespace, one sentence each."""
    return [
        f"{provider}: {condition.reason}: {condition.message}"
        for provider, conditions in found.status.remote_namespaces_conditions.items()
        for condition in conditions
        if condition.type == "Ready" and condition.status != "True"
    ]


def _describe(namespace: str, found: NamespaceOffloading) -> str:
    providers = [
        provider
        for provider, conditions in found.status.remote_namespaces_conditions.items()
        if any(condition.type == "Ready" and condition.status == "True" for condition in conditions)
    ]
    if not providers:
        return f"Namespace {namespace} marked for offloading"
    return f"Namespace {namespace} is {found.status.remote_namespace_name} on {', '.join(providers)}"


def _judge(cluster: Cluster, namespace: str, found: NamespaceOffloading, progress: Progress) -> None:
    if found.status.offloading_phase == "NoClusterSelected":
        selected = (
            "no provider has labels that --selector asks for"
            if found.spec.cluster_selector
            else "none is peered"
        )
        progress.warn(
            f'namespace "{namespace}" is extended to no cluster yet: {selected}; it will be as soon as one '
            "matches (isthmus peer)",
            cluster.tag,
        )


# As kubectl has it.
offload.add_command(namespace, "ns")
