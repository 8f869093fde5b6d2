"""A plan of ours together with what users wrote for the same host. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from isthmus.api.routing import FirewallConfiguration, RouteConfiguration
from isthmus.network.dataplane.state import State


def with_user_state(
    state: State, routes: Iterable[RouteConfiguration], firewalls: Iterable[FirewallConfiguration]
) -> State:
    """The state with the users' routes, rules and tables; a host that is left has none of them either.

    What is wrong in a user's object is in `refused`, by the object's name.
    """
    routes, firewalls = list(routes), list(firewalls)
    if not state.links or not (routes or firewalls):
        return state
    # Late: most hosts have no such objects, and their memory counts.
    from isthmus.network.dataplane.user_firewall import plan_user_tables, table_name
    from isthmus.network.dataplane.user_routes import plan_user_routes

    own_routes, rules, route_faults = plan_user_routes(one for one in routes if not one.deleting)
    tables, table_faults = plan_user_tables(one for one in firewalls if not one.deleting)
    faults = {f"RouteConfiguration {name}": fault for name, fault in route_faults.items()}
    faults |= {f"FirewallConfiguration {name}": fault for name, fault in table_faults.items()}
    return replace(
        state,
        routes=state.routes | own_routes,
        rules=state.rules | rules,
        tables=(*state.tables, *tables),
        faults=faults,
        owners={table_name(one): f"FirewallConfiguration {one.key}" for one in firewalls},
        refused=(*state.refused, *(f"{name}: {fault}" for name, fault in faults.items())),
    )
