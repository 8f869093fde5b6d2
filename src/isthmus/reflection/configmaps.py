"""ConfigMaps: copied as they are; the authority of this cluster's API server under a name of its own.

Every namespace of the provider has a `kube-root-ca.crt` already, the provider's, so ours is renamed (wire.md 2);
pods that talk to their home API server need it, so it is reflected unless it is annotated not to be.
"""

from __future__ import annotations

from isthmus.api.names import root_ca_config_map
from isthmus.kube.builtin import CONFIG_MAPS
from isthmus.kube.objects import Manifest
from isthmus.reflection.content import LOCAL_CONFIG_MAPS, REMOTE_CONFIG_MAPS, Content, WholeContent
from isthmus.reflection.engine import ReflectedKind
from isthmus.reflection.metadata import is_wanted
from isthmus.reflection.session import ReflectionSession, ReflectorOptions

ROOT_CA = "kube-root-ca.crt"


def forge(local: Content) -> Manifest:
    """The copy of a ConfigMap but for its metadata."""
    manifest: Manifest = {"data": local.data, "binaryData": local.binary_data}
    if local.immutable is not None:
        manifest["immutable"] = local.immutable
    return manifest


def same(local: Content, remote: Content) -> bool:
    """Whether contents and immutability are equal."""
    return local.digest == remote.digest and bool(local.immutable) == bool(remote.immutable)


def immovable(local: Content, remote: Content) -> bool:
    """Whether the copy is frozen with another content, or frozen where the original is not."""
    return bool(remote.immutable) and not same(local, remote)


def takes(local: Content, options: ReflectorOptions) -> bool:
    """Whether a ConfigMap is reflected; the root CA also under AllowList."""
    return is_wanted(local.metadata, "DenyList" if local.metadata.name == ROOT_CA else options.type)


def plan(session: ReflectionSession) -> ReflectedKind[Content, Content]:
    """How ConfigMaps are reflected in this session."""
    renamed = root_ca_config_map(session.home_id)

    def remote_name(name: str) -> str:
        return renamed if name == ROOT_CA else name

    def local_name(name: str) -> str | None:
        return ROOT_CA if name == renamed else None if name == ROOT_CA else name

    return ReflectedKind(
        name="configmap",
        local=LOCAL_CONFIG_MAPS,
        whole=CONFIG_MAPS.view(WholeContent),
        remote=REMOTE_CONFIG_MAPS,  # type: ignore[arg-type]
        remote_name=remote_name,
        local_name=local_name,
        takes=takes,
        complete=lambda local: local.held,
        same=same,
        immovable=immovable,
        forge=forge,
    )
