"""Which API server an offloaded pod talks to, and the environment that tells it so (behaviour.md 4.4).

By default its home's: that needs the networking module, which gives the home API server an address the
provider's pods can reach. Without one the pod still gets its token, but no address to use it at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from isthmus.api import labels
from isthmus.kube.objects import ObjectMeta
from isthmus.offloading.pods.affinity import InvalidPodError

Support = Literal["home", "remote", "disabled"]
DownwardApi = Literal["home", "remote"]

DOWNWARD_API = "isthmus.liqo.io/downward-api"
"""On a local pod: `remote` has its environment and volumes tell the namespace and the UID it has at the provider."""

_HOSTS = ["kubernetes.default", "kubernetes.default.svc"]


class HomeApiServer(Struct, frozen=True):
    """Where the home API server answers, as this cluster sees the remapped addresses."""

    addresses: tuple[str, ...]
    port: int = 443


def api_server_support(annotations: Mapping[str, str]) -> Support:
    """Which API server the pod wants. Raises InvalidPodError on an unknown value of the annotation."""
    wanted = annotations.get(labels.API_SERVER_SUPPORT, "")
    match wanted:
        case "":
            return "home"
        case "remote":
            return "remote"
        case "disabled":
            return "disabled"
    raise InvalidPodError(
        f"annotation {labels.API_SERVER_SUPPORT}={wanted!r}: use remote or disabled, or leave it out"
    )


def downward_api(annotations: Mapping[str, str]) -> DownwardApi:
    """Which cluster's pod the downward API tells of. Raises InvalidPodError on an unknown value of the annotation.

    The home's by default, unless the pod talks to the provider's API server, which does not know that one.
    """
    wanted = annotations.get(DOWNWARD_API, "")
    match wanted:
        case "":
            return "remote" if api_server_support(annotations) == "remote" else "home"
        case "home":
            return "home"
        case "remote":
            return "remote"
    raise InvalidPodError(f"annotation {DOWNWARD_API}={wanted!r}: use home or remote, or leave it out")


def home_fields(pod: ObjectMeta, service_account: str | None, told: DownwardApi) -> dict[str, str]:
    """What fields of the downward API say of the local pod rather than of the provider's, by their path.

    `service_account` is None where the provider's is to be used.
    """
    fields = {} if service_account is None else {"spec.serviceAccountName": service_account}
    if told == "home":
        fields |= {"metadata.namespace": pod.namespace, "metadata.uid": pod.uid}
    return fields


def forge_host_aliases(
    aliases: list[dict[str, Any]] | None, home: HomeApiServer | None
) -> list[dict[str, Any]]:
    """The pod's host aliases, and those of its home API server where it has an address."""
    forged = list(aliases or [])
    if home is not None:
        forged += [{"ip": address, "hostnames": _HOSTS} for address in home.addresses]
    return forged


def forge_environment(
    environment: list[dict[str, Any]] | None, fields: Mapping[str, str], home: HomeApiServer | None
) -> list[dict[str, Any]]:
    """A container's environment: the home API server first, then the user's own with home's `fields` written out.

    First, because the kubelet expands `$(NAME)` by what was defined before it. What the user set of it stays.
    """
    own = [_written_out(variable, fields) for variable in environment or []]
    if home is None:
        return own
    names = {variable.get("name") for variable in own}
    address = [{"name": name, "value": value} for name, value in _address(home).items() if name not in names]
    return address + own


def _written_out(variable: dict[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    reference = (variable.get("valueFrom") or {}).get("fieldRef") or {}
    value = fields.get(reference.get("fieldPath", ""))
    return variable if value is None else {"name": variable["name"], "value": value}


def _address(home: HomeApiServer) -> dict[str, str]:
    host, port = _HOSTS[0], str(home.port)
    url = f"tcp://{host}:{port}"
    return {
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
        "KUBERNETES_SERVICE_PORT_HTTPS": port,
        "KUBERNETES_PORT": url,
        f"KUBERNETES_PORT_{port}_TCP": url,
        f"KUBERNETES_PORT_{port}_TCP_PROTO": "tcp",
        f"KUBERNETES_PORT_{port}_TCP_ADDR": host,
        f"KUBERNETES_PORT_{port}_TCP_PORT": port,
    }
