"""`isthmus generate`: manifests for the OTHER cluster, printed (wire.md 9, generate manifests).

What is printed holds no secret: public keys, requests, signatures and address ranges. The exception is the
kubeconfig of a peering user (peering_users.py).
"""

from __future__ import annotations

from typing import Any

import click

from isthmus.api import labels, names
from isthmus.api.authentication import IDENTITIES, TENANTS, Tenant
from isthmus.api.networking import CONFIGURATIONS, GATEWAY_CLIENTS, GATEWAY_SERVERS, PUBLIC_KEYS
from isthmus.cli.authentication import forge_own_tenant, has_certificate, obtain_signature
from isthmus.cli.cluster import Cluster, explained, step
from isthmus.cli.errors import MISUSED, CommandError
from isthmus.cli.events import find_refusal
from isthmus.cli.execution import run
from isthmus.cli.groups import CommandGroup
from isthmus.cli.manual import (
    Site,
    explain_use,
    make_namespace,
    manifest_output_option,
    one_cluster,
    open_cluster,
    open_site,
    print_manifest,
    remote_cluster_id_option,
    require_namespace,
    tenant_namespace_option,
)
from isthmus.cli.marks import mark_options
from isthmus.cli.network_check import read_ranges
from isthmus.cli.network_keys import read_gateway_key
from isthmus.cli.network_plan import forge_configuration, forge_public_key
from isthmus.cli.options import examples, timeout_option
from isthmus.cli.parameters import ClusterId
from isthmus.cli.peer import check_proxy
from isthmus.cli.peering_users import TLS_MODES, make_peering_user
from isthmus.cli.preflight import read_keys
from isthmus.cli.progress import Progress
from isthmus.cli.waiting import Deadline, wait_for
from isthmus.kube.builtin import SECRETS
from isthmus.kube.credentials import Credentials
from isthmus.kube.objects import Manifest, Object
from isthmus.kube.resource import Resource
from isthmus.peering import secret_data
from isthmus.peering.handshake import forge_identity, is_nonce

GATEWAYS: dict[str, Resource[Any]] = {"server": GATEWAY_SERVERS, "client": GATEWAY_CLIENTS}


@click.group(
    cls=CommandGroup,
    epilog=examples(
        "# in milan: what rome has to sign",
        "isthmus create nonce --remote-cluster-id rome",
        "isthmus get nonce --remote-cluster-id rome > nonce",
        "# in rome, with that file; milan applies what is printed",
        "isthmus generate tenant --remote-cluster-id milan --nonce $(cat nonce) > tenant.yaml",
        "# in milan, after that; rome applies what is printed",
        "isthmus generate identity --remote-cluster-id rome > identity.yaml",
    ),
)
def generate() -> None:
    """Print what the other cluster is to apply."""


def _printed(command: Any) -> Any:
    output = manifest_output_option("yaml", "Print as JSON or YAML.")
    return one_cluster(mark_options(output(timeout_option("2m")(command))))


def _remote_tenant_namespace_option(command: Any) -> Any:
    return click.option(
        "--remote-tenant-namespace",
        metavar="NAME",
        default="",
        help="Tenant namespace of this cluster in the other one, written into the manifest.",
    )(command)


@generate.command(
    epilog=examples(
        "isthmus generate configuration > configuration.yaml",
        "# in the other cluster",
        "kubectl apply -n liqo-tenant-rome -f configuration.yaml",
    )
)
@_remote_tenant_namespace_option
@_printed
def configuration(credentials: Credentials, **flags: Any) -> None:
    """Print the Configuration with this cluster's address ranges."""
    run(_configuration(credentials, flags))


async def _configuration(credentials: Credentials, flags: dict[str, Any]) -> None:
    progress, deadline = Progress(), Deadline(flags["timeout"])
    async with open_cluster(credentials, flags["namespace"]) as cluster:
        ranges = await read_ranges(cluster, progress, deadline)
        if ranges is None:
            raise CommandError(
                f"{cluster.title} has no networking module, so no address ranges to tell",
                "install it with isthmus install --set networking.enabled=true",
            )
        manifest = forge_configuration(cluster.id, flags["remote_tenant_namespace"], ranges)
        _show(CONFIGURATIONS, manifest, cluster, flags["output"], progress)


@generate.command(
    epilog=examples("isthmus generate publickey --gateway-type server --gateway-name rome > key.yaml")
)
@click.option("--gateway-type", type=click.Choice(["server", "client"]), required=True, help="Which end.")
@click.option("--gateway-name", metavar="NAME", required=True, help="Name of the gateway, here.")
@tenant_namespace_option
@_remote_tenant_namespace_option
@_printed
def publickey(credentials: Credentials, **flags: Any) -> None:
    """Print the PublicKey of this cluster's end of a tunnel."""
    run(_publickey(credentials, flags))


async def _publickey(credentials: Credentials, flags: dict[str, Any]) -> None:
    progress, deadline = Progress(), Deadline(flags["timeout"])
    resource = GATEWAYS[flags["gateway_type"]]
    async with open_cluster(credentials, flags["namespace"]) as cluster:
        gateway = await _find_gateway(cluster, resource, flags["gateway_name"], flags["tenant_namespace"])
        key = await read_gateway_key(cluster, resource, gateway, progress, deadline)
        manifest = forge_public_key(cluster.id, flags["remote_tenant_namespace"], key)
        peer = gateway.metadata.labels.get(labels.REMOTE_CLUSTER_ID, "")
        _show(PUBLIC_KEYS, manifest, cluster, flags["output"], progress, peer)


async def _find_gateway(cluster: Cluster, resource: Resource[Any], name: str, namespace: str) -> Object:
    with explained(cluster, "reading the gateways"):
        page = await cluster.client.list(resource.partial(), namespace)
    found = [one for one in page.items if one.metadata.name == name]
    if not found:
        known = ", ".join(str(one.key) for one in page.items) or "none"
        raise CommandError(
            f'--gateway-name "{name}": {cluster.title} has no such {resource.kind}', f"there is {known}"
        )
    if len(found) > 1:
        places = ", ".join(one.metadata.namespace for one in found)
        raise CommandError(
            f'--gateway-name "{name}": there is one in each of {places}', "say which with --tenant-namespace"
        )
    return found[0]


@generate.command(
    epilog=examples(
        "isthmus generate tenant --remote-cluster-id milan --nonce $(cat nonce) > tenant.yaml",
        "# in milan",
        "kubectl apply -n liqo-tenant-rome -f tenant.yaml",
    )
)
@remote_cluster_id_option
@click.option(
    "--nonce", metavar="TEXT", default="", help="The provider's nonce. [default: the one signed before]"
)
@click.option(
    "--proxy-url", metavar="URL", default="", help="HTTP proxy through which the provider is reached."
)
@tenant_namespace_option
@_remote_tenant_namespace_option
@_printed
def tenant(credentials: Credentials, **flags: Any) -> None:
    """Print the Tenant by which a provider admits this cluster.

    Run it in the consumer. It has this cluster sign the provider's nonce, and makes the tenant namespace for the
    provider where it is not there yet. The private key stays where it is.
    """
    check_proxy(flags["proxy_url"])
    nonce = flags["nonce"].strip()
    if nonce and not is_nonce(nonce.encode(errors="replace")):
        raise CommandError(
            f'--nonce "{nonce[:24]}" is not a valid nonce: base64 of 32 to 256 bytes',
            "give what isthmus get nonce printed in the provider",
            code=MISUSED,
        )
    run(_tenant(credentials, nonce.encode(), flags))


async def _tenant(credentials: Credentials, nonce: bytes, flags: dict[str, Any]) -> None:
    progress, deadline = Progress(), Deadline(flags["timeout"])
    peer = flags["remote_cluster_id"]
    async with open_site(credentials, flags["namespace"], peer, flags["tenant_namespace"]) as site:
        cluster = site.cluster
        keys = await read_keys(cluster, progress, deadline)
        nonce = nonce or await _read_signed_nonce(site)
        await make_namespace(site, progress)
        signature = await obtain_signature(cluster, peer, site.namespace, nonce, progress, deadline)
        manifest = await forge_own_tenant(
            cluster.id, keys, signature, flags["remote_tenant_namespace"], flags["proxy_url"]
        )
        _show(TENANTS, manifest, cluster, flags["output"], progress, peer)


async def _read_signed_nonce(site: Site) -> bytes:
    with explained(site.cluster, "reading the signed nonce"):
        secret = await site.cluster.client.find(SECRETS, names.SIGNED_NONCE_SECRET, site.namespace)
    nonce = secret_data.read(secret, "nonce") if secret is not None else b""
    if not nonce:
        raise CommandError(
            f"no nonce of {site.peer} was signed in {site.cluster.title} before",
            f"give it with --nonce; isthmus get nonce --remote-cluster-id {site.cluster.id} prints it in {site.peer}",
        )
    return nonce


@generate.command(
    epilog=examples(
        "isthmus generate identity --remote-cluster-id rome > identity.yaml",
        "# in rome",
        "kubectl apply -n liqo-tenant-milan -f identity.yaml",
    )
)
@remote_cluster_id_option
@tenant_namespace_option
@_remote_tenant_namespace_option
@_printed
def identity(credentials: Credentials, **flags: Any) -> None:
    """Print the Identity a consumer gets of this cluster.

    Run it in the provider, when the consumer's Tenant was applied there.
    """
    run(_identity(credentials, flags))


async def _identity(credentials: Credentials, flags: dict[str, Any]) -> None:
    progress, deadline = Progress(), Deadline(flags["timeout"])
    peer = flags["remote_cluster_id"]
    async with open_site(credentials, flags["namespace"], peer, flags["tenant_namespace"]) as site:
        require_namespace(site)
        admitted = await _await_tenant(site, progress, deadline)
        if admitted.status.auth_params is None:
            raise CommandError(f"Tenant {admitted.key} lost its certificate", "run this again")
        manifest = forge_identity(
            site.cluster.id,
            admitted.status.auth_params,
            namespace=flags["remote_tenant_namespace"],
            remote_namespace=admitted.status.tenant_namespace,
        )
        _show(IDENTITIES, manifest, site.cluster, flags["output"], progress, peer)


async def _await_tenant(site: Site, progress: Progress, deadline: Deadline) -> Tenant:
    cluster = site.cluster
    with step(progress, f"Tenant {site.peer} and its certificate", cluster) as current:
        if await cluster.client.find(TENANTS, site.peer, site.namespace) is None:
            raise CommandError(
                f"{cluster.title} has no Tenant {site.namespace}/{site.peer}",
                f"apply what isthmus generate tenant --remote-cluster-id {cluster.id} printed in {site.peer}",
            )

        async def find() -> Tenant | None:
            found = await cluster.client.find(TENANTS, site.peer, site.namespace)
            current.update(await find_refusal(cluster, found) if found is not None else "it is gone")
            return found if found is not None and has_certificate(found) else None

        return await wait_for(
            find,
            deadline,
            current,
            f"{cluster.title} did not admit Tenant {site.namespace}/{site.peer}",
            "look at its events; a nonce that is not the one signed is refused",
        )


@generate.command(
    name="peering-user",
    epilog=examples(
        "isthmus generate peering-user --consumer-cluster-id rome > rome-in-milan.kubeconfig",
        "# in rome",
        "isthmus peer --remote-kubeconfig rome-in-milan.kubeconfig",
    ),
)
@click.option(
    "--consumer-cluster-id",
    type=ClusterId(),
    required=True,
    metavar="ID",
    help="Id of the cluster whose operator will peer.",
)
@click.option(
    "--tls-compatibility-mode",
    type=click.Choice(TLS_MODES),
    default="auto",
    show_default=True,
    help="Use an RSA key, for API servers that refuse Ed25519; auto does as the cluster itself.",
)
@click.option("--api-server-url", metavar="URL", default="", help="Its server. [default: as peers are told]")
@mark_options
@one_cluster
def peering_user(credentials: Credentials, **flags: Any) -> None:
    """Print the kubeconfig of a user who may peer one consumer with this cluster, and no more.

    Run it in the provider. Whoever has the kubeconfig can end and change that peering: send it safely.
    isthmus delete peering-user takes it back.
    """
    run(_peering_user(credentials, flags))


async def _peering_user(credentials: Credentials, flags: dict[str, Any]) -> None:
    async with open_site(credentials, flags["namespace"], flags["consumer_cluster_id"]) as site:
        kubeconfig = await make_peering_user(
            site, flags["tls_compatibility_mode"], flags["api_server_url"], Progress()
        )
    click.echo(kubeconfig, nl=False)


def _show(
    resource: Resource[Any],
    manifest: Manifest,
    cluster: Cluster,
    output: str,
    progress: Progress,
    peer: str = "",
) -> None:
    print_manifest(resource, manifest, output)
    explain_use(progress, manifest, cluster.id, peer)
