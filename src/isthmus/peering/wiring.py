"""Which controller of this module looks at what: one `Controller` a reconciler, fed by the shared informers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from isthmus.api import names
from isthmus.api.authentication import IDENTITIES, RESOURCE_SLICES, Tenant
from isthmus.kube.manager import Manager
from isthmus.kube.objects import Key, Object
from isthmus.kube.options import Options
from isthmus.kube.ownership import controller_keys
from isthmus.kube.reconcile import Controller
from isthmus.peering.caches import PEER_INDEX, REPLICATED_KINDS, Caches, peer_of
from isthmus.peering.context import Context
from isthmus.peering.foreign_clusters import NetworkView, wire_summaries
from isthmus.peering.identities import IdentityReconciler, SliceIdentityReconciler
from isthmus.peering.keys import ClusterKeys
from isthmus.peering.nonces import (
    NonceReconciler,
    SignatureReconciler,
    is_nonce_secret,
    is_signed_nonce_secret,
)
from isthmus.peering.peer_tasks import PeerReconciler
from isthmus.peering.peers import Peers
from isthmus.peering.races import calmly
from isthmus.peering.renewals import RenewalReconciler, RenewAnswerReconciler
from isthmus.peering.replication_release import ReleaseReconciler
from isthmus.peering.slices_consumer import SliceRequestReconciler
from isthmus.peering.slices_provider import SliceGrantReconciler
from isthmus.peering.tenant_conditions import concerns
from isthmus.peering.tenants import TenantReconciler, rivals

SIGNING_WORKERS = 4
"""Reconcilers that wait for the signer wait up to 30 s; the others at its side go on."""


def wire(manager: Manager, options: Options, network: NetworkView | None) -> None:
    """Add this module's controllers to the manager."""
    keys = ClusterKeys(manager.client, options)
    context = Context(manager.client, manager.events, options, keys)
    caches = Caches(manager.informers)
    peers = Peers()
    manager.tasks.ensure("peering keys", "", keys.ensure)
    _wire_nonces(manager, context, caches)
    _wire_provider(manager, context, caches)
    _wire_consumer(manager, context, caches)
    _wire_replication(manager, context, caches, peers)
    wire_summaries(manager, options, network, peers)


def _wire_nonces(manager: Manager, context: Context, caches: Caches) -> None:
    nonces = manager.add(Controller("nonce", calmly(NonceReconciler(context, caches).reconcile)))
    nonces.watch(caches.secrets, lambda secret: [secret.key] if is_nonce_secret(secret) else [])
    signatures = manager.add(
        Controller("nonce signature", calmly(SignatureReconciler(context, caches).reconcile))
    )
    signatures.watch(caches.secrets, lambda secret: [secret.key] if is_signed_nonce_secret(secret) else [])


def _wire_provider(manager: Manager, context: Context, caches: Caches) -> None:
    tenants = Controller(
        "tenant", calmly(TenantReconciler(context, caches).reconcile), workers=SIGNING_WORKERS
    )
    manager.add(tenants)
    tenants.watch(caches.tenants)
    tenants.watch(caches.tenants, lambda tenant: _keys_in(_successors(caches, tenant)))
    gone_certificate = partial(_is_gone_certificate, caches)
    tenants.watch(
        caches.secrets,
        lambda secret: (
            [tenant.key for tenant in caches.tenants.by_index(PEER_INDEX, peer_of(secret))]
            if is_nonce_secret(secret) or gone_certificate(secret)
            else []
        ),
    )
    tenants.watch(
        caches.slices,
        lambda slice_: [
            tenant.key
            for tenant in caches.tenants.list(slice_.metadata.namespace)
            if concerns(slice_, tenant.spec.tenant_condition)
        ],
    )
    slices = Controller(
        "slice grant", calmly(SliceGrantReconciler(context, caches).reconcile), workers=SIGNING_WORKERS
    )
    manager.add(slices)
    slices.watch(caches.slices)
    slices.watch(
        caches.secrets,
        lambda secret: (
            _keys_in(caches.slices.list(secret.metadata.namespace)) if gone_certificate(secret) else []
        ),
    )
    slices.watch(caches.tenants, lambda tenant: _keys_in(caches.slices.list(tenant.metadata.namespace)))
    renews = manager.add(Controller("renew answer", calmly(RenewAnswerReconciler(context, caches).reconcile)))
    renews.watch(caches.renews)
    renews.watch(caches.tenants, lambda tenant: _keys_in(caches.renews.list(tenant.metadata.namespace)))


def _wire_consumer(manager: Manager, context: Context, caches: Caches) -> None:
    requests = manager.add(
        Controller("slice request", calmly(SliceRequestReconciler(context, caches).reconcile))
    )
    requests.watch(caches.slices)
    identities = manager.add(Controller("identity", calmly(IdentityReconciler(context, caches).reconcile)))
    identities.watch(caches.identities)
    identities.watch(caches.secrets, lambda secret: controller_keys(secret, IDENTITIES))
    identities.watch(caches.renews, lambda renew: controller_keys(renew, IDENTITIES))
    from_slices = manager.add(
        Controller("slice identity", calmly(SliceIdentityReconciler(context, caches).reconcile))
    )
    from_slices.watch(caches.slices)
    from_slices.watch(caches.identities, lambda identity: controller_keys(identity, RESOURCE_SLICES))
    renewals = manager.add(Controller("renewal", calmly(RenewalReconciler(context, caches).reconcile)))
    renewals.watch(caches.renews)
    renewals.watch(caches.identities)  # The Renew has the Identity's name.


def _wire_replication(manager: Manager, context: Context, caches: Caches, peers: Peers) -> None:
    reconciler = PeerReconciler(context, caches, peers, manager.tasks)
    secrets = manager.add(Controller("peer", calmly(reconciler.reconcile)))
    secrets.watch(caches.secrets, reconciler.keys_of_secret)
    secrets.watch(caches.foreign_clusters, reconciler.keys_of_foreign_cluster)
    for kind in REPLICATED_KINDS:
        objects = caches.replicated[kind.plural]
        secrets.watch(objects, reconciler.keys_of_object)
        release = ReleaseReconciler(context, caches, peers, kind)
        controller = manager.add(Controller(f"release {kind.plural}", calmly(release.reconcile)))
        controller.watch(objects)
        controller.watch(caches.secrets, release.keys_of_secret)
        controller.watch(caches.foreign_clusters, release.keys_of_foreign_cluster)


def _successors(caches: Caches, tenant: Tenant) -> list[Tenant]:
    """The Tenants that were refused as long as this one was there, once it goes."""
    present = caches.tenants.get(tenant.key)
    return rivals(tenant, caches.tenants.list()) if present is None or present.deleting else []


def _is_gone_certificate(caches: Caches, secret: Object) -> bool:
    """Whether a Secret that pinned a consumer's request was deleted, so that another one may be signed."""
    kept = secret.metadata.name.startswith(names.REMOTE_CERTIFICATE_SECRET)
    return kept and caches.secrets.get(secret.key) is None


def _keys_in(objects: Iterable[Object]) -> list[Key]:
    return [object_.key for object_ in objects]
