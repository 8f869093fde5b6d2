"""The kubeconfig of an Identity, and the Secret it is kept in (wire.md 5). Pure.

What goes in comes from another cluster: it is checked, and every value is written as a JSON string, which is
YAML for any text. Fails with RefusedError.
"""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from isthmus.api import labels, names
from isthmus.api.authentication import IDENTITIES, AuthParams, Identity
from isthmus.kube.objects import Manifest
from isthmus.kube.ownership import forge_controller
from isthmus.peering import secret_data
from isthmus.peering.errors import RefusedError
from isthmus.peering.handshake import CONTROL_PLANE

KUBECONFIG = "kubeconfig"
MAXIMUM_VALUE = 64 * 1024
"""Bytes of a certificate or an authority, base64, that are taken from a peer."""
MAXIMUM_URL = 2048

_TEMPLATE = """\
apiVersion: v1
kind: Config
clusters:
- name: {cluster}
  cluster:
    server: {server}
{options}contexts:
- name: default-context
  context:
    cluster: {cluster}
    user: {user}
{namespace}current-context: default-context
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"""


def render_kubeconfig(identity: Identity, private_key: str) -> str:
    """The kubeconfig of an Identity with the cluster's private key (PEM). Raises RefusedError."""
    params = identity.spec.auth_params
    require_params(params)
    options = ""
    if params.ca:
        options += f"    certificate-authority-data: {json.dumps(params.ca)}\n"
    if params.proxy_url:
        options += f"    proxy-url: {json.dumps(params.proxy_url)}\n"
    in_namespace = identity.spec.namespace if identity.spec.type == CONTROL_PLANE else ""
    return _TEMPLATE.format(
        cluster=json.dumps(identity.spec.cluster_id),
        server=json.dumps(params.api_server),
        options=options,
        user=json.dumps(identity.metadata.name),
        namespace=f"    namespace: {json.dumps(in_namespace)}\n" if in_namespace else "",
        certificate=json.dumps(params.signed_crt),
        key=json.dumps(secret_data.encode(private_key)),
    )


def require_params(params: AuthParams) -> None:
    """What a provider gave is usable and of bounded size. Raises RefusedError."""
    if params.aws_config:
        raise RefusedError(
            "UnsupportedIdentity", "spec.authParams.awsConfig: identities of AWS are not supported"
        )
    for field, value in (("signedCRT", params.signed_crt), ("ca", params.ca)):
        if not value and field == "ca":
            continue
        try:
            pem = secret_data.decode(value) if len(value) <= MAXIMUM_VALUE else b""
        except ValueError:
            pem = b""
        if b"-----BEGIN CERTIFICATE-----" not in pem:
            raise RefusedError(
                "InvalidIdentity", f"spec.authParams.{field} is not a PEM certificate in base64"
            )
    _require_url(params.api_server, "apiServer", ("https",))
    if params.proxy_url:
        _require_url(params.proxy_url, "proxyURL", ("http", "https"))


def forge_kubeconfig_secret(identity: Identity, kubeconfig: str) -> Manifest:
    """The Secret of an Identity, owned by it; the replicator finds the control plane's by label and annotation."""
    spec = identity.spec
    metadata: Manifest = {
        "name": names.kubeconfig_secret(identity.metadata.name),
        "labels": {labels.IDENTITY_TYPE: spec.type, labels.REMOTE_CLUSTER_ID: spec.cluster_id},
        "ownerReferences": [forge_controller(IDENTITIES, identity)],
    }
    if spec.type == CONTROL_PLANE and spec.namespace:
        metadata["annotations"] = {labels.REMOTE_TENANT_NAMESPACE: spec.namespace}
    return {"metadata": metadata, "type": "Opaque", "data": {KUBECONFIG: secret_data.encode(kubeconfig)}}


def _require_url(text: str, field: str, schemes: tuple[str, ...]) -> None:
    try:
        url = urlsplit(text)
        usable = url.scheme in schemes and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        usable = False
    if not usable or len(text) > MAXIMUM_URL or not (text.isascii() and text.isprintable()) or " " in text:
        kinds = " or ".join(f"{scheme}://" for scheme in schemes)
        raise RefusedError(
            "InvalidIdentity", f"spec.authParams.{field} {text[:128]!r} is not a valid URL with {kinds}"
        )
