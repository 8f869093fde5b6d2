"""Keeps the Secret of tokens of every offloaded pod of one namespace and one virtual node.

One request for each projected token and one write at the provider a pod; then again at 80 % of the tokens' life,
until the pod is gone, when the Secret goes too. What is remembered in memory (how long the tokens really live,
the version that was written) only saves work: after a restart the Secret's own annotations say when it is due.
A service account that is not there (yet) is told by an event and tried again with back-off.
"""

from __future__ import annotations

import asyncio
import time

import msgspec
from msgspec import Struct

from isthmus.api.names import token_secret
from isthmus.kube.builtin import PODS, SECRETS, SERVICE_ACCOUNTS, Pod
from isthmus.kube.errors import ApiError, Conflict, KubeError, TransportError
from isthmus.kube.informer import Informer
from isthmus.kube.objects import Key, Manifest, Object, ObjectMeta
from isthmus.kube.reconcile import Controller
from isthmus.kube.retry import jitter
from isthmus.reflection import guarded, tokens
from isthmus.reflection.metadata import is_ours, selector
from isthmus.reflection.session import ReflectionSession, ReflectorOptions

TOKENS = SECRETS.partial()
"""Metadata only: the tokens themselves, most of such a Secret, need not come back with each event."""
NAME = "serviceaccount"
WORKERS = 10
SETTLE = 5.0
"""Seconds within which the watch should have shown what was written; until then the cache is not believed."""
UNMENDED = 120.0
"""Seconds until a foreign Secret in the way is looked at again."""
SOONEST = 10.0
"""Seconds between refreshes at the least, should an API server issue tokens that are due at once."""


class Made(Struct, frozen=True):
    """What was last written for a pod, at which time of the event loop."""

    uid: str
    version: str
    life: float
    at: float


class TokenReflector:
    """The tokens of the pods of one namespace on one virtual node."""

    def __init__(self, session: ReflectionSession, local_namespace: str, remote_namespace: str) -> None:
        self._session = session
        self._local_namespace = local_namespace
        self._remote_namespace = remote_namespace
        self._pods: Informer[Pod] | None = None
        self._secrets: Informer[Object] | None = None
        self._made: dict[Key, Made] = {}
        self._told: set[Key] = set()

    async def run(self) -> None:
        """Keep the tokens until cancelled; with no workers, do nothing at all."""
        session = self._session
        options = session.reflectors.get(NAME, ReflectorOptions())
        workers = WORKERS if options.workers is None else options.workers
        if workers <= 0:
            return
        pods = session.local_informers.get(PODS, field_selector=f"spec.nodeName={session.node_name}")
        secrets = session.remote_informers.get(
            TOKENS, self._remote_namespace, label_selector=selector(session, tokens.selector(session))
        )
        self._pods, self._secrets = pods, secrets
        name = f"tokens of {session.node_name} in {self._local_namespace}"
        controller = Controller(name, self.reconcile, workers=workers)
        controller.watch(pods, self._here)
        controller.watch(secrets, self._pod_of)
        try:
            await controller.run()
        finally:
            session.local_informers.release(pods)
            session.remote_informers.release(secrets)

    def _here(self, pod: Pod) -> tuple[Key, ...]:
        return (pod.key,) if pod.metadata.namespace == self._local_namespace else ()

    def _pod_of(self, secret: Object) -> tuple[Key, ...]:
        if not tokens.is_of_node(self._session, secret):
            return ()
        return tokens.pod_of(secret, self._local_namespace)

    async def reconcile(self, key: Key) -> float | None:
        """Make the tokens of one pod, refresh them when they are due, remove them with the pod."""
        assert self._pods is not None
        assert self._secrets is not None
        pod = self._pods.get(key)
        secret = self._secrets.get(Key(self._remote_namespace, token_secret(key.name)))
        wanted = tokens.PodTokens("", ()) if pod is None else tokens.wanted_tokens(pod)
        if pod is None or not wanted.sources:
            self._made.pop(key, None)
            self._told.discard(key)
            if secret is not None and tokens.is_of_node(self._session, secret):
                await guarded.delete(self._session.remote_client, TOKENS, secret)
            return None
        pause = self._pause(key, pod, wanted, secret)
        if pause is None or pause > 0:
            self._session.tokens_over(pod)
            return pause
        if secret is None and (waiting := self._session.tokens_turn(pod)):
            return waiting
        try:
            return await self._renew(key, pod.metadata, wanted, secret)
        finally:
            self._session.tokens_over(pod)

    def _pause(self, key: Key, pod: Pod, wanted: tokens.PodTokens, secret: Object | None) -> float | None:
        """Seconds until there is something to do: 0 for now, None for never."""
        made = self._made.get(key)
        if made is not None and made.uid != pod.metadata.uid:
            made = None
        seen = secret is not None and made is not None and secret.metadata.resource_version == made.version
        if made is not None and not seen and (age := _now() - made.at) < SETTLE:
            return SETTLE - age
        if tokens.is_terminal(pod):
            return None
        if secret is None or not tokens.is_current(
            self._session, pod.metadata, wanted.service_account, secret
        ):
            return 0.0
        if made is not None and not seen:
            return 0.0  # Somebody there has changed it.
        life = made.life if made is not None else float(min(source.life for source in wanted.sources))
        pause = tokens.refresh_in(tokens.expiration(secret), life, time.time(), jitter())
        return max(pause, SOONEST - (_now() - made.at) if made is not None else 0.0, 0.0)

    async def _renew(
        self, key: Key, pod: ObjectMeta, wanted: tokens.PodTokens, secret: Object | None
    ) -> float | None:
        issued = await self._request(pod, wanted)
        manifest = tokens.forge_secret(
            self._session, pod, self._remote_namespace, wanted.service_account, issued
        )
        try:
            version = await self._write(manifest, secret)
        except Conflict:
            raise
        except ApiError as error:
            self._tell(pod, str(error))
            raise
        if not version:
            self._tell(pod, f"{self._remote_namespace}/{token_secret(pod.name)} already exists there")
            return UNMENDED
        self._told.discard(key)
        first = min(issued.values(), key=lambda token: token.expires)
        self._made[key] = Made(pod.uid, version, first.life, _now())
        return max(SOONEST, tokens.refresh_in(first.expires, first.life, time.time(), jitter()))

    async def _write(self, manifest: Manifest, secret: Object | None) -> str:
        """Write the Secret; its resourceVersion, "" where a foreign one is in its place."""
        client = self._session.remote_client
        if secret is None:
            outcome = await guarded.create(client, TOKENS, manifest, self._ours)
            if outcome.version or outcome.present is None:
                return outcome.version
            secret = outcome.present
        return await guarded.change(client, TOKENS, manifest, secret)

    async def _request(self, pod: ObjectMeta, wanted: tokens.PodTokens) -> dict[str, tokens.IssuedToken]:
        """All tokens of a pod, by the key each has in the Secret."""
        path = SERVICE_ACCOUNTS.path(pod.namespace, wanted.service_account, "token")
        issued = {}
        for source in wanted.sources:
            body = msgspec.json.encode(tokens.forge_request(pod, source))
            try:
                answer = await self._session.local_client.request("POST", path, body=body)
                issued[source.key] = tokens.read_issued(answer.body)
            except Conflict:
                raise  # The pod is not this one any more.
            except KubeError as error:
                self._tell(pod, str(error))
                raise
            except msgspec.DecodeError:
                raise TransportError(f"POST {path}: the answer is not a TokenRequest") from None
        return issued

    def _ours(self, secret: Object) -> bool:
        return is_ours(secret.metadata, self._session) and tokens.holds_tokens(secret)

    def _tell(self, pod: ObjectMeta, message: str) -> None:
        key = Key(pod.namespace, pod.name)
        if key in self._told:
            return
        self._told.add(key)
        about = Pod(api_version="v1", kind="Pod", metadata=pod)
        text = f"No service account token at the provider: {message}"
        self._session.events.record(PODS, about, "FailedSATokensReflection", text, "Warning")


def _now() -> float:
    return asyncio.get_running_loop().time()
