"""`isthmus create configuration|gatewayserver|gatewayclient|publickey`: one end of a tunnel, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from isthmus.api import labels
from isthmus.api.cidr import parse_address
from isthmus.api.networking import (
    CONFIGURATIONS,
    GATEWAY_CLIENTS,
    GATEWAY_SERVERS,
    PUBLIC_KEYS,
    Cidrs,
    Endpoint,
    ServerEndpoint,
)
from isthmus.cli.cluster import step
from isthmus.cli.create_options import created, named
from isthmus.cli.errors import MISUSED, CommandError
from isthmus.cli.execution import run
from isthmus.cli.manual import Site, make_namespace, open_site, print_manifest
from isthmus.cli.network_check import End
from isthmus.cli.network_connect import await_address, await_pods, await_ranges
from isthmus.cli.network_keys import KEY_BYTES, is_key
from isthmus.cli.network_options import PORT, check_mtu
from isthmus.cli.network_plan import (
    CLIENT_TEMPLATE,
    CLIENT_TYPE,
    KEPT_OF_CLIENT,
    KEPT_OF_CONFIGURATION,
    KEPT_OF_SERVER,
    SERVER_PORT,
    SERVER_TEMPLATE,
    SERVER_TYPE,
    SERVICE_TYPE,
    Template,
    forge_client,
    forge_configuration,
    forge_public_key,
    forge_server,
    forge_template_reference,
)
from isthmus.cli.options import examples, switch_option
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline
from isthmus.cli.writes import write
from isthmus.kube.credentials import Credentials
from isthmus.kube.objects import Manifest
from isthmus.kube.resource import Resource
from isthmus.network.configuration.validation import AnnouncementError, require_ranges
from isthmus.network.gateways.objects import DEFAULT_MTU
from isthmus.network.gateways.requests import is_host

F = TypeVar("F", bound=Callable[..., Any])

_wait = switch_option("--wait", False, "Wait until it does what it is for.")
_mtu = click.option("--mtu", type=int, metavar="BYTES", default=DEFAULT_MTU, show_default=True, help="MTU.")


def _template_options(default: Template, type_: str) -> Callable[[F], F]:
    def add(command: F) -> F:
        command = click.option(
            "--type",
            "type_",
            type=click.Choice([type_]),
            metavar="GROUP/VERSION/RESOURCE",
            default=type_,
            expose_value=False,
            help="Kind of its template; there is one.",
        )(command)
        name = click.option(
            "--template-name", metavar="NAME", default=default.name, show_default=True, help="Its template."
        )
        namespace = click.option(
            "--template-namespace", metavar="NAME", default="", help="[default: the installation's]"
        )
        return name(namespace(command))

    return add


async def _put(
    site: Site,
    resource: Resource[Any],
    manifest: Manifest,
    flags: dict[str, Any],
    kept: frozenset[str],
    progress: Progress,
    deadline: Deadline,
) -> bool:
    """Write the object, or print it with `-o`; False where it was printed only."""
    if flags["output"]:
        print_manifest(resource, manifest, flags["output"])
        return False
    await make_namespace(site, progress)
    with step(progress, f"{resource.kind} {site.namespace}/{manifest['metadata']['name']}", site.cluster):
        await _refuse_second(site, resource, manifest["metadata"]["name"])
        await write(site.cluster.client, resource, manifest, deadline, kept=kept)
    return True


async def _refuse_second(site: Site, resource: Resource[Any], name: str) -> None:
    """A peer has one object of a kind: the controllers find it by its label (wire.md 1.1)."""
    selector = f"{labels.REMOTE_CLUSTER_ID}={site.peer}"
    page = await site.cluster.client.list(resource.partial(), site.namespace, label_selector=selector)
    others = [one.metadata.name for one in page.items if one.metadata.name != name]
    if others:
        raise CommandError(
            f"{resource.kind} {site.namespace}/{others[0]} is for {site.peer} already, and a peer has one",
            f"change that one by its name, or delete it with isthmus delete {resource.kind.lower()} {others[0]}",
        )


def _end(site: Site) -> End:
    return End(site.cluster, site.peer, site.namespace)


@click.command(
    epilog=examples(
        "isthmus create configuration --remote-cluster-id milan --remote-pod-cidr 10.244.0.0/16 \\",
        "    --remote-external-cidr 10.70.0.0/16 --wait",
    )
)
@named("Configuration")
@click.option(
    "--pod-cidr",
    "--remote-pod-cidr",
    "remote_pod_cidr",
    metavar="CIDR",
    multiple=True,
    required=True,
    help="Pod CIDR of the remote cluster (repeatable).",
)
@click.option(
    "--external-cidr",
    "--remote-external-cidr",
    "remote_external_cidr",
    metavar="CIDR",
    multiple=True,
    required=True,
    help="External CIDR of the remote cluster (repeatable).",
)
@_wait
@created
def configuration(credentials: Credentials, **flags: Any) -> None:
    """Tell this cluster the address ranges of another."""
    ranges = Cidrs(pod=list(flags["remote_pod_cidr"]), external=list(flags["remote_external_cidr"]))
    try:
        require_ranges(ranges)
    except AnnouncementError as error:
        text = str(error).replace("spec.remote.cidr.pod", "--pod-cidr")
        raise CommandError(
            text.replace("spec.remote.cidr.external", "--external-cidr"), code=MISUSED
        ) from None
    run(_configuration(credentials, ranges, flags))


async def _configuration(credentials: Credentials, ranges: Cidrs, flags: dict[str, Any]) -> None:
    progress, deadline, peer = Progress(), Deadline(flags["timeout"]), flags["remote_cluster_id"]
    async with open_site(credentials, flags["namespace"], peer, flags["tenant_namespace"]) as site:
        manifest = forge_configuration(peer, site.namespace, ranges)
        manifest["metadata"]["name"] = flags["name"] or peer
        kept = KEPT_OF_CONFIGURATION
        if not await _put(site, CONFIGURATIONS, manifest, flags, kept, progress, deadline):
            return
        if flags["wait"]:
            await await_ranges(_end(site), progress, deadline, manifest["metadata"]["name"])
    click.echo(f"{site.cluster.id}: configuration {peer} created")


@click.command(
    epilog=examples("isthmus create gatewayserver --remote-cluster-id rome --service-type NodePort --wait")
)
@named("GatewayServer")
@_template_options(SERVER_TEMPLATE, SERVER_TYPE)
@click.option(
    "--service-type",
    type=click.Choice(["LoadBalancer", "NodePort", "ClusterIP"], case_sensitive=False),
    default=SERVICE_TYPE,
    show_default=True,
    metavar="LoadBalancer|NodePort|ClusterIP",
    help="How it is exposed.",
)
@click.option("--port", type=PORT, default=SERVER_PORT, show_default=True, help="UDP port of its Service.")
@click.option("--node-port", type=PORT, default=0, metavar="PORT", help="Its node port. [default: any]")
@click.option("--load-balancer-ip", metavar="IP", default="", help="Address of its load balancer.")
@_mtu
@_wait
@created
def gatewayserver(credentials: Credentials, **flags: Any) -> None:
    """Create the end of a tunnel the other cluster connects to."""
    check_mtu(flags["mtu"])
    if flags["load_balancer_ip"]:
        try:
            parse_address(flags["load_balancer_ip"])
        except ValueError as error:
            raise CommandError(f"--load-balancer-ip: {error}", code=MISUSED) from None
    if flags["node_port"] and flags["service_type"] == "ClusterIP":
        raise CommandError(
            f"--node-port {flags['node_port']}: a Service of type ClusterIP has no node port",
            "leave it out, or use --service-type NodePort",
            code=MISUSED,
        )
    run(_gatewayserver(credentials, flags))


async def _gatewayserver(credentials: Credentials, flags: dict[str, Any]) -> None:
    progress, deadline, peer = Progress(), Deadline(flags["timeout"]), flags["remote_cluster_id"]
    exposure = ServerEndpoint(
        service_type=flags["service_type"],
        port=flags["port"],
        node_port=flags["node_port"] or None,
        load_balancer_ip=flags["load_balancer_ip"],
    )
    async with open_site(credentials, flags["namespace"], peer, flags["tenant_namespace"]) as site:
        reference = _reference(SERVER_TEMPLATE, site, flags)
        manifest = forge_server(peer, site.namespace, exposure, flags["mtu"], reference, flags["name"])
        if not await _put(site, GATEWAY_SERVERS, manifest, flags, KEPT_OF_SERVER, progress, deadline):
            return
        if flags["wait"]:
            end = _end(site)
            client, name = site.cluster.client, manifest["metadata"]["name"]
            made = await client.get(GATEWAY_SERVERS, name, site.namespace)
            with step(progress, f"Gateway server {name}", site.cluster) as current:
                await await_pods(end, made, exposure, deadline, current)
            await await_address(end, made, exposure, progress, deadline)
    click.echo(f"gateway server {manifest['metadata']['name']} for {peer} is there")


@click.command(
    epilog=examples(
        "isthmus create gatewayclient --remote-cluster-id milan --addresses 203.0.113.7 --port 51840 --wait"
    )
)
@named("GatewayClient")
@_template_options(CLIENT_TEMPLATE, CLIENT_TYPE)
@click.option(
    "--addresses", metavar="HOST", multiple=True, required=True, help="Where the server is; repeatable."
)
@click.option("--port", type=PORT, required=True, help="UDP port of the server.")
@click.option("--protocol", type=click.Choice(["UDP"]), default="UDP", show_default=True, help="Protocol.")
@_mtu
@_wait
@created
def gatewayclient(credentials: Credentials, **flags: Any) -> None:
    """Create the end of a tunnel that connects to the other cluster."""
    check_mtu(flags["mtu"])
    addresses = [part for text in flags["addresses"] for part in text.split(",")]
    for address in addresses:
        if not is_host(address):
            raise CommandError(
                f'--addresses "{address}" is neither an IPv4 address nor a host name',
                "give addresses alone, and the port with --port",
                code=MISUSED,
            )
    run(_gatewayclient(credentials, Endpoint(addresses=addresses, port=flags["port"], protocol="UDP"), flags))


async def _gatewayclient(credentials: Credentials, endpoint: Endpoint, flags: dict[str, Any]) -> None:
    progress, deadline, peer = Progress(), Deadline(flags["timeout"]), flags["remote_cluster_id"]
    async with open_site(credentials, flags["namespace"], peer, flags["tenant_namespace"]) as site:
        reference = _reference(CLIENT_TEMPLATE, site, flags)
        manifest = forge_client(peer, site.namespace, endpoint, flags["mtu"], reference, flags["name"])
        if not await _put(site, GATEWAY_CLIENTS, manifest, flags, KEPT_OF_CLIENT, progress, deadline):
            return
        name = manifest["metadata"]["name"]
        if flags["wait"]:
            made = await site.cluster.client.get(GATEWAY_CLIENTS, name, site.namespace)
            with step(progress, f"Gateway client {name}", site.cluster) as current:
                await await_pods(_end(site), made, ServerEndpoint(), deadline, current)
    click.echo(f"gateway client {name} for {peer} is there")


def _reference(template: Template, site: Site, flags: dict[str, Any]) -> Manifest:
    chosen = Template(
        flags["template_name"], template.kind, template.api_version, flags["template_namespace"]
    )
    return forge_template_reference(chosen, site.cluster.namespace)


@click.command(epilog=examples("isthmus create publickey --remote-cluster-id milan --public-key BASE64"))
@named("PublicKey")
@click.option("--public-key", metavar="BASE64", required=True, help="The key of the other end's gateway.")
@created
def publickey(credentials: Credentials, **flags: Any) -> None:
    """Tell this cluster's gateway the key of the other end."""
    if not is_key(flags["public_key"]):
        raise CommandError(
            f'--public-key "{flags["public_key"][:64]}" is not base64 of {KEY_BYTES} bytes',
            "give spec.publicKey of what isthmus generate publickey printed in the other cluster",
            code=MISUSED,
        )
    run(_publickey(credentials, flags))


async def _publickey(credentials: Credentials, flags: dict[str, Any]) -> None:
    progress, deadline, peer = Progress(), Deadline(flags["timeout"]), flags["remote_cluster_id"]
    async with open_site(credentials, flags["namespace"], peer, flags["tenant_namespace"]) as site:
        manifest = forge_public_key(peer, site.namespace, flags["public_key"])
        manifest["metadata"]["name"] = flags["name"] or peer
        if not await _put(site, PUBLIC_KEYS, manifest, flags, frozenset(), progress, deadline):
            return
    click.echo(f"{site.cluster.id} has the key of {peer}")
