"""`isthmus create virtualnode`: a virtual node of a granted slice, or of a kubeconfig the user brought."""

from __future__ import annotations

from typing import Any

import click

from isthmus.api import labels, names
from isthmus.api.authentication import RESOURCE_SLICES
from isthmus.api.offloading import VIRTUAL_NODES, VK_OPTIONS_TEMPLATES
from isthmus.cli.cluster import explained, step
from isthmus.cli.create_options import created, named
from isthmus.cli.errors import MISUSED, CommandError
from isthmus.cli.execution import run
from isthmus.cli.manual import Site, open_site, print_manifest, require_namespace
from isthmus.cli.options import examples, switch_option
from isthmus.cli.parameters import Assignment, Count, Quantity, is_label_key
from isthmus.cli.progress import Progress
from isthmus.cli.resources import await_virtual_node, merge_resources
from isthmus.cli.waiting import Deadline
from isthmus.cli.writes import write
from isthmus.kube.builtin import SECRETS
from isthmus.kube.credentials import Credentials
from isthmus.kube.objects import Manifest
from isthmus.offloading.slices import forge_virtual_node, is_granted, is_own

CLASSES = (
    ("storage_classes", "storageClasses", "storageClassName"),
    ("ingress_classes", "ingressClasses", "ingressClassName"),
    ("load_balancer_classes", "loadBalancerClasses", "loadBalancerClassName"),
)
"""Each parameter, its field of the spec, and the field that names a class; the first given is the default."""


@click.command(
    epilog=examples(
        "isthmus create virtualnode milan --remote-cluster-id milan --resource-slice-name milan",
        "# with a kubeconfig you made, kept under key kubeconfig of a Secret in the tenant namespace",
        "isthmus create virtualnode milan --remote-cluster-id milan --kubeconfig-secret-name mine --cpu 8",
    )
)
@named("virtual node")
@click.option("--resource-slice-name", metavar="NAME", default="", help="Slice to take resources from.")
@click.option("--kubeconfig-secret-name", metavar="NAME", default="", help="Secret with the kubeconfig.")
@click.option("--cpu", type=Quantity(), help="CPUs of the node. [default: 2, or the slice's]")
@click.option("--memory", type=Quantity(), help="Memory of the node. [default: 4Gi, or the slice's]")
@click.option("--pods", type=Count(), help="Pods of the node. [default: 110, or the slice's]")
@click.option("--resource", type=Assignment(), multiple=True, help="Any other resource; repeatable.")
@switch_option("--create-node", True, "Make a Node; without, only Services and the like are reflected.")
@click.option("--disable-network-check", is_flag=True, help="Report Ready even when the tunnel is down.")
@click.option("--labels", "labels_", metavar="KEY=VALUE,...", multiple=True, help="Labels of the node.")
@click.option(
    "--node-selector", metavar="KEY=VALUE,...", multiple=True, help="Which nodes of the provider to use."
)
@click.option("--runtime-class-name", metavar="NAME", default="", help="Runtime class of its pods there.")
@click.option("--storage-classes", metavar="NAME,...", multiple=True, help="The first is the default.")
@click.option("--ingress-classes", metavar="NAME,...", multiple=True, help="The first is the default.")
@click.option("--load-balancer-classes", metavar="NAME,...", multiple=True, help="The first is the default.")
@click.option("--vk-options-template", metavar="NAMESPACE/NAME", default="", help="Template of its defaults.")
@switch_option("--wait", True, "Wait until the node is Ready.")
@created
def virtualnode(credentials: Credentials, **flags: Any) -> None:
    """Create a virtual node of a provider's resources.

    Give either --resource-slice-name, which brings the kubeconfig and all that was granted, or
    --kubeconfig-secret-name.
    """
    slice_, secret = flags["resource_slice_name"], flags["kubeconfig_secret_name"]
    if bool(slice_) == bool(secret):
        given = "both are given" if slice_ else "neither is given"
        raise CommandError(
            f"--resource-slice-name and --kubeconfig-secret-name: {given}", "give just one", code=MISUSED
        )
    overrides = read_overrides(flags)
    run(_virtualnode(credentials, overrides, flags))


def read_overrides(flags: dict[str, Any]) -> Manifest:
    """What the flags say of the spec. Raises CommandError (exit code 2) for what cannot be."""
    spec: Manifest = {"createNode": flags["create_node"]}
    if flags["disable_network_check"]:
        spec["disableNetworkCheck"] = True
    hard = merge_resources(flags["cpu"], flags["memory"], flags["pods"], flags["resource"])
    if hard:
        spec["resourceQuota"] = {"hard": hard}
    if found := read_pairs("--labels", flags["labels_"]):
        spec["labels"] = found
    patch: Manifest = {}
    if selector := read_pairs("--node-selector", flags["node_selector"]):
        patch["nodeSelector"] = selector
    if flags["runtime_class_name"]:
        patch["runtimeClassName"] = flags["runtime_class_name"]
    if patch:
        spec["offloadingPatch"] = patch
    for parameter, field, key in CLASSES:
        chosen = [name for text in flags[parameter] for name in text.split(",") if name]
        if chosen:
            spec[field] = [{key: name, **({"default": True} if name == chosen[0] else {})} for name in chosen]
    if template := flags["vk_options_template"]:
        namespace, slash, name = template.partition("/")
        if not (namespace and slash and name):
            raise CommandError(
                f'--vk-options-template "{template}" names no template', "write NAMESPACE/NAME", code=MISUSED
            )
        spec["vkOptionsTemplateRef"] = {
            "apiVersion": VK_OPTIONS_TEMPLATES.api_version,
            "kind": VK_OPTIONS_TEMPLATES.kind,
            "namespace": namespace,
            "name": name,
        }
    return spec


def read_pairs(flag: str, texts: tuple[str, ...]) -> dict[str, str]:
    """`key=value,key=value`, given once or more. Raises CommandError (exit code 2)."""
    found: dict[str, str] = {}
    for part in [part for text in texts for part in text.split(",") if part]:
        key, equals, value = part.partition("=")
        if not equals or not is_label_key(key):
            raise CommandError(
                f'{flag} "{part}" is not a valid label',
                "write key=value, for instance region=europe",
                code=MISUSED,
            )
        found[key] = value
    return found


async def _virtualnode(credentials: Credentials, overrides: Manifest, flags: dict[str, Any]) -> None:
    progress, deadline = Progress(), Deadline(flags["timeout"])
    provider = flags["remote_cluster_id"]
    async with open_site(credentials, flags["namespace"], provider, flags["tenant_namespace"]) as site:
        require_namespace(site)
        if slice_ := flags["resource_slice_name"]:
            manifest = await _of_slice(site, slice_, flags["name"] or slice_)
        else:
            manifest = await _of_secret(site, flags["kubeconfig_secret_name"], flags["name"] or provider)
        spec = manifest["spec"]
        hard = spec["resourceQuota"]["hard"] | overrides.get("resourceQuota", {}).get("hard", {})
        spec |= overrides | {"resourceQuota": {"hard": hard}}
        if flags["output"]:
            print_manifest(VIRTUAL_NODES, manifest, flags["output"])
            return
        name = manifest["metadata"]["name"]
        with step(progress, f"Virtual node {name}", site.cluster):
            await write(site.cluster.client, VIRTUAL_NODES, manifest, deadline)
        if flags["wait"]:
            await await_virtual_node(site.cluster, site.namespace, name, progress, deadline)
    click.echo(f"virtual node {name} of {provider} is there")


async def _of_slice(site: Site, slice_: str, name: str) -> Manifest:
    """The virtual node of a granted slice, with what the controller would give it."""
    cluster = site.cluster
    with explained(cluster, "reading the resource slice"):
        found = await cluster.client.find(RESOURCE_SLICES, slice_, site.namespace)
    if found is None or not is_own(found):
        raise CommandError(
            f'--resource-slice-name "{slice_}": {cluster.title} has no such slice in {site.namespace}',
            f"run isthmus create resourceslice {slice_} --remote-cluster-id {site.peer}",
        )
    if not is_granted(found):
        raise CommandError(
            f'--resource-slice-name "{slice_}": {site.peer} has not granted it',
            f"see isthmus get resourceslice --remote-cluster-id {site.peer}",
        )
    secret = names.kubeconfig_secret(names.resource_slice_identity(slice_))
    await _require_secret(site, secret)
    manifest = forge_virtual_node(found, secret)
    metadata = manifest["metadata"]
    metadata["name"] = name
    # It goes with the slice, but whoever made it by hand rules it: the slices' controller leaves it alone.
    for owner in metadata["ownerReferences"]:
        owner.pop("controller")
        owner.pop("blockOwnerDeletion")
    manifest["spec"].setdefault("resourceQuota", {"hard": {}})
    return manifest


async def _of_secret(site: Site, secret: str, name: str) -> Manifest:
    await _require_secret(site, secret)
    return {
        "metadata": {
            "name": name,
            "namespace": site.namespace,
            "labels": {labels.REMOTE_CLUSTER_ID: site.peer},
        },
        "spec": {
            "clusterID": site.peer,
            "kubeconfigSecretRef": {"name": secret},
            "resourceQuota": {"hard": {"cpu": "2", "memory": "4Gi", "pods": "110"}},
        },
    }


async def _require_secret(site: Site, name: str) -> None:
    with explained(site.cluster, "reading the kubeconfig's Secret"):
        found = await site.cluster.client.find(SECRETS, name, site.namespace)
    if found is None or not found.data.get("kubeconfig"):
        raise CommandError(
            f"Secret {site.namespace}/{name} with key kubeconfig is not in {site.cluster.title}",
            "create it, or name another with --kubeconfig-secret-name",
        )
