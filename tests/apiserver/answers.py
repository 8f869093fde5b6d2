"""From a request to its answer: faults first, then the verbs, then what is no object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.apiserver import errors
from tests.apiserver.errors import StatusError
from tests.apiserver.faults import Fault
from tests.apiserver.patches import json_patch, merge_patch, strategic_patch
from tests.apiserver.reading import selected_by, shown
from tests.apiserver.requests import Request, parse
from tests.apiserver.store import Json, Place
from tests.apiserver.virtual import is_virtual, virtual
from tests.apiserver.waiting import wake
from tests.apiserver.writes import How
from tests.kube.fake import Exchange

if TYPE_CHECKING:
    from tests.apiserver.server import ApiServer

_PATCHES = {
    "application/merge-patch+json": merge_patch,
    "application/json-patch+json": json_patch,
    "application/strategic-merge-patch+json": strategic_patch,
}
_OF_PODS = ("resize", "ephemeralcontainers")
"""Subresources of pods by which a part of the spec is changed."""
_SHOWN_AT_THEIR_END = (
    "pods",
    "services",
    "serviceaccounts",
    "resourcequotas",
    "persistentvolumes",
    "persistentvolumeclaims",
)
"""Kinds whose last state is the answer to a deletion; for others it is a Status."""


class Answers:
    """How one server answers."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request."""
        api = self._api
        request = parse(exchange, api.kinds)
        api.requests.append(request)
        wake()
        fault = api.faults.before(request)
        if fault is not None and await self._disturbed(request, fault):
            return
        try:
            if request.verb == "watch" and request.plural:
                request.code = 200
                await api.reader.watch(api.kinds[request.plural], request)
                return
            code, answer = self._answer(request)
        except StatusError as error:
            await self._refuse(request, error)
            return
        request.answer = answer
        if api.faults.loses(request):
            exchange.cut()
            return
        request.code = code
        await exchange.respond(code, answer)
        wake()

    async def _disturbed(self, request: Request, fault: Fault) -> bool:
        """Do to a request what a fault does; whether it has been answered."""
        if fault.gate is not None:
            await fault.gate.wait()
        if fault.handler is not None:
            await fault.handler(request.exchange)
            return True
        if fault.error is not None:
            await self._refuse(request, fault.error)
        return fault.error is not None

    async def _refuse(self, request: Request, error: StatusError) -> None:
        request.code = error.code
        headers = {} if error.retry_after is None else {"Retry_After": str(error.retry_after)}
        await request.exchange.respond(error.code, error.body(), **headers)
        wake()

    def _answer(self, request: Request) -> tuple[int, Any]:
        if not request.plural or is_virtual(request):
            return virtual(self._api, request)
        kind, store = self._api.kinds[request.plural], self._api.store
        if request.subresource and request.subresource not in kind.subresources:
            raise errors.not_served()
        if request.verb == "list":
            return 200, self._api.reader.list(kind, request)
        if request.verb == "create":
            return 201, shown(request)(self._create(request))
        if request.verb == "deletecollection":
            return 200, self._delete_all(request)
        place = self._api.writer.place(request.plural, request.namespace, request.name)
        if request.verb == "apply":
            there = place in store.objects
            return (200 if there else 201), shown(request)(self._apply(request, place))
        if place not in store.objects:
            raise errors.not_found(kind.resource, place.name)
        if request.verb == "get":
            return 200, shown(request)(store.objects[place])
        if request.verb == "update":
            return 200, shown(request)(self._api.writer.update(place, _object(request), self._how(request)))
        if request.verb == "patch":
            return 200, shown(request)(self._patch(request, place))
        if request.verb == "delete":
            return 200, self._delete(request, place)
        raise errors.not_allowed()

    def _how(self, request: Request) -> How:
        return How(
            request.manager,
            "" if request.plural == "pods" and request.subresource in _OF_PODS else request.subresource,
            request.query.get("dryRun") == "All",
            tuple(self._api.admission),
        )

    def _create(self, request: Request) -> Json:
        if self._api.kinds[request.plural].namespaced and not request.namespace:
            raise errors.not_allowed()
        return self._api.writer.create(
            request.plural, request.namespace, _object(request), self._how(request)
        )

    def _apply(self, request: Request, place: Place) -> Json:
        if "fieldManager" not in request.query:
            why = "fieldManager: Required value: is required for apply patch"
            raise errors.invalid("PatchOptions.meta.k8s.io", "", why)
        force = request.query.get("force") == "true"
        return self._api.writer.apply(place, _object(request), self._how(request), force=force)

    def _patch(self, request: Request, place: Place) -> Json:
        apply = _PATCHES.get(request.content_type)
        custom = self._api.kinds[request.plural].custom
        if apply is None or (custom and apply is strategic_patch):
            message = "the body of the request was in an unknown format"
            raise StatusError(415, "UnsupportedMediaType", message)
        return self._api.writer.patch(place, lambda old: apply(old, request.body), self._how(request))

    def _delete(self, request: Request, place: Place) -> Json:
        last = self._api.writer.delete(place, request.body, self._how(request))
        if place in self._api.objects or place.plural in _SHOWN_AT_THEIR_END:
            return shown(request)(last)
        kind = self._api.kinds[request.plural]
        details = {"name": place.name, "kind": kind.plural, "uid": last["metadata"]["uid"]}
        if kind.group:
            details["group"] = kind.group
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    def _delete_all(self, request: Request) -> Json:
        kind = self._api.kinds[request.plural]
        selects = selected_by(kind, request)
        for place, value in list(self._api.store.of_kind(request.plural)):
            if selects(value) and place in self._api.objects:
                self._api.writer.delete(place, request.body, self._how(request))
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def _object(request: Request) -> Json:
    body = request.body
    if not isinstance(body, dict):
        raise errors.bad_request("the body of the request is no object")
    return body
