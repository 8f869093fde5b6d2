"""Where an API server is and how to prove who we are: kubeconfig files and a pod's service account.

A kubeconfig is resolved once into a `Credentials` value; what changes later (token files, exec plugins) is read
again by `authentication`. TLS is always verified and secrets never appear in a message. Every fault is one
`ConfigurationError` that names the source, the field and the mend.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isthmus.kube.dial import parse_endpoint
from isthmus.kube.errors import ConfigurationError, NoKubeconfig

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True, repr=False)
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

    @property
    def route(self) -> Credentials:
        """Where the API server is and what it is verified by, without what proves who we are."""
        return replace(
            self, client_certificate_data="", client_key_data="", token="", token_file="", exec=None
        )

    def __repr__(self) -> str:
        return f"Credentials(server={self.server!r}, namespace={self.namespace!r})"


def load_kubeconfig(
    path: str | Path | None = None, *, context: str = "", cluster: str = "", user: str = ""
) -> Credentials:
    """Resolve a kubeconfig file as kubectl does: `path`, else $KUBECONFIG (merged list), else ~/.kube/config.

    Raises ConfigurationError naming the file, the field and the mend; NoKubeconfig where nothing in particular was
    asked for and there is none.
    """
    absent = ConfigurationError if context or cluster or user else NoKubeconfig
    if path is not None:
        paths = [Path(path).expanduser()]
        source = str(paths[0])
    elif variable := os.environ.get("KUBECONFIG", ""):
        named = [Path(part).expanduser() for part in variable.split(os.pathsep) if part]
        paths = [part for part in named if part.exists()]
        source = f"$KUBECONFIG ({variable})"
        if not paths:
            raise absent(f"{source}: no such file; set it to a kubeconfig that exists")
    else:
        paths = [Path.home() / ".kube" / "config"]
        source = str(paths[0])
        if not paths[0].exists():
            raise absent(f"{source}: no such file; give the path of a kubeconfig")
    merged: dict[str, Any] = {}
    for part in paths:
        _merge(merged, _read(part))
    return _resolve(merged, source, context, cluster, user)


def parse_kubeconfig(
    text: bytes | str, *, context: str = "", cluster: str = "", user: str = "", source: str = "kubeconfig"
) -> Credentials:
    """Resolve the text of one kubeconfig (for instance of a Secret). Raises ConfigurationError.

    File references in it are refused: such a text comes from elsewhere and must not name files of this machine,
    nor programs to run.
    """
    document = _parse(text, source)
    for name, entry in _entries(document, "users", source).items():
        for field in ("client-certificate", "client-key", "tokenFile", "exec"):
            if entry.get(field):
                raise ConfigurationError(
                    f"{source}: users[{name}].user.{field} is not accepted here; give the data itself "
                    "(client-certificate-data, client-key-data, token)"
                )
    for name, entry in _entries(document, "clusters", source).items():
        if entry.get("certificate-authority"):
            raise ConfigurationError(
                f"{source}: clusters[{name}].cluster.certificate-authority is not accepted here; "
                "give certificate-authority-data"
            )
    return _resolve(document, source, context, cluster, user)


def in_cluster() -> Credentials:
    """The service account of the pod we run in. Raises ConfigurationError outside a pod."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "")
    token, ca, namespace = (SERVICE_ACCOUNT / name for name in ("token", "ca.crt", "namespace"))
    if not host or not port:
        raise ConfigurationError(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is not a pod; give a kubeconfig"
        )
    if not token.exists():
        raise ConfigurationError(f"{token}: no such file; let the pod mount its service account's token")
    host = f"[{host}]" if ":" in host else host
    return Credentials(
        server=f"https://{host}:{port}",
        namespace=read_text(namespace).strip() if namespace.exists() else "default",
        ca_data=read_text(ca),
        token_file=str(token),
    )


def read_text(path: Path) -> str:
    """The text of a file that is to hold PEM or a token. Raises ConfigurationError naming it and what is wrong."""
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not text (PEM is expected)") from None


def _read(path: Path) -> dict[str, Any]:
    """One file, its relative references made absolute."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file; give the path of a kubeconfig") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from None
    document = _parse(text, str(path))
    base = path.resolve().parent
    for entry in _entries(document, "clusters", str(path)).values():
        _anchor(entry, ("certificate-authority",), base)
    for entry in _entries(document, "users", str(path)).values():
        _anchor(entry, ("client-certificate", "client-key", "tokenFile"), base)
        plugin = entry.get("exec")
        if isinstance(plugin, dict) and "/" in str(plugin.get("command", "")):
            _anchor(plugin, ("command",), base)
    return document


def _anchor(entry: dict[str, Any], fields: tuple[str, ...], base: Path) -> None:
    for field in fields:
        if isinstance(entry.get(field), str) and entry[field]:
            entry[field] = str(base / entry[field])


def _parse(text: bytes | str, source: str) -> dict[str, Any]:
    import yaml  # Late: 1.4 MB, and most processes take the service account.

    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError):
        raise ConfigurationError(f"{source}: is neither YAML nor JSON; give a kubeconfig") from None
    if not isinstance(document, dict) or not isinstance(document.get("clusters") or [], list):
        raise ConfigurationError(
            f"{source}: is not a valid kubeconfig: `clusters`, `users` and `contexts` are expected"
        )
    return document


def _entries(document: dict[str, Any], kind: str, source: str) -> dict[str, dict[str, Any]]:
    """The named entries of `clusters`, `users` or `contexts`, the first of a name winning."""
    inner = kind[:-1]
    found: dict[str, dict[str, Any]] = {}
    entries = document.get(kind) or []
    if not isinstance(entries, list):
        raise ConfigurationError(f"{source}: {kind} is not a list")
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get(inner) or {}, dict):
            raise ConfigurationError(f"{source}: {kind} holds an entry without name and {inner}")
        found.setdefault(str(entry.get("name", "")), entry.get(inner) or {})
    return found


def _merge(merged: dict[str, Any], document: dict[str, Any]) -> None:
    """As kubectl merges: the first value of a field wins, and the first entry of a name."""
    for field, value in document.items():
        if field in ("clusters", "users", "contexts"):
            merged[field] = [*(merged.get(field) or []), *(value or [])]
        elif not merged.get(field):
            merged[field] = value


def _pick(document: dict[str, Any], kind: str, name: str, source: str, by: str) -> dict[str, Any]:
    entries = _entries(document, kind, source)
    if name not in entries:
        known = ", ".join(sorted(entries)) or "none"
        raise ConfigurationError(f"{source}: {by} names {name!r}, which is not among {kind} ({known})")
    return entries[name]


def _resolve(document: dict[str, Any], source: str, context: str, cluster: str, user: str) -> Credentials:
    name = context or str(document.get("current-context") or "")
    chosen: dict[str, Any] = {}
    if name:
        chosen = _pick(document, "contexts", name, source, "--context" if context else "current-context")
    elif not cluster:
        raise ConfigurationError(f"{source}: current-context is not set; set it or name a context")
    cluster_name = cluster or str(chosen.get("cluster") or "")
    user_name = user or str(chosen.get("user") or "")
    place = _pick(document, "clusters", cluster_name, source, "--cluster" if cluster else f"context {name!r}")
    if user_name:
        identity = _pick(document, "users", user_name, source, "--user" if user else f"context {name!r}")
    else:
        identity = {}
    return _forge(
        place, identity, str(chosen.get("namespace") or "default"), source, (cluster_name, user_name)
    )


def _forge(
    place: dict[str, Any], identity: dict[str, Any], namespace: str, source: str, names: tuple[str, str]
) -> Credentials:
    at_cluster = f"{source}: clusters[{names[0]}].cluster"
    at_user = f"{source}: users[{names[1]}].user"
    _refuse(place, identity, at_cluster, at_user)
    server = str(place.get("server") or "")
    if not server:
        raise ConfigurationError(f"{at_cluster}.server is missing; write it like https://host:6443")
    tls_server_name, proxy_url = str(place.get("tls-server-name") or ""), str(place.get("proxy-url") or "")
    try:
        parse_endpoint(server, tls_server_name, proxy_url)
    except ConfigurationError as error:
        raise ConfigurationError(f"{at_cluster}.{error}") from None
    certificate = _material(identity, "client-certificate", at_user)
    key = _material(identity, "client-key", at_user)
    if bool(certificate) != bool(key):
        missing = "client-key" if certificate else "client-certificate"
        raise ConfigurationError(f"{at_user}.{missing} is missing: a client certificate needs its key")
    plugin = identity.get("exec")
    if plugin is not None and (not isinstance(plugin, dict) or not plugin.get("command")):
        raise ConfigurationError(f"{at_user}.exec.command is missing; name the credential plugin")
    return Credentials(
        server=server,
        namespace=namespace,
        ca_data=_material(place, "certificate-authority", at_cluster),
        tls_server_name=tls_server_name,
        client_certificate_data=certificate,
        client_key_data=key,
        token=str(identity.get("token") or ""),
        token_file=str(identity.get("tokenFile") or ""),
        exec=plugin,
        proxy_url=proxy_url,
    )


def _refuse(place: dict[str, Any], identity: dict[str, Any], at_cluster: str, at_user: str) -> None:
    if place.get("insecure-skip-tls-verify"):
        raise ConfigurationError(
            f"{at_cluster}.insecure-skip-tls-verify is set, but TLS is always verified; remove it and give "
            "certificate-authority-data (and tls-server-name where the certificate is for another name)"
        )
    for field, mend in (
        ("username", "API servers take no passwords any more; give a token, a client certificate or exec"),
        ("auth-provider", "it is gone from Kubernetes since 1.26; use an exec plugin"),
        ("as", "impersonation is not supported; use the identity's own credentials"),
    ):
        if identity.get(field):
            raise ConfigurationError(f"{at_user}.{field} cannot be used: {mend}")


def _material(entry: dict[str, Any], field: str, where: str) -> str:
    """The PEM of `<field>-data` (base64, wins as in kubectl) or of the file `<field>`."""
    data = entry.get(f"{field}-data")
    if data:
        try:
            return base64.b64decode("".join(str(data).split()), validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError):
            raise ConfigurationError(f"{where}.{field}-data is not base64 of PEM") from None
    if entry.get(field):
        try:
            return read_text(Path(str(entry[field])))
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}.{field}: {error}") from None
    return ""
