"""Contract stub; see the docstrings. To be implemented by the kube helper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where an API server is and how to prove who we are: one resolved kubeconfig context.

    PEM material is held as text; `token_file` and `exec` are read again when they change or expire.
    `server` is a base URL, `namespace` the context's default namespace, `proxy_url` an HTTP CONNECT proxy.
    """

    server: str
    namespace: str = "default"
    ca_data: str = ""
    tls_server_name: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = ""
    exec: dict[str, Any] | None = None
    proxy_url: str = ""


def load_kubeconfig(
    path: str | Path | None = None, *, context: str = "", cluster: str = "", user: str = ""
) -> Credentials:
    """Resolve a kubeconfig file as kubectl does: `path`, else $KUBECONFIG (merged list), else ~/.kube/config.

    Raises ConfigurationError naming the file, the field and the mend.
    """
    raise NotImplementedError


def parse_kubeconfig(
    text: bytes | str, *, context: str = "", cluster: str = "", user: str = "", source: str = "kubeconfig"
) -> Credentials:
    """Resolve the text of one kubeconfig (for instance of a Secret). Raises ConfigurationError."""
    raise NotImplementedError


def in_cluster() -> Credentials:
    """The service account of the pod we run in. Raises ConfigurationError outside a pod."""
    raise NotImplementedError
