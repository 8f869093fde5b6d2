"""Whether values make sense: names that are known, and contents that Kubernetes and the controller will take.

Pure functions; each failure is an `InstallError` that names the value, what it is and the mend.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import Any, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

from isthmus.api import labels, names, placeholders
from isthmus.install.errors import InstallError
from isthmus.install.extra_args import api_server_check_interval
from isthmus.install.network_validation import check_networking, check_proxy, check_ranges
from isthmus.install.section import Section
from isthmus.install.values import Tree, Values

_ENFORCEMENTS = ("None", "Soft", "Hard")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_FAILURE_POLICIES = ("Fail", "Ignore")
_LONGEST_CLUSTER_ID = 50
_LABEL_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_IMAGE = re.compile(
    r"[a-z0-9]([-a-z0-9._:]*[a-z0-9])?(/[a-z0-9._-]+)*(:[\w][\w.-]{0,127})?(@[\w+.-]+:[0-9a-fA-F]+)?"
)


@cache
def known_names(section: type[Section] = Values, prefix: str = "") -> dict[str, bool]:
    """The dotted name of every value, and whether it is a map with keys of the user's own."""
    found: dict[str, bool] = {}
    hints = get_type_hints(section)
    for value in msgspec.structs.fields(section):
        hint = hints[value.name]
        name = f"{prefix}{value.encode_name}"
        if isinstance(hint, type) and issubclass(hint, Section):
            found |= known_names(hint, f"{name}.")
        else:
            found[name] = get_origin(hint) is dict
    return found


def check_names(source: str, layer: Tree) -> None:
    """Raise InstallError for the first value that is not known, naming the nearest one that is."""
    known = known_names()
    for name in _leaves(layer, known):
        parts = name.split(".")
        sections = {key.rsplit(".", depth)[0] for key in known for depth in range(1, key.count(".") + 1)}
        if name in sections:
            raise InstallError(
                f"{source}: {name} is a group of values", f"set one of {_of_group(name, known)}"
            )
        if name not in known and not any(known.get(".".join(parts[:n])) for n in range(1, len(parts))):
            raise InstallError(f"{source}: unknown value {name}", _nearest(name, known))


def _leaves(layer: Tree, known: dict[str, bool], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key, value in layer.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and not known.get(name):
            found += _leaves(value, known, f"{name}.")
        else:
            found.append(name)
    return found


def _of_group(name: str, known: dict[str, bool]) -> str:
    return ", ".join(key for key in known if key.startswith(f"{name}."))


def _nearest(name: str, known: dict[str, bool]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    ending = [key for key in known if key.rpartition(".")[2].lower() == name.rpartition(".")[2].lower()]
    best = (near or ending)[:1]
    every = "docs/install.md lists every value"
    return f"did you mean {best[0]}? {every}" if best else every


def check_cluster_id(source: str, cluster_id: str) -> None:
    """Raise InstallError unless the text can be a cluster id."""
    if not names.is_dns_label(cluster_id):
        raise InstallError(
            f'{source}: "{cluster_id}" cannot be a cluster id',
            "use up to 50 lower-case letters, digits and dashes, starting and ending with a letter or digit",
        )
    if len(cluster_id) > _LONGEST_CLUSTER_ID:
        raise InstallError(
            f'{source}: "{cluster_id}" is {len(cluster_id)} characters long',
            f"names made from it at peers allow at most {_LONGEST_CLUSTER_ID}",
        )


def check_values(values: Values) -> None:
    """Raise InstallError for the first value whose content cannot be used."""
    if values.cluster_id:
        check_cluster_id("cluster id (--cluster-id)", values.cluster_id)
    if not (values.authentication.enabled or values.offloading.enabled or values.networking.enabled):
        raise InstallError(
            "values authentication.enabled, offloading.enabled and networking.enabled are all false",
            "leave one of them on",
        )
    _check_choices(values)
    _check_numbers(values)
    _check_address(values)
    check_networking(values.networking)
    check_ranges(values.ipam)
    _check_metadata(values)


def _check_choices(values: Values) -> None:
    for name, value, choices in (
        (
            "controllerManager.config.defaultLimitsEnforcement",
            values.controller_manager.config.default_limits_enforcement,
            _ENFORCEMENTS,
        ),
        ("pullPolicy", values.pull_policy, _PULL_POLICIES),
        (
            "virtualKubelet.virtualNode.taintEffect",
            values.virtual_kubelet.virtual_node.taint_effect,
            labels.TAINT_EFFECTS,
        ),
        ("webhook.failurePolicy", values.webhook.failure_policy, _FAILURE_POLICIES),
    ):
        if value not in choices:
            raise InstallError(f'value {name}: "{value}" is none of {", ".join(choices)}')
    if _IMAGE.fullmatch(values.image) is None:
        raise InstallError(
            f'image (--image, --version): "{values.image}" is not a valid image reference',
            f"for instance {Values().image}",
        )


def _check_numbers(values: Values) -> None:
    if values.controller_manager.replicas < 1:
        raise InstallError(
            f"value controllerManager.replicas: {values.controller_manager.replicas} is below 1"
        )
    port = values.webhook.port
    if not 1024 <= port <= 65535 or port in (8081, 10250):
        raise InstallError(
            f"value webhook.port: {port} cannot be used", "choose one of 1024 to 65535, not 8081 or 10250"
        )
    api_server_check_interval(values.controller_manager.pod.extra_args)
    check_proxy(values.proxy, taken=(8081, 10250, port))


def _check_address(values: Values) -> None:
    address = values.api_server.address
    if address:
        try:
            url = urlsplit(address if "://" in address else f"https://{address}")
            usable = url.scheme == "https" and bool(url.hostname) and (url.port is None or url.port > 0)
        except ValueError:
            usable = False
        if not usable:
            raise InstallError(
                f'API server address (--api-server-url): "{address}" is not a valid https URL',
                "for instance https://203.0.113.5:6443",
            )


def _check_metadata(values: Values) -> None:
    labels: tuple[tuple[str, dict[str, Any]], ...] = (
        ("discovery.config.clusterLabels (--cluster-labels)", values.discovery.config.cluster_labels),
        ("common.globalLabels", values.common.global_labels),
        ("controllerManager.pod.labels", values.controller_manager.pod.labels),
        ("networking.fabric.pod.labels", values.networking.fabric.pod.labels),
        ("virtualKubelet.virtualNode.extra.labels", values.virtual_kubelet.virtual_node.extra.labels),
    )
    for name, pairs in labels:
        for key, value in pairs.items():
            text = placeholders.sample(str(value)) if name == "common.globalLabels" else str(value)
            if _LABEL_KEY.fullmatch(key) is None or not names.is_label_value(text):
                raise InstallError(f'value {name}: "{key}={value}" is not a valid label')


def check_namespace(namespace: str) -> None:
    """Raise InstallError unless the text can be the name of a namespace to install into."""
    if not names.is_dns_label(namespace) or namespace.startswith("kube-"):
        raise InstallError(
            f'--namespace: "{namespace}" cannot be installed into',
            "use a DNS label that does not start with kube-, usually liqo",
        )
