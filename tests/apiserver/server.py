"""One cluster's API server: what tests do with it by hand, and how it answers requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tests.apiserver import pairs
from tests.apiserver.answers import Answers
from tests.apiserver.controllers import Controllers
from tests.apiserver.errors import StatusError
from tests.apiserver.faults import Fault, Faults
from tests.apiserver.kinds import Kind, Kinds
from tests.apiserver.patches import copied
from tests.apiserver.reading import Reader
from tests.apiserver.requests import Match, Request
from tests.apiserver.store import Change, Json, Place, Store
from tests.apiserver.waiting import until, wake
from tests.apiserver.writes import Hook, Writer
from tests.kube.fake import Exchange, FakeServer


class ApiServer:
    """Objects, and everybody's way to them: the tests' own by methods, the product's by HTTP.

    `clock` gives the server's time in seconds since 1970. With `check_namespaces` objects need a Namespace that is
    there; with `graceful_pods` a pod of a node is gone only when somebody deletes it with a grace period of 0, as its
    kubelet does; `collection` False switches the garbage collector off. What is stored is shared: do not change it.
    """

    def __init__(
        self,
        *kinds: Kind,
        liqo: bool = True,
        clock: Callable[[], float] = lambda: time.time(),
        collection: bool = True,
        check_namespaces: bool = False,
        graceful_pods: bool = False,
        watch_list: bool = True,
    ) -> None:
        self.kinds = Kinds(liqo=liqo)
        for kind in kinds:
            self.kinds.serve(kind)
        self.store = Store(self.kinds, clock)
        self.writer = Writer(self.store, check_namespaces=check_namespaces, graceful_pods=graceful_pods)
        self.controllers = Controllers(self.store, self.writer, collection=collection)
        self.writer.settle = self.controllers.settle
        self.reader = Reader(self.store, watch_list=watch_list)
        self.store.listeners.append(lambda _: wake())
        self.requests: list[Request] = []
        """Every request, in the order they came."""
        self.admission: list[Hook] = []
        """What each write by HTTP is shown to, in this order."""
        self.reviews: dict[str, Callable[[Json], Json]] = {}
        """By plural, such as subjectaccessreviews: the status of a review; without, everything is allowed."""
        self.faults = Faults()
        self._answers = Answers(self)
        self._server = FakeServer(self.handle)
        self._users = 0

    def begin_like(self, other: ApiServer) -> None:
        """Take over the objects of another server, for tests that begin where something long was done once."""
        self.store.begin_like(other.store)

    # What a test does as a user who may do everything; StatusError where Kubernetes would refuse.

    @property
    def objects(self) -> dict[tuple[str, str, str], Json]:
        """Every object by plural, namespace ("" for cluster-scoped) and name."""
        return self.store.objects

    @property
    def version(self) -> int:
        """The resourceVersion of the last change."""
        return self.store.version

    def create(self, plural: str, manifest: Json) -> Json:
        """Store a new object, its status too."""
        return self.writer.create(plural, "", manifest)

    def put(self, plural: str, manifest: Json) -> Json:
        """Store an object in the place of whatever is there."""
        metadata = manifest["metadata"]
        place = Place(plural, metadata.get("namespace", ""), metadata["name"])
        if place not in self.objects:
            return self.create(plural, manifest)
        return self.writer.patch(place, lambda _: copied(manifest))

    def merge(self, plural: str, namespace: str, name: str, patch: Json) -> Json:
        """Change an object by a merge patch, its status too."""
        return self.writer.merge(Place(plural, namespace, name), patch)

    def delete(self, plural: str, namespace: str, name: str, **options: Any) -> None:
        """Delete an object; `options` are DeleteOptions' fields, a pod's grace period is 0 unless they say more."""
        self.writer.delete(Place(plural, namespace, name), {"gracePeriodSeconds": 0, **options})

    def get(self, plural: str, namespace: str, name: str) -> Json | None:
        """An object, None where it is not there."""
        self.kinds[plural]
        return self.objects.get((plural, namespace, name))

    def list(self, plural: str, namespace: str = "") -> list[Json]:
        """The objects of a kind, by namespace and name."""
        self.kinds[plural]
        return [one for place, one in self.store.of_kind(plural) if namespace in ("", place.namespace)]

    def named(self, plural: str) -> set[str]:
        """The names of all objects of a kind."""
        return {one["metadata"]["name"] for one in self.list(plural)}

    def events(self, reason: str) -> list[str]:
        """The messages of the events with that reason."""
        return [one["message"] for one in self.list("events") if one.get("reason") == reason]

    def serve(self, kind: Kind) -> None:
        """Serve one more kind."""
        self.kinds.serve(kind)

    def on_change(self, react: Callable[[Change], None]) -> None:
        """Call `react` at once after each change, for a test that plays a controller; it may write itself."""
        self.store.listeners.append(react)

    async def until(self, true: Callable[[], Any], timeout: float = 30.0) -> Any:
        """Wait until something holds, looking after every change and request of any server; its value."""
        return await until(true, timeout, lambda: "\n".join(str(one) for one in self.requests[-20:]))

    def asked(self, verb: str = "", plural: str = "", **match: Any) -> list[Request]:
        """The requests so far that match (see `Match`)."""
        wanted = Match(verb, plural, **match)
        return [one for one in self.requests if wanted(one)]

    # What goes wrong. `match` are fields of `Match`: verb, plural, namespace, name, subresource, when.

    def fail(
        self, code: int, reason: str = "", message: str = "", *, times: int | None = 1, **match: Any
    ) -> Fault:
        """Refuse the next requests that match, None for all to come, until `faults.end`."""
        error = StatusError(code, reason, message or f"answered {code} by the test")
        return self.faults.add(Fault(Match(**match), times, error))

    def failing(
        self, code: int, reason: str = "", message: str = "", **match: Any
    ) -> AbstractContextManager[Fault]:
        """Refuse every request that matches, until the end of the block."""
        error = StatusError(code, reason, message or f"answered {code} by the test")
        return self.faults.during(Fault(Match(**match), None, error))

    def lose_answer(self, *, times: int | None = 1, **match: Any) -> Fault:
        """Do what the next requests that match ask for, and cut the connection instead of saying so."""
        return self.faults.add(Fault(Match(**match), times, lose=True))

    def hold(self, *, times: int | None = 1, **match: Any) -> Fault:
        """Let the next requests that match wait, not yet done, until `faults.end` of the result."""
        return self.faults.add(Fault(Match(**match), times, gate=asyncio.Event()))

    def respond(self, handler: Callable[[Exchange], Any], **match: Any) -> Fault:
        """Have requests that match answered by the test itself, such as those of a subresource like `proxy`."""
        return self.faults.add(Fault(Match(**match), None, handler=handler))

    def end_watches(self, plural: str = "", *, cut: bool = True) -> None:
        """End the open watches of a kind, "" for all: as a lost connection does, or regularly."""
        for watch in self.reader.watches:
            if plural in ("", watch.plural):
                watch.queue.put_nowait(ConnectionResetError() if cut else None)

    def expire(self) -> None:
        """Forget the history: watches and continued lists get 410, and who wants to go on has to read all anew."""
        self.reader.forget()

    # How it is reached.

    @property
    def url(self) -> str:
        """Where it listens; the same after `stop` and `start`."""
        return self._server.url

    async def __aenter__(self) -> ApiServer:
        self._users += 1
        if self._users == 1:
            await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if not self._users:
            await self.stop()
        assert not self._server.errors, self._server.errors

    async def start(self) -> None:
        """Listen, on the port it had before where it had one."""
        await self._server.listen()
        pairs.listen(self._server)

    async def stop(self) -> None:
        """Vanish as a killed process does; the objects stay."""
        pairs.close(self._server)
        await self._server.stop()

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request: what its connection calls."""
        await self._answers.handle(exchange)
