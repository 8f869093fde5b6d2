"""On the consumer: Identities, from what a provider signed to a kubeconfig (behaviour 3.3 steps 6, 7, 10, 3.8).

Two reconcilers. One makes the Secret of every Identity, and for the control plane's the Renew through which
renewed certificates come back. The other makes the Identity of every slice that the provider authenticated. A
Secret of that name that belongs to somebody else is left alone, with an event.
"""

from __future__ import annotations

import msgspec

from isthmus.api import labels, names
from isthmus.api.authentication import (
    IDENTITIES,
    RENEWS,
    RESOURCE_SLICES,
    AuthParams,
    Identity,
    ResourceSlice,
)
from isthmus.kube.builtin import SECRETS, Secret
from isthmus.kube.objects import Key, Manifest
from isthmus.kube.ownership import forge_controller, is_controlled_by
from isthmus.peering.caches import Caches
from isthmus.peering.context import Context
from isthmus.peering.errors import RefusedError
from isthmus.peering.handshake import CONTROL_PLANE, forge_identity
from isthmus.peering.kubeconfigs import forge_kubeconfig_secret, render_kubeconfig, require_params
from isthmus.peering.slice_grants import ACCEPTED, AUTHENTICATION, DENIED, decided


class IdentityReconciler:
    """Makes an Identity's kubeconfig Secret and, for the control plane, its Renew."""

    def __init__(self, context: Context, caches: Caches) -> None:
        self._context = context
        self._client = context.client
        self._caches = caches

    async def reconcile(self, key: Key) -> None:
        """Bring Secret, Renew and status in line; what the Identity owns is collected with it."""
        identity = self._caches.identities.get(key)
        if identity is None or identity.deleting:
            return
        try:
            require_identity(identity)
            secret = await self._keep_secret(identity)
        except RefusedError as error:
            self._context.events.record(IDENTITIES, identity, error.reason, str(error), "Warning")
            return
        reference = identity.status.kubeconfig_secret_ref
        if secret and (reference is None or reference.name != secret):
            patch = {"status": {"kubeconfigSecretRef": {"name": secret}}}
            await self._client.patch(IDENTITIES, key.name, patch, key.namespace, subresource="status")
        if identity.spec.type == CONTROL_PLANE and self._caches.renews.get(key) is None:
            manifest = forge_renew(identity, self._context.options.cluster_id)
            await self._client.create(RENEWS, manifest, key.namespace)

    async def _keep_secret(self, identity: Identity) -> str:
        keys = await self._context.keys.read()
        wanted = forge_kubeconfig_secret(identity, render_kubeconfig(identity, keys.private))
        name, namespace = wanted["metadata"]["name"], identity.metadata.namespace
        present = await self._client.find(SECRETS, name, namespace)
        if present is None:
            await self._client.create(SECRETS, wanted, namespace)
        elif present.deleting:
            return ""  # It is made anew once it is gone, which we are told.
        elif not is_controlled_by(present, identity):
            raise RefusedError(
                "KubeconfigSecretTaken",
                f"Secret {name} belongs to somebody else: rename or delete it to have this Identity's made",
            )
        elif patch := plan_secret(present, wanted):
            await self._client.patch(SECRETS, name, patch, namespace)
        return str(name)


class SliceIdentityReconciler:
    """Makes the Identity of a slice while the provider authenticates it."""

    def __init__(self, context: Context, caches: Caches) -> None:
        self._context = context
        self._client = context.client
        self._caches = caches

    async def reconcile(self, key: Key) -> None:
        """Create, update or delete the slice's Identity."""
        slice_ = self._caches.slices.get(key)
        if slice_ is None or slice_.deleting or slice_.metadata.labels.get(labels.REPLICATION) != labels.TRUE:
            return
        name = names.resource_slice_identity(key.name)
        present = self._caches.identities.get(Key(key.namespace, name))
        ruling = decided(slice_, AUTHENTICATION)
        if ruling == DENIED and present is not None and is_controlled_by(present, slice_):
            await self._client.delete(IDENTITIES, name, key.namespace, uid=present.metadata.uid)
        params = slice_.status.auth_params
        if ruling != ACCEPTED or params is None:
            return
        try:
            require_params(params)
            wanted = forge_slice_identity(slice_, params)
        except (RefusedError, ValueError) as error:
            reason = error.reason if isinstance(error, RefusedError) else "InvalidIdentity"
            self._context.events.record(RESOURCE_SLICES, slice_, reason, str(error), "Warning")
            return
        await self._keep(present, wanted, slice_)

    async def _keep(self, present: Identity | None, wanted: Manifest, slice_: ResourceSlice) -> None:
        name, namespace = wanted["metadata"]["name"], slice_.metadata.namespace
        if present is None:
            await self._client.create(IDENTITIES, wanted, namespace)
        elif not is_controlled_by(present, slice_):
            message = f"Identity {name} belongs to somebody else: rename or delete it"
            self._context.events.record(RESOURCE_SLICES, slice_, "IdentityTaken", message, "Warning")
        elif msgspec.to_builtins(present.spec) != wanted["spec"]:
            await self._client.patch(IDENTITIES, name, plan_spec(present, wanted["spec"]), namespace)


def require_identity(identity: Identity) -> None:
    """The Identity says which provider it is for, by spec and label alike. Raises RefusedError."""
    provider = identity.spec.cluster_id
    if not names.is_dns_label(provider):
        raise RefusedError("InvalidIdentity", f"spec.clusterID {provider[:64]!r} is not a valid DNS label")
    if identity.metadata.labels.get(labels.REMOTE_CLUSTER_ID, provider) != provider:
        raise RefusedError("InvalidIdentity", f"label {labels.REMOTE_CLUSTER_ID} is not {provider!r}")
    if identity.spec.type == CONTROL_PLANE and not names.is_dns_label(identity.spec.namespace):
        raise RefusedError(
            "InvalidIdentity", "spec.namespace must be this cluster's tenant namespace on the provider"
        )


def plan_secret(present: Secret, wanted: Manifest) -> Manifest | None:
    """The merge patch that makes a Secret as wanted, None where it is; what else it holds stays."""
    metadata = wanted["metadata"]
    same = (
        wanted["data"].items() <= present.data.items()
        and metadata["labels"].items() <= present.metadata.labels.items()
        and metadata.get("annotations", {}).items() <= present.metadata.annotations.items()
    )
    if same:
        return None
    marks = {key: metadata[key] for key in ("labels", "annotations") if key in metadata}
    return {"metadata": {"uid": present.metadata.uid, **marks}, "data": wanted["data"]}


def plan_spec(present: Identity, spec: Manifest) -> Manifest:
    """The merge patch that makes an Identity's spec as given, also where fields have gone."""
    gone = dict.fromkeys(msgspec.to_builtins(present.spec.auth_params))
    return {
        "metadata": {"uid": present.metadata.uid, "resourceVersion": present.metadata.resource_version},
        "spec": {**spec, "authParams": {**gone, **spec["authParams"]}},
    }


def forge_slice_identity(slice_: ResourceSlice, params: AuthParams) -> Manifest:
    """The Identity of an authenticated slice, owned by it. Raises ValueError on an id that is none."""
    provider = slice_.metadata.labels.get(labels.REMOTE_ID, "")
    manifest = forge_identity(
        provider, params, namespace=slice_.metadata.namespace, slice_=slice_.metadata.name
    )
    manifest["metadata"]["ownerReferences"] = [forge_controller(RESOURCE_SLICES, slice_)]
    return manifest


def forge_renew(identity: Identity, own_id: str) -> Manifest:
    """The standing request for renewed certificates, replicated to the provider (wire.md 6)."""
    provider = identity.spec.cluster_id
    return {
        "metadata": {
            "name": identity.metadata.name,
            "labels": {
                labels.REPLICATION: labels.TRUE,
                labels.REMOTE_ID: provider,
                labels.REMOTE_CLUSTER_ID: provider,
            },
            "ownerReferences": [forge_controller(IDENTITIES, identity)],
        },
        "spec": {"consumerClusterID": own_id, "identityType": CONTROL_PLANE},
    }
