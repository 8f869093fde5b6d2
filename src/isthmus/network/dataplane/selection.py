"""Which RouteConfigurations and FirewallConfigurations are for this host: by their labels, in exact sets. Pure.

(wire.md 1.3.) A set of labels that is none of these is for nobody. Those that stock Liqo's own controllers make are
told by what they belong to, and left alone: our own plans do their work.
"""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.api import labels

Selector = tuple[str, str, str]
"""Category, subcategory and the name it is unique to; "" where there is no such label."""


def firewall_selector(of: Mapping[str, str]) -> Selector:
    """The labels of a FirewallConfiguration that select hosts."""
    return (
        of.get(labels.FIREWALL_CATEGORY, ""),
        of.get(labels.FIREWALL_SUBCATEGORY, ""),
        of.get(labels.FIREWALL_UNIQUE, ""),
    )


def route_selector(of: Mapping[str, str]) -> Selector:
    """The labels of a RouteConfiguration that select hosts."""
    return (
        of.get(labels.ROUTE_CATEGORY, ""),
        of.get(labels.ROUTE_SUBCATEGORY, ""),
        of.get(labels.ROUTE_UNIQUE, ""),
    )


def of_gateway(selector: Selector, peer: str) -> bool:
    """Whether it is for the gateway of that peer."""
    return selector in {
        ("gateway", "", peer),
        ("gateway", "", ""),
        ("gateway", "all-gateways", ""),
        ("gateway", "ip-mapping", ""),
        ("gateway", "fabric", ""),
    }


def of_node(selector: Selector, node: str) -> bool:
    """Whether it is for that node."""
    return selector in {
        ("fabric", "", ""),
        ("fabric", "all-nodes", ""),
        ("fabric", "ip-mapping", ""),
        ("fabric", "single-node", node),
    }
