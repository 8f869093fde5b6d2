"""Arguments of stock Liqo's controller manager that users set and that mean something here.

The controller takes none: what they ask for becomes one of its options. Pure; fails with InstallError.
"""

from __future__ import annotations

from isthmus.install.errors import InstallError
from isthmus.install.network_validation import seconds
from isthmus.kube.options import Options

VALUE = "controllerManager.pod.extraArgs"
PING_INTERVAL = "--foreign-cluster-ping-interval"


def api_server_check_interval(arguments: list[str]) -> float:
    """Seconds between checks of a provider's API server, 0 for none. Raises InstallError for any other argument."""
    interval = Options(cluster_id="").api_server_check_interval
    for argument in arguments:
        flag, equals, text = argument.partition("=")
        if flag != PING_INTERVAL or not equals:
            raise InstallError(
                f'value {VALUE}: "{argument}" is not known', f"only {PING_INTERVAL}=15s has a meaning here"
            )
        interval = 0.0 if text == "0" else seconds(f"{VALUE} {flag}", text)
    return interval
