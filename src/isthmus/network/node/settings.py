"""What a node agent was started with: `ISTHMUS_NODE` (JSON) and the name and address of its node."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from isthmus.kube.errors import ConfigurationError
from isthmus.network.dataplane import hops

ENVIRONMENT = "ISTHMUS_NODE"


class Settings(Struct, frozen=True, kw_only=True):
    """The facts of one node; `node_name` from NODE_NAME, `node_ip` from POD_IP (the host's network)."""

    node_name: str = ""
    node_ip: str = ""
    overlay_port: int = hops.OVERLAY_PORT
    rule_priority: int = hops.RULE_NODE
    full_masquerade: bool = False
    health_port: int = 8083


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. Raises ConfigurationError naming the variable, the field and the fault."""
    env = os.environ if environment is None else environment
    try:
        fields = msgspec.json.decode(env.get(ENVIRONMENT, "{}"), type=dict[str, object])
        fields |= {"node_name": env.get("NODE_NAME", ""), "node_ip": env.get("POD_IP", "")}
        settings = msgspec.convert(fields, Settings)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{ENVIRONMENT}: {error}") from error
    if not settings.node_name:
        raise ConfigurationError("NODE_NAME is not set: the DaemonSet must pass spec.nodeName")
    if not 1 <= settings.rule_priority < 32766:
        raise ConfigurationError(
            f"{ENVIRONMENT}: rule_priority is {settings.rule_priority}: it must be 1 to 32765"
        )
    if not 1 <= settings.overlay_port <= 65535:
        raise ConfigurationError(
            f"{ENVIRONMENT}: overlay_port is {settings.overlay_port}: it must be 1 to 65535"
        )
    return settings
