"""What `info peer` tells of certificates and of consumers' conditions, and what to do about them. Pure."""

from __future__ import annotations

import time
from typing import Any

from isthmus.api.authentication import Identity, Tenant
from isthmus.api.core import ForeignCluster, ForeignClusterCondition
from isthmus.cli.status import explain
from isthmus.peering import secret_data
from isthmus.peering.handshake import CONTROL_PLANE
from isthmus.peering.peer_summaries import CERTIFICATE_REFUSED
from isthmus.peering.tenant_conditions import ACTIVE, CORDONED
from isthmus.peering.validity import Validity, read_validity

OVERDUE_SHARE = 0.9
"""The share of a certificate's life after which it should long have been renewed (at two thirds)."""


def read_life(identity: Identity) -> Validity | None:
    """The life of an Identity's certificate, None where it has none that can be read."""
    try:
        return read_validity(secret_data.decode(identity.spec.auth_params.signed_crt).decode())
    except ValueError:
        return None


def report_identity(identity: Identity, now: float) -> dict[str, Any]:
    """One Identity, with how long its certificate is valid."""
    life = read_life(identity)
    return {
        "name": identity.metadata.name,
        "type": identity.spec.type,
        "validUntil": as_date(life.not_after) if life is not None else "",
        "expired": life is not None and life.not_after <= now,
    }


def as_date(moment: float) -> str:
    """A moment as Kubernetes writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def certificate_alerts(
    identities: list[Identity], found: ForeignCluster, own_id: str, now: float
) -> list[str]:
    """What is wrong with the certificates towards a provider, but for what its ForeignCluster says already."""
    conditions = found.status.modules.authentication.conditions
    refused = any(one.reason == CERTIFICATE_REFUSED for one in conditions)
    peer = found.spec.cluster_id or found.metadata.name
    lines = []
    for identity in identities:
        life = read_life(identity)
        if life is None or now < life.not_before + (life.not_after - life.not_before) * OVERDUE_SHARE:
            continue
        end = as_date(life.not_after)
        if identity.spec.type == CONTROL_PLANE and life.not_after <= now:
            if not refused:
                ended = ForeignClusterCondition(reason=CERTIFICATE_REFUSED, message=f"it ended at {end}")
                lines.append(explain(ended, found, own_id))
        elif life.not_after <= now:
            lines.append(
                f"the certificate of Identity {identity.metadata.name} ended at {end}: {peer} signs a new one "
                "by itself, and it is fetched as soon as this cluster has a valid identity there and both "
                "controllers run"
            )
        else:
            lines.append(
                f"the certificate of Identity {identity.metadata.name} ends at {end} and should have been renewed: "
                f"check that Isthmus runs in {peer} and that its API server answers"
            )
    return lines


def tenant_alerts(tenants: list[Tenant], peer: str) -> list[str]:
    """What a consumer may not do here, and the command that changes it."""
    lines = []
    for tenant in tenants:
        condition, name = tenant.spec.tenant_condition, tenant.metadata.name
        if condition == ACTIVE:
            continue
        if condition == CORDONED:
            lines.append(
                f"{peer} is cordoned and gets nothing new here: isthmus uncordon tenant {name} ends that"
            )
        else:
            lines.append(
                f"{peer} is {condition.lower()} and can do nothing here: isthmus activate tenant {name} lets it "
                "in again"
            )
    return lines
