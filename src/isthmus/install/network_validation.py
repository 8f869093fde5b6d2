"""Whether the values of the networking module and the address ranges make sense.

Pure functions; each failure is an `InstallError` that names the value, what it is and the mend.
"""

from __future__ import annotations

import ipaddress
import re

from isthmus.install.errors import InstallError
from isthmus.install.network_values import AddressManagement, Networking, Proxy
from isthmus.network.ipam.installation import DEFAULT_EXTERNAL, DEFAULT_INTERNAL

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")
_IMPLEMENTATIONS = ("kernel", "userspace")
_MOST_REPLICAS = 16
_SMALLEST_RANGE = 30
Named = tuple[str, ipaddress.IPv4Network]


def seconds(name: str, text: str) -> float:
    """A time such as 2s, 500ms or 1m in seconds. Raises InstallError naming the value."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise InstallError(
            f'value {name}: "{text}" is not a valid duration', "write for instance 2s, 500ms or 1m"
        )
    return float(found[1]) * _SECONDS[found[2]]


def check_networking(networking: Networking) -> None:
    """Raise InstallError for the first value of the module that cannot be used."""
    templates, config = networking.gateway_templates, networking.fabric.config
    _within("networking.genevePort", networking.geneve_port, 1, 65535)
    _within(
        "networking.fabric.config.healthProbeBindAddressPort",
        config.health_probe_bind_address_port,
        1024,
        65535,
    )
    priority = config.route_configuration_rule_priority
    if priority:
        _within("networking.fabric.config.routeConfigurationRulePriority", priority, 1, 32765)
    _within("networking.gatewayTemplates.replicas", templates.replicas, 1, _MOST_REPLICAS)
    ping = templates.ping
    _within("networking.gatewayTemplates.ping.lossThreshold", ping.loss_threshold, 1, 1000)
    for name, text in (("interval", ping.interval), ("updateStatusInterval", ping.update_status_interval)):
        name = f"networking.gatewayTemplates.ping.{name}"
        if not 0.1 <= seconds(name, text) <= 3600:
            raise InstallError(f'value {name}: "{text}" cannot be used', "choose 100ms to 60m")
    implementation = templates.wireguard.implementation
    if implementation and implementation not in _IMPLEMENTATIONS:
        raise InstallError(
            f'value networking.gatewayTemplates.wireguard.implementation: "{implementation}" is none of '
            f"{', '.join(_IMPLEMENTATIONS)}",
            "leave it empty to take the kernel's where there is one",
        )
    node_ports(networking)


def check_proxy(proxy: Proxy, taken: tuple[int, ...]) -> None:
    """Raise InstallError for the first value of the proxy that cannot be used; `taken` are its pod's other ports."""
    port, type_ = proxy.config.listening_port, proxy.service.type
    if not 1024 <= port <= 65535 or port in taken:
        raise InstallError(
            f"value proxy.config.listeningPort: {port} cannot be used",
            f"choose one of 1024 to 65535, not {', '.join(map(str, taken))}",
        )
    if type_ not in _SERVICE_TYPES:
        raise InstallError(f'value proxy.service.type: "{type_}" is none of {", ".join(_SERVICE_TYPES)}')


def node_ports(networking: Networking) -> bool | None:
    """Whether a gateway's load balancer gets node ports; None leaves it to the cluster. Raises InstallError."""
    given = networking.gateway_templates.server.service.allocate_load_balancer_node_ports
    if given in ("", True, False):
        return None if given == "" else bool(given)
    if given in ("true", "false"):
        return given == "true"
    raise InstallError(
        "value networking.gatewayTemplates.server.service.allocateLoadBalancerNodePorts: "
        f'"{given}" is neither true nor false',
        "leave it empty for the cluster's own choice",
    )


def _within(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise InstallError(f"value {name}: {value} cannot be used", f"choose {lowest} to {highest}")


def check_ranges(ranges: AddressManagement) -> None:
    """Raise InstallError for the first range that is none, or that cannot be beside another one.

    The external and the internal range move aside by themselves as long as they are the default ones.
    """
    fixed = [
        *_parsed("ipam.podCIDRs (--pod-cidr)", ranges.pod_cidrs),
        *_parsed("ipam.serviceCIDR (--service-cidr)", [ranges.service_cidr] if ranges.service_cidr else []),
        *_parsed("ipam.reservedSubnets (--reserved-subnets)", ranges.reserved_subnets),
    ]
    pools = _parsed("ipam.pools", ranges.pools)
    if not pools:
        raise InstallError(
            "value ipam.pools: is empty", "leave it out for the private ranges; peers' ranges come from it"
        )
    for name, text, default in (
        ("ipam.externalCIDR", ranges.external_cidr, DEFAULT_EXTERNAL),
        ("ipam.internalCIDR", ranges.internal_cidr, DEFAULT_INTERNAL),
    ):
        (own,) = _parsed(name, [text])
        if own[1].prefixlen > _SMALLEST_RANGE:
            raise InstallError(
                f'value {name}: "{text}" has too few addresses', f"choose a /{_SMALLEST_RANGE} or larger one"
            )
        if text != default:
            _check_in_pools(own, pools)
            fixed.append(own)
    _check_apart(fixed)
    _check_apart(pools)


def _check_in_pools(own: Named, pools: list[Named]) -> None:
    if not any(own[1].subnet_of(pool) for _, pool in pools):
        listed = ", ".join(str(pool) for _, pool in pools)
        raise InstallError(
            f"value {own[0]}: {own[1]} is in none of the pools ({listed})", "add a range to ipam.pools"
        )


def _check_apart(ranges: list[Named]) -> None:
    for index, (name, one) in enumerate(ranges):
        for other_name, other in ranges[:index]:
            if one.overlaps(other):
                raise InstallError(
                    f"value {name}: {one} overlaps {other} of {other_name}", "these have to be apart"
                )


def _parsed(name: str, texts: list[str]) -> list[Named]:
    return [(name, _parse(name, text)) for text in texts]


def _parse(name: str, text: str) -> ipaddress.IPv4Network:
    try:
        if "/" not in text:
            raise ValueError("has no prefix length")
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise InstallError(
            f'value {name}: "{text}" is not a valid IPv4 CIDR ({error})', "write for instance 10.244.0.0/16"
        ) from error
