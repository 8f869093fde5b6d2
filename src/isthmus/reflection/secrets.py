"""Secrets: copied as they are, but for those that say who somebody is in this cluster, and Helm's records.

Legacy service account tokens are not reflected: offloaded pods get short-lived tokens of their own (`tokens.py`).
Neither these nor Helm's release records are watched at all; the latter are large, change with every release and
no pod mounts them.
"""

from __future__ import annotations

from isthmus.api import labels
from isthmus.kube.builtin import SECRETS
from isthmus.kube.objects import Manifest
from isthmus.reflection.content import LOCAL_SECRETS, REMOTE_SECRETS, Content, WholeContent
from isthmus.reflection.engine import ReflectedKind
from isthmus.reflection.session import ReflectionSession
from isthmus.reflection.tokens import holds_tokens

SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 -- a type of Secret
HELM_RELEASE = "helm.sh/release.v1"
DEFAULT_TYPE = "Opaque"


def forge(local: Content) -> Manifest:
    """The copy of a Secret but for its metadata; the values are base64 text."""
    manifest: Manifest = {"data": local.data, "type": local.type or DEFAULT_TYPE}
    if local.immutable is not None:
        manifest["immutable"] = local.immutable
    return manifest


def same(local: Content, remote: Content) -> bool:
    """Whether contents, type and immutability are equal."""
    return (
        local.digest == remote.digest
        and (local.type or DEFAULT_TYPE) == (remote.type or DEFAULT_TYPE)
        and bool(local.immutable) == bool(remote.immutable)
    )


def immovable(local: Content, remote: Content) -> bool:
    """Whether the copy is frozen with another content, or of another type, which never changes."""
    if (local.type or DEFAULT_TYPE) != (remote.type or DEFAULT_TYPE):
        return True
    return bool(remote.immutable) and not same(local, remote)


def plan(session: ReflectionSession) -> ReflectedKind[Content, Content]:
    """How Secrets are reflected in this session."""
    return ReflectedKind(
        name="secret",
        local=LOCAL_SECRETS,
        whole=SECRETS.view(WholeContent),
        remote=REMOTE_SECRETS,  # type: ignore[arg-type]
        remote_selector=f"!{labels.SERVICE_ACCOUNT_NAME}",  # Not those of tokens, which podtokens.py watches.
        field_selector=f"type!={SERVICE_ACCOUNT_TOKEN},type!={HELM_RELEASE}",
        owns=lambda remote: not holds_tokens(remote),
        complete=lambda local: local.held,
        same=same,
        immovable=immovable,
        forge=forge,
    )
