"""What a gateway process was started with: `ISTHMUS_GATEWAY` (JSON) and the facts of its pod.

The JSON is made from templates, so its numbers may be anything: all of it is checked here, and a fault names the
field, the value and the mend.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from isthmus.kube.errors import ConfigurationError
from isthmus.network.dataplane import hops

ENVIRONMENT = "ISTHMUS_GATEWAY"
KEYS_PATH = "/etc/wireguard/keys"
LARGEST_MTU = 65000


class Settings(Struct, frozen=True, kw_only=True):
    """The facts of one gateway; times are in seconds."""

    mode: str
    name: str
    namespace: str
    peer: str
    cluster_id: str
    mtu: int
    port: int = 0
    """The server's; 0 with a client that reads it from its GatewayClient."""
    uid: str = ""
    fabric: str = ""
    addresses: list[str] = []
    """Of a client's server. With none it is read from the GatewayClient, and followed there without a restart."""
    overlay_port: int = hops.OVERLAY_PORT
    implementation: str = ""
    """kernel or userspace; "" takes the kernel's where there is one."""
    replicas: int = 1
    loss_threshold: int = 5
    ping_interval: float = 2.0
    status_interval: float = 10.0
    preserve_client_endpoint: bool = True
    mss_clamp: bool = True
    health_port: int = 8083
    metrics_port: int = 0
    pod_name: str = ""
    pod_ip: str = ""
    node_name: str = ""

    @property
    def finds_server(self) -> bool:
        """Whether this is a client that reads from its GatewayClient where its server is."""
        return self.mode == "client" and not self.addresses


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. Raises ConfigurationError naming the variable, the field and the fault."""
    env = os.environ if environment is None else environment
    text = env.get(ENVIRONMENT, "")
    if not text:
        raise ConfigurationError(f"{ENVIRONMENT} is not set: it holds the gateway's settings as JSON")
    try:
        fields = msgspec.json.decode(text, type=dict[str, object])
        for name, variable in (("pod_name", "POD_NAME"), ("pod_ip", "POD_IP"), ("node_name", "NODE_NAME")):
            if env.get(variable):
                fields[name] = env[variable]
        settings = msgspec.convert(fields, Settings)
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{ENVIRONMENT}: {error}") from error
    for fault in faults(settings):
        raise ConfigurationError(f"{ENVIRONMENT}: {fault}")
    return settings


def faults(settings: Settings) -> list[str]:
    """What is wrong with settings of the right types."""
    found = []
    if settings.mode not in ("server", "client"):
        found.append(f"mode is {settings.mode!r}: it must be server or client")
    if not settings.finds_server and not 1 <= settings.port <= 65535:
        found.append(f"port is {settings.port}: it must be 1 to 65535")
    if not hops.MINIMUM_MTU <= settings.mtu <= LARGEST_MTU:
        found.append(f"mtu is {settings.mtu}: it must be {hops.MINIMUM_MTU} to {LARGEST_MTU}, usually 1340")
    if settings.implementation not in ("", "kernel", "userspace"):
        found.append(f"implementation is {settings.implementation!r}: it must be kernel, userspace or empty")
    if not 0.1 <= settings.ping_interval <= 3600 or settings.loss_threshold < 1:
        found.append("ping_interval must be 0.1 to 3600 s, and loss_threshold 1 or more")
    return found
