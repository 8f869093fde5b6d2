"""The Secret of each gateway: made where none is named, checked where the user brings one.

What was checked is remembered by the Secret's uid and version. A Secret in use is never overwritten: keys that
cannot be used are an error that names the mend. To rotate keys, delete or replace the Secret: the Deployment follows.
"""

from __future__ import annotations

import base64

from isthmus.api.networking import WgGateway
from isthmus.kube.builtin import SECRETS, Secret
from isthmus.kube.client import Client
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Key, Manifest, Object
from isthmus.network.gateways.keys import (
    KeysError,
    belongs,
    forge_secret,
    generate_keys,
    read_keys,
)
from isthmus.network.gateways.objects import Side, gateway_name, peer_of

RECHECK = 60.0
"""Seconds between looks at a Secret that carries no label to be watched by."""


class RemnantError(Exception):
    """An object of that name is an earlier gateway's and is about to be collected: it must not be used."""


class KeyStore:
    """The keys of the gateways of one side."""

    def __init__(self, client: Client, secrets: Informer[Object]) -> None:
        self._client = client
        self._secrets = secrets
        self._checked: dict[Key, tuple[str, str, str]] = {}

    def name_of(self, made: WgGateway) -> str:
        """The Secret a gateway's keys are in."""
        return made.spec.secret_ref.name or gateway_name(made.metadata.name)

    def forget(self, key: Key) -> None:
        """The gateway is gone."""
        self._checked.pop(key, None)

    async def ensure(self, side: Side, made: WgGateway) -> str:
        """Have usable keys; the public one, in base64.

        Raises KeysError, RemnantError, AlreadyExists.
        """
        name, namespace = self.name_of(made), made.metadata.namespace
        cached = self._secrets.get(Key(namespace, name))
        if cached is not None and (known := self._known(made.key, cached)):
            return known
        secret = await self._client.find(SECRETS, name, namespace)
        if secret is None:
            secret = await self._create(side, made, name)
        if secret.deleting or _is_remnant(secret, forge_owner(side, made)):
            raise RemnantError(name)
        if known := self._known(made.key, secret):
            return known
        keys = read_keys(secret)
        if not await belongs(keys):
            raise KeysError(f"Secret {namespace}/{name}: publicKey is not that of privateKey; replace both")
        public = base64.b64encode(keys.public).decode()
        self._checked[made.key] = (secret.metadata.uid, secret.metadata.resource_version, public)
        return public

    def recheck(self, made: WgGateway) -> float | None:
        """Seconds until the Secret is to be looked at again, None where it is watched."""
        watched = self._secrets.get(Key(made.metadata.namespace, self.name_of(made))) is not None
        return None if watched else RECHECK

    def _known(self, key: Key, secret: Object) -> str:
        uid, version, public = self._checked.get(key, ("", "", ""))
        meta = secret.metadata
        return public if public and (meta.uid, meta.resource_version) == (uid, version) else ""

    async def _create(self, side: Side, made: WgGateway, name: str) -> Secret:
        if name != gateway_name(made.metadata.name):
            raise KeysError(
                f"spec.secretRef: Secret {made.metadata.namespace}/{name} does not exist; create it with privateKey"
                " and publicKey, or leave secretRef out to have one made"
            )
        keys = await generate_keys()
        manifest = forge_secret(name, made.metadata.namespace, peer_of(made), forge_owner(side, made), keys)
        return await self._client.create(SECRETS, manifest)


def _is_remnant(secret: Secret, owner: Manifest) -> bool:
    """Whether the Secret was made for a gateway of the same name that is gone: it goes too, if later."""
    owners = [one for one in secret.metadata.owner_references if one.kind == owner["kind"]]
    return bool(owners) and all(one.uid != owner["uid"] for one in owners)


def forge_owner(side: Side, made: WgGateway) -> Manifest:
    """The reference by which the Secret goes with the user's gateway; with the Wg object where there is none."""
    for owner in made.metadata.owner_references:
        if owner.kind == side.gateways.kind:
            return {
                "apiVersion": owner.api_version,
                "kind": owner.kind,
                "name": owner.name,
                "uid": owner.uid,
            }
    meta = made.metadata
    return {
        "apiVersion": side.made.api_version,
        "kind": side.made.kind,
        "name": meta.name,
        "uid": meta.uid,
    }
