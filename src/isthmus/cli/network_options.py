"""liqoctl's flags about the tunnel between two clusters, and what they ask for; wrong ones end with exit code 2."""

from __future__ import annotations

from typing import Any

import click

from isthmus.api.cidr import parse_address
from isthmus.cli.errors import MISUSED, CommandError
from isthmus.cli.network_plan import NetworkWish
from isthmus.network.gateways.objects import DEFAULT_MTU
from isthmus.network.gateways.requests import LARGEST_MTU, SMALLEST_MTU, is_host

PORT = click.IntRange(0, 65535)
_FLAGS = (
    ("gw_server_service_location", "location"),
    ("gw_server_service_type", "service_type"),
    ("gw_server_service_port", "port"),
    ("gw_server_service_nodeport", "node_port"),
    ("gw_server_service_loadbalancerip", "load_balancer_ip"),
    ("gw_client_address", "client_address"),
    ("gw_client_port", "client_port"),
    ("mtu", "mtu"),
    ("skip_validation", "skip_validation"),
)
"""Each parameter of the command and the field of the wish it fills."""


_OPTIONS = (
    click.option(
        "--gw-server-service-location",
        type=click.Choice(["Consumer", "Provider"], case_sensitive=False),
        metavar="Consumer|Provider",
        help="Which cluster the tunnel's server is in; the other connects to it. [default: Provider]",
    ),
    click.option(
        "--gw-server-service-type",
        type=click.Choice(["LoadBalancer", "NodePort", "ClusterIP"], case_sensitive=False),
        metavar="LoadBalancer|NodePort|ClusterIP",
        help="How the server is exposed. [default: LoadBalancer, or as it is]",
    ),
    click.option(
        "--gw-server-service-port",
        type=PORT,
        metavar="PORT",
        help="UDP port of its Service. [default: 51840]",
    ),
    click.option(
        "--gw-server-service-nodeport",
        type=PORT,
        metavar="PORT",
        help="Its node port. [default: any]",
    ),
    click.option(
        "--gw-server-service-loadbalancerip",
        metavar="IP",
        help="Address its load balancer is to have.",
    ),
    click.option(
        "--gw-client-address",
        metavar="HOST",
        help="Address to connect to instead, where the server is behind NAT.",
    ),
    click.option("--gw-client-port", type=PORT, metavar="PORT", help="Port to connect to instead."),
    click.option("--mtu", type=int, metavar="BYTES", help=f"MTU of the tunnel. [default: {DEFAULT_MTU}]"),
    click.option("--skip-validation", is_flag=True, help="Do not look whether the templates are there."),
)


def network_options(command: Any) -> Any:
    """Add the flags about the tunnel; the command hands its parameters to `read_wish`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_wish(flags: dict[str, Any], **others: Any) -> NetworkWish:
    """What the flags ask for, taken out of `flags`. Raises CommandError (exit code 2) for what cannot work."""
    given = {field: flags.pop(parameter) for parameter, field in _FLAGS}
    for number in ("port", "node_port", "client_port"):
        given[number] = given[number] or None  # liqoctl's "not set" is 0.
    wish = NetworkWish(**given, **others)
    check_mtu(wish.mtu)
    _check_exposure(wish)
    if wish.client_address is not None and not is_host(wish.client_address):
        raise CommandError(
            f'--gw-client-address "{wish.client_address}" is neither an IPv4 address nor a host name',
            "give the address alone, and the port with --gw-client-port",
            code=MISUSED,
        )
    return wish


def list_given(flags: dict[str, Any]) -> list[str]:
    """The flags about the tunnel that were given, as a user writes them."""
    return [f"--{parameter.replace('_', '-')}" for parameter, _ in _FLAGS if flags.get(parameter)]


def check_mtu(mtu: int | None) -> None:
    """Raise CommandError (exit code 2) for an MTU no tunnel can have; None is the default."""
    if mtu is not None and not SMALLEST_MTU <= mtu <= LARGEST_MTU:
        raise CommandError(
            f"--mtu {mtu} cannot work",
            f"use {SMALLEST_MTU} to {LARGEST_MTU}, or leave it out for {DEFAULT_MTU}",
            code=MISUSED,
        )


def _check_exposure(wish: NetworkWish) -> None:
    if wish.node_port and wish.service_type == "ClusterIP":
        raise CommandError(
            f"--gw-server-service-nodeport {wish.node_port}: a Service of type ClusterIP has no node port",
            "leave it out, or use --gw-server-service-type NodePort",
            code=MISUSED,
        )
    if wish.load_balancer_ip is None:
        return
    if wish.service_type not in (None, "LoadBalancer"):
        raise CommandError(
            f"--gw-server-service-loadbalancerip {wish.load_balancer_ip}: a Service of type {wish.service_type} "
            "has no load balancer",
            "leave one of the two flags out",
            code=MISUSED,
        )
    try:
        parse_address(wish.load_balancer_ip)
    except ValueError as error:
        raise CommandError(f"--gw-server-service-loadbalancerip: {error}", code=MISUSED) from None
