"""`isthmus create`: one object of a peering at a time, in this cluster alone.

What needs the other cluster's word (addresses, ranges, keys) is given by flags. Running a command again changes what
its flags say and leaves the rest; with `-o` nothing is written. The objects of the tunnel are in create_network.py,
virtual nodes in create_node.py.
"""

from __future__ import annotations

from typing import Any

import click

from isthmus.api.authentication import RESOURCE_SLICES
from isthmus.cli.authentication import obtain_nonce
from isthmus.cli.create_network import configuration, gatewayclient, gatewayserver, publickey
from isthmus.cli.create_node import virtualnode
from isthmus.cli.create_options import created, named
from isthmus.cli.errors import MISUSED, CommandError
from isthmus.cli.execution import run
from isthmus.cli.groups import CommandGroup
from isthmus.cli.manual import make_namespace, open_site, print_manifest, require_namespace
from isthmus.cli.options import examples, switch_option
from isthmus.cli.parameters import Assignment, Count, Quantity
from isthmus.cli.progress import Progress
from isthmus.cli.resources import (
    FILLED_BY_CONTROLLER,
    Provider,
    Request,
    await_virtual_node,
    merge_resources,
    request_resources,
)
from isthmus.cli.waiting import Deadline
from isthmus.cli.writes import write
from isthmus.kube.builtin import SECRETS
from isthmus.kube.credentials import Credentials
from isthmus.peering.handshake import MAXIMUM_SLICE_NAME, forge_nonce_secret, forge_resource_slice


@click.group(
    cls=CommandGroup,
    epilog=examples(
        "isthmus create nonce --remote-cluster-id rome",
        "isthmus create resourceslice milan --remote-cluster-id milan --cpu 8 --memory 16Gi",
        "isthmus create virtualnode gpu --remote-cluster-id milan --resource-slice-name gpu",
    ),
)
def create() -> None:
    """Create one object of a peering, in this cluster."""


for _each in (configuration, gatewayserver, gatewayclient, publickey, virtualnode):
    create.add_command(_each)


@create.command(
    epilog=examples(
        "isthmus create nonce --remote-cluster-id rome",
        "isthmus get nonce --remote-cluster-id rome",
    )
)
@switch_option("--wait", True, "Wait until it can be read.")
@created
def nonce(credentials: Credentials, **flags: Any) -> None:
    """Create the nonce a consumer has to sign.

    Run it in the provider: first step of a peering of two operators who do not share access. The tenant namespace is
    made where it is not there yet. A nonce that is there already stays.
    """
    run(_nonce(credentials, flags))


async def _nonce(credentials: Credentials, flags: dict[str, Any]) -> None:
    progress, deadline = Progress(), Deadline(flags["timeout"])
    consumer = flags["remote_cluster_id"]
    async with open_site(credentials, flags["namespace"], consumer, flags["tenant_namespace"]) as site:
        if flags["output"]:
            print_manifest(SECRETS, forge_nonce_secret(consumer, site.namespace), flags["output"])
            return
        await make_namespace(site, progress)
        if not flags["wait"]:
            await write(site.cluster.client, SECRETS, forge_nonce_secret(consumer, site.namespace), deadline)
            click.echo(f"the nonce for {consumer} is asked for")
            return
        await obtain_nonce(site.cluster, consumer, site.namespace, progress, deadline)
    click.echo(f"{consumer} can sign what isthmus get nonce --remote-cluster-id {consumer} prints")


@create.command(
    epilog=examples(
        "isthmus create resourceslice milan --remote-cluster-id milan",
        "# a second share with a GPU, as a node of its own",
        "isthmus create resourceslice gpu --remote-cluster-id milan --resource nvidia.com/gpu=1",
    )
)
@named("slice")
@click.option("--class", "class_", metavar="NAME", default="default", show_default=True, help="Class.")
@click.option("--cpu", type=Quantity(), help="CPUs to ask for. [default: the provider's]")
@click.option("--memory", type=Quantity(), help="Memory to ask for. [default: the provider's]")
@click.option("--pods", type=Count(), help="Pods to ask for. [default: the provider's]")
@click.option("--resource", type=Assignment(), multiple=True, help="Any other resource; repeatable.")
@click.option("--no-virtual-node", is_flag=True, help="Make no virtual node of the resources.")
@switch_option("--wait", True, "Wait until it is decided on and the virtual node is Ready.")
@created
def resourceslice(credentials: Credentials, **flags: Any) -> None:
    """Ask a provider for resources.

    The cluster must be authenticated with the provider. Waits until it has decided and, unless --no-virtual-node is
    given, until the virtual node is Ready.
    """
    name = flags["name"] or flags["remote_cluster_id"]
    if len(name) > MAXIMUM_SLICE_NAME:
        raise CommandError(
            f'the name "{name}" has {len(name)} characters',
            f"a slice's name has {MAXIMUM_SLICE_NAME} at most",
            code=MISUSED,
        )
    resources = merge_resources(flags["cpu"], flags["memory"], flags["pods"], flags["resource"])
    request = Request(flags["class_"], resources, not flags["no_virtual_node"], name)
    run(_resourceslice(credentials, request, flags))


async def _resourceslice(credentials: Credentials, request: Request, flags: dict[str, Any]) -> None:
    progress, deadline = Progress(), Deadline(flags["timeout"])
    provider = flags["remote_cluster_id"]
    async with open_site(credentials, flags["namespace"], provider, flags["tenant_namespace"]) as site:
        manifest = forge_resource_slice(
            provider,
            site.namespace,
            name=request.name,
            class_=request.class_,
            resources=request.resources,
            create_virtual_node=request.create_virtual_node,
        )
        if flags["output"]:
            print_manifest(RESOURCE_SLICES, manifest, flags["output"])
            return
        require_namespace(site)
        if not flags["wait"]:
            await write(site.cluster.client, RESOURCE_SLICES, manifest, deadline, kept=FILLED_BY_CONTROLLER)
            click.echo(f"resource slice {request.name} of {provider} is asked for")
            return
        whom = Provider(site.cluster, site.namespace, provider)
        granted = await request_resources(whom, request, progress, deadline)
        if granted and request.create_virtual_node:
            await await_virtual_node(site.cluster, site.namespace, request.name, progress, deadline)
    click.echo(f"resource slice {request.name} of {provider} is {'granted' if granted else 'asked for'}")
