"""How a renewed certificate of the control plane gets from the provider to the consumer (behaviour 3.8).

Two reconcilers of Renews. On the provider, the copy is answered with what the Tenant's status has. On the
consumer, the answer goes into the Identity, unless it is older than what is there.
"""

from __future__ import annotations

import msgspec

from isthmus.api import labels
from isthmus.api.authentication import IDENTITIES, RENEWS, AuthParams, Renew, Tenant
from isthmus.kube.objects import Key, Manifest
from isthmus.kube.ownership import controller_keys
from isthmus.peering import secret_data
from isthmus.peering.caches import Caches
from isthmus.peering.context import Context
from isthmus.peering.errors import RefusedError
from isthmus.peering.handshake import CONTROL_PLANE
from isthmus.peering.identities import plan_spec
from isthmus.peering.kubeconfigs import require_params
from isthmus.peering.tenant_conditions import is_replicated
from isthmus.peering.validity import read_validity


class RenewAnswerReconciler:
    """On the provider: answers the Renews that consumers replicate here."""

    def __init__(self, context: Context, caches: Caches) -> None:
        self._client = context.client
        self._caches = caches

    async def reconcile(self, key: Key) -> None:
        """Copy the Tenant's parameters into the Renew's status."""
        renew = self._caches.renews.get(key)
        if renew is None or renew.deleting or not is_replicated(renew.metadata.labels):
            return
        if patch := plan_answer(renew, list(self._caches.tenants.list(key.namespace))):
            await self._client.patch(RENEWS, key.name, patch, key.namespace, subresource="status")


class RenewalReconciler:
    """On the consumer: takes renewed certificates over into the Identity."""

    def __init__(self, context: Context, caches: Caches) -> None:
        self._context = context
        self._caches = caches

    async def reconcile(self, key: Key) -> None:
        """Copy the Renew's parameters into the Identity that owns it."""
        renew = self._caches.renews.get(key)
        if renew is None or renew.deleting or renew.metadata.labels.get(labels.REPLICATION) != labels.TRUE:
            return
        params = renew.status.auth_params
        if params is None:
            return
        for owner in controller_keys(renew, IDENTITIES):
            identity = self._caches.identities.get(owner)
            if identity is None or identity.deleting or not is_newer(params, identity.spec.auth_params):
                continue
            try:
                require_params(params)
            except RefusedError as error:
                self._context.events.record(RENEWS, renew, error.reason, str(error), "Warning")
                continue
            spec = {"authParams": msgspec.to_builtins(params)}
            patch = plan_spec(identity, spec)
            await self._context.client.patch(IDENTITIES, owner.name, patch, owner.namespace)


def plan_answer(renew: Renew, tenants: list[Tenant]) -> Manifest | None:
    """The patch of a copied Renew's status, None where it is right or nothing can be answered."""
    if renew.spec.identity_type not in ("", CONTROL_PLANE):
        return None
    for tenant in tenants:
        if tenant.deleting or tenant.spec.cluster_id != renew.spec.consumer_cluster_id:
            continue
        params = tenant.status.auth_params
        if params is not None and params != renew.status.auth_params:
            fields = dict.fromkeys(("ca", "proxyURL", "awsConfig"))
            return {"status": {"authParams": fields | msgspec.to_builtins(params)}}
    return None


def is_newer(params: AuthParams, present: AuthParams) -> bool:
    """Whether parameters differ from the present ones and their certificate is not an older one.

    An Identity may have been given a fresher certificate by hand than the Renew has seen yet.
    """
    if params == present:
        return False
    try:
        new = read_validity(secret_data.decode(params.signed_crt).decode())
    except ValueError:
        return False
    try:
        old = read_validity(secret_data.decode(present.signed_crt).decode())
    except ValueError:
        return True
    return new.not_before >= old.not_before
