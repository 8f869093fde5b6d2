"""What a cluster's own controllers do, at once after each write: ends, collection of what is owned, kinds of CRDs."""

from __future__ import annotations

from tests.apiserver.kinds import Kind
from tests.apiserver.store import Json, Place, Store
from tests.apiserver.writes import USER, Writer

_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"
_CRDS = "customresourcedefinitions"
_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


class Controllers:
    """Follow every write of a store; without `collection` what is owned outlives its owners."""

    def __init__(self, store: Store, writer: Writer, *, collection: bool = True) -> None:
        self._store = store
        self._writer = writer
        self.collection = collection

    def settle(self, place: Place) -> None:
        """Do what follows from a write."""
        value = self._store.objects.get(place)
        if value is None:
            self._after_removal(place)
            return
        if place.plural == _CRDS:
            self._establish(place, value)
        if "deletionTimestamp" in value["metadata"]:
            self._end(place, value)
        elif self.collection and value["metadata"].get("ownerReferences"):
            self._collect_if_alone(place, value)

    def _end(self, place: Place, value: Json) -> None:
        """Take an object that is being deleted as far as it goes."""
        if place.plural == "namespaces":
            self._empty(place.name)
        elif place.plural == _CRDS and self._is_in_use(place):
            return
        value = self._store.objects.get(place, value)
        finalizers = value["metadata"].get("finalizers", [])
        if self.collection and _ORPHAN in finalizers:
            for owned in self._owned_by(value):
                self._disown(owned, value["metadata"]["uid"])
            self._release(place, _ORPHAN)
        elif self.collection and _FOREGROUND in finalizers:
            for owned in self._owned_by(value):
                if "deletionTimestamp" not in self._store.objects[owned]["metadata"]:
                    self._writer.delete(owned, {"propagationPolicy": "Foreground"})
            if place in self._store.objects:  # With the last of what is owned the owner went already.
                self._release_foreground(place)
        elif not finalizers and not value["metadata"].get("deletionGracePeriodSeconds"):
            if place.plural == "namespaces" and self._contents(place.name):
                return
            if place in self._store.objects:
                self._store.commit("DELETED", place, dict(self._store.objects[place]))
                self.settle(place)

    def _empty(self, namespace: str) -> None:
        for place in self._contents(namespace):
            value = self._store.objects.get(place)
            if value is not None and "deletionTimestamp" not in value["metadata"]:
                self._writer.delete(place)

    def _contents(self, namespace: str) -> list[Place]:
        return [Place(*one) for one in self._store.objects if one[1] == namespace]

    def _after_removal(self, place: Place) -> None:
        if place.namespace:
            above = Place("namespaces", "", place.namespace)
            value = self._store.objects.get(above)
            if value is not None and "deletionTimestamp" in value["metadata"]:
                self._end(above, value)
        kind = self._store.kinds[place.plural]
        if place.plural == _CRDS:
            self._store.kinds.drop(self._kept_as(place))
        elif kind.custom and (crd := self._store.objects.get((_CRDS, "", kind.resource))):
            self.settle(Place(_CRDS, "", crd["metadata"]["name"]))
        last = next(one for one in reversed(self._store.history) if one.place == place)
        if not self.collection:
            return
        for owned in self._owned_by(last.new):
            if owned in self._store.objects:
                self._collect_if_alone(owned, self._store.objects[owned])
        for owner in last.new["metadata"].get("ownerReferences", []):
            for found, value in list(self._store.objects.items()):
                if value["metadata"]["uid"] == owner["uid"] and _FOREGROUND in value["metadata"].get(
                    "finalizers", []
                ):
                    self._release_foreground(Place(*found))

    def _owned_by(self, owner: Json) -> list[Place]:
        meta = owner["metadata"]
        return [
            Place(*place)
            for place, value in self._store.objects.items()
            if meta.get("namespace") in (None, place[1])
            and any(one["uid"] == meta["uid"] for one in value["metadata"].get("ownerReferences", ()))
        ]

    def _collect_if_alone(self, place: Place, value: Json) -> None:
        """Delete what has owners and none that is there; take off the references to those that are not."""
        references = value["metadata"].get("ownerReferences", [])
        there = {
            one["metadata"]["uid"]
            for found, one in self._store.objects.items()
            if found[1] in ("", place.namespace)
        }
        gone = [one for one in references if one["uid"] not in there]
        if gone and len(gone) == len(references):
            if "deletionTimestamp" not in value["metadata"]:
                self._writer.delete(place)
        else:
            for one in gone:
                self._disown(place, one["uid"])

    def _disown(self, place: Place, uid: str) -> None:
        left = [one for one in self._store.objects[place]["metadata"]["ownerReferences"] if one["uid"] != uid]
        self._writer.merge(place, {"metadata": {"ownerReferences": left or None}}, USER)

    def _release_foreground(self, place: Place) -> None:
        owned = self._owned_by(self._store.objects[place])
        uid = self._store.objects[place]["metadata"]["uid"]
        blocking = any(
            one["uid"] == uid and one.get("blockOwnerDeletion")
            for dependent in owned
            for one in self._store.objects[dependent]["metadata"]["ownerReferences"]
        )
        if not blocking:
            self._release(place, _FOREGROUND)

    def _release(self, place: Place, finalizer: str) -> None:
        value = self._store.objects.get(place)
        if value is not None and finalizer in value["metadata"].get("finalizers", []):
            left = [one for one in value["metadata"]["finalizers"] if one != finalizer]
            self._writer.merge(place, {"metadata": {"finalizers": left or None}}, USER)

    def _establish(self, place: Place, value: Json) -> None:
        self._store.kinds.serve(Kind.of(value))
        conditions = value.get("status", {}).get("conditions", [])
        if not any(one["type"] == "Established" for one in conditions):
            told = [{"type": one, "status": "True"} for one in ("NamesAccepted", "Established")]
            finalizers = [*value["metadata"].get("finalizers", []), _CLEANUP]
            self._writer.merge(
                place, {"metadata": {"finalizers": finalizers}, "status": {"conditions": told}}, USER
            )

    def _kept_as(self, crd: Place) -> str:
        """The key of a CustomResourceDefinition's kind."""
        plural, _, group = crd.name.partition(".")
        return self._store.kinds.find(group, plural) or ""

    def _is_in_use(self, crd: Place) -> bool:
        """Delete the objects of a kind that goes; whether any is left, else the kind may go."""
        key = self._kept_as(crd)
        for found, value in list(self._store.objects.items()):
            if (
                found[0] == key
                and "deletionTimestamp" not in value["metadata"]
                and found in self._store.objects
            ):
                self._writer.delete(Place(*found))
        if any(one[0] == key for one in self._store.objects):
            return True
        self._release(crd, _CLEANUP)
        return crd not in self._store.objects
