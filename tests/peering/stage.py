"""Two clusters whose controllers peer: rome, which consumes, and milan, which provides.

Their controllers run against API servers in memory; a user's part, and that of milan's certificate signer, is played.
Rome's controller comes to milan by a door at which the permissions that milan's controller grants are asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from msgspec.structs import replace

from isthmus import peering
from isthmus.api import labels, names
from isthmus.kube.certificates import make_request
from isthmus.kube.options import Options
from isthmus.peering import handshake, secret_data
from tests.apiserver import ApiServer, Change, Json, pairs, running
from tests.kube.authority import DAY, Authority
from tests.kube.fake import Exchange, FakeServer

HERE, THERE = "liqo-tenant-milan", "liqo-tenant-rome"
"""Rome's tenant namespace at home, and at milan."""
CONTROL_PLANE, SLICE = "controlplane-milan", "resourceslice-milan"
"""The names of rome's Identities."""
YEAR = 365 * DAY
_AUTHORITY = Authority()


@dataclass
class Site:
    """A cluster with what happens to it: how long its certificates live, whether they are signed, who is let in."""

    id: str
    api: ApiServer = field(default_factory=ApiServer)
    lifetime: float = YEAR
    signs: bool = True
    refused: tuple[int, str] | None = None
    """What its door answers to whoever comes, such as (401, "Unauthorized")."""
    visits: list[str] = field(default_factory=list)
    """What was asked for at its door: method and path."""
    options: Options = field(init=False)
    door: FakeServer = field(init=False)

    def __post_init__(self) -> None:
        self.door = FakeServer(self._let_in)
        # Hours pass: nobody asks every ten seconds whether the other is there unless a test is about that.
        self.options = Options(
            cluster_id=self.id, api_server_ca=_AUTHORITY.pem, api_server_check_interval=600
        )
        self.api.on_change(self._sign)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Have it reached by peers."""
        async with self.door:
            pairs.listen(self.door)
            address = f"https://{self.id}.test:{self.door.port}"
            self.options = replace(self.options, api_server_address=address)
            try:
                yield
            finally:
                pairs.close(self.door)

    @contextlib.asynccontextmanager
    async def controlled(self) -> AsyncIterator[None]:
        """Have its controller run, until it is killed at the end of the block."""
        async with running(self.api, peering.setup, options=self.options):
            yield

    def get(self, plural: str, namespace: str, name: str) -> Json:
        """An object, {} where it is not there."""
        return self.api.get(plural, namespace, name) or {}

    def refusal(self, reason: str) -> str:
        """The last event with that reason, "" where there is none."""
        return ["", *self.api.events(reason)][-1]

    def _sign(self, change: Change) -> None:
        value = change.new
        conditions = value.get("status", {}).get("conditions", [])
        approved = any(one["type"] == "Approved" for one in conditions)
        if change.place.plural != "certificatesigningrequests" or change.type == "DELETED" or not self.signs:
            return
        if approved and "certificate" not in value["status"]:
            pem = _AUTHORITY.sign(secret_data.decode(value["spec"]["request"]), self.lifetime)
            self.api.merge(*change.place, {"status": {"certificate": secret_data.encode(pem)}})

    async def _let_in(self, exchange: Exchange) -> None:
        self.visits.append(f"{exchange.method} {exchange.path}")
        parts = exchange.path.split("/")
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else ""
        if self.refused is not None:
            await exchange.fail(*self.refused)
        elif exchange.path != "/livez" and not self._is_allowed(namespace):
            await exchange.fail(403, "Forbidden", "rome may not do that")
        else:
            await self.api.handle(exchange)

    def _is_allowed(self, namespace: str) -> bool:
        binding = self.get("rolebindings", namespace, names.ROLE_BINDING_REMOTE_CONTROL_PLANE)
        return [one["name"] for one in binding.get("subjects", [])] == ["rome"]


@contextlib.asynccontextmanager
async def two(rome: Site | None = None, milan: Site | None = None) -> AsyncIterator[tuple[Site, Site]]:
    """Both clusters with their controllers."""
    rome, milan = rome or Site("rome"), milan or Site("milan")
    async with rome.open(), milan.open(), milan.controlled(), rome.controlled():
        yield rome, milan


async def proof(rome: Site, milan: Site) -> dict[str, Any]:
    """What rome's user tells milan's: key, request and signature, once rome's controller has made them."""
    rome.api.put("namespaces", handshake.forge_tenant_namespace("milan"))
    milan.api.put("namespaces", handshake.forge_tenant_namespace("rome"))
    milan.api.put("secrets", handshake.forge_nonce_secret("rome", THERE))
    nonce = await milan.api.until(lambda: _data(milan, THERE, names.NONCE_SECRET, "nonce"))
    rome.api.put("secrets", handshake.forge_signed_nonce_secret("milan", HERE, nonce))
    signature = await rome.api.until(lambda: _data(rome, HERE, names.SIGNED_NONCE_SECRET, "signedNonce"))
    private, public = (
        _data(rome, "liqo", names.AUTHENTICATION_KEYS, key).decode() for key in ("privateKey", "publicKey")
    )
    csr = await make_request(private, "rome", [names.GROUP_CONTROL_PLANE])
    return {"public_key": public, "csr": csr, "signature": signature}


def _data(site: Site, namespace: str, name: str, key: str) -> bytes:
    return secret_data.decode(site.get("secrets", namespace, name).get("data", {}).get(key, ""))


async def admitted(rome: Site, milan: Site, **spec: Any) -> Json:
    """Have rome's Tenant made at milan and answered; its status."""
    manifest = handshake.forge_tenant("rome", namespace=THERE, **await proof(rome, milan))
    milan.api.put("tenants", {**manifest, "spec": {**manifest["spec"], **spec}})
    await milan.api.until(lambda: tenant(milan).get("status"))
    return dict(tenant(milan)["status"])


def tenant(milan: Site) -> Json:
    """Rome's Tenant."""
    return milan.get("tenants", THERE, "rome")


async def identified(rome: Site, milan: Site) -> None:
    """Have rome get the identity of its control plane, and be in touch with milan."""
    status = await admitted(rome, milan)
    marks = {labels.REMOTE_CLUSTER_ID: "milan"}
    spec = {"clusterID": "milan", "type": "ControlPlane", "namespace": status["tenantNamespace"]}
    metadata = {"name": CONTROL_PLANE, "namespace": HERE, "labels": marks}
    rome.api.put("identities", {"metadata": metadata, "spec": {**spec, "authParams": status["authParams"]}})
    await milan.api.until(lambda: milan.get("renews", THERE, CONTROL_PLANE))


def ask(rome: Site, name: str = "milan", **wish: Any) -> None:
    """Have rome's user ask for a slice."""
    rome.api.put("resourceslices", handshake.forge_resource_slice("milan", HERE, name=name, **wish))


def rulings(site: Site, name: str = "milan") -> dict[str, str]:
    """What the status of a slice says at a cluster, by type of condition."""
    status = site.get("resourceslices", HERE if site.id == "rome" else THERE, name).get("status", {})
    return {one["type"]: one["status"] for one in status.get("conditions", [])}


ACCEPTED = {"Authentication": "Accepted", "Resources": "Accepted"}


async def peered(rome: Site, milan: Site) -> None:
    """The whole way, until rome has the credentials of a slice that milan grants."""
    await identified(rome, milan)
    ask(rome)
    await rome.api.until(lambda: rulings(rome) == ACCEPTED)
    await rome.api.until(partial(rome.api.get, "secrets", HERE, names.kubeconfig_secret(SLICE)))


def certificate(rome: Site, identity: str) -> str:
    """The certificate in an Identity of rome's (base64)."""
    return str(
        rome.get("identities", HERE, identity).get("spec", {}).get("authParams", {}).get("signedCRT", "")
    )
