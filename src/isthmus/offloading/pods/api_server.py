"""Which API server an offloaded pod talks to, and the environment that tells it so (behaviour.md 4.4).

By default its home's: that needs the networking module, which gives the home API server an address the
provider's pods can reach. Without one the pod still gets its token, but no address to use it at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from isthmus.api import labels
from isthmus.offloading.pods.affinity import InvalidPodError

Support = Literal["home", "remote", "disabled"]

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


def forge_host_aliases(
    aliases: list[dict[str, Any]] | None, home: HomeApiServer | None
) -> list[dict[str, Any]]:
    """The pod's host aliases, and those of its home API server where it has an address."""
    forged = list(aliases or [])
    if home is not None:
        forged += [{"ip": address, "hostnames": _HOSTS} for address in home.addresses]
    return forged


def forge_environment(
    environment: list[dict[str, Any]] | None, service_account: str | None, home: HomeApiServer | None
) -> list[dict[str, Any]]:
    """A container's environment: the service account's name written out, the home API server appended.

    What the user set of it stays. `service_account` is None where the remote one is to be used.
    """
    forged = [_written_out(variable, service_account) for variable in environment or []]
    if home is not None:
        own = {variable.get("name") for variable in forged}
        forged += [
            {"name": name, "value": value} for name, value in _address(home).items() if name not in own
        ]
    return forged


def _written_out(variable: dict[str, Any], service_account: str | None) -> dict[str, Any]:
    if service_account is None:
        return variable
    reference = (variable.get("valueFrom") or {}).get("fieldRef") or {}
    if reference.get("fieldPath") != "spec.serviceAccountName":
        return variable
    return {"name": variable["name"], "value": service_account}


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
