"""What each write means: the metadata the server keeps, generations, subresources, preconditions, finalizers.

These are the rules of Kubernetes' registry and of its custom resources, without the validation of any one kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.apiserver import errors
from tests.apiserver.kinds import Kind
from tests.apiserver.patches import copied, merge_patch
from tests.apiserver.store import Json, Place, Store

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
GENERIC_APPLY = "application/apply-patch+yaml"


@dataclass
class Admission:
    """One write as an admission webhook sees it. `operation` is CREATE, UPDATE or DELETE; `object` None at DELETE."""

    operation: str
    place: Place
    subresource: str
    object: Json | None
    old: Json | None
    dry_run: bool = False


Hook = Callable[[Admission], Json | None]
"""Raises StatusError to refuse; returns another object to have that one stored, None to leave it as it is."""


@dataclass(frozen=True)
class How:
    """Beside the object: who writes, to which subresource, whether only to see if it could."""

    manager: str = "test"
    subresource: str = ""
    dry_run: bool = False
    admission: tuple[Hook, ...] = ()
    with_status: bool = False
    """Whether status is taken along although it is a subresource: for tests that place an object as it is."""


USER = How(with_status=True)


@dataclass
class Writer:
    """The writes of one store. `settle` is called after each with the place, to do what follows from it."""

    store: Store
    settle: Callable[[Place], None] = lambda place: None
    check_namespaces: bool = False
    graceful_pods: bool = False
    _names: int = field(default=0)

    def create(self, plural: str, namespace: str, body: Json, how: How = USER) -> Json:
        """Store a new object."""
        kind = self.store.kinds[plural]
        value = copied(body)
        metadata = value.setdefault("metadata", {})
        self._check_type(kind, value)
        if metadata.get("resourceVersion"):
            raise errors.StatusError(500, "", "resourceVersion should not be set on objects to be created")
        self._check_address(namespace, "", metadata)
        metadata["name"] = metadata.get("name") or self._generate(kind, metadata.get("generateName", ""))
        place = self.place(plural, namespace or metadata.get("namespace", ""), metadata["name"])
        value = _admit(how, Admission("CREATE", place, "", value, None, how.dry_run)) or value
        self._check_namespace(kind, place)
        if place in self.store.objects:
            raise errors.already_exists(kind.resource, place.name)
        value = _tidied(kind, self._complete(kind, place, value, how))
        if how.dry_run:
            return value
        self.store.managers_of(value).record(_who(how, "Update"), {}, value, custom=kind.custom)
        return self._done(self.store.commit("ADDED", place, value), place)

    def update(self, place: Place, body: Json, how: How = USER, *, patch: bool = False) -> Json:
        """Replace an object, or what a subresource is of it; a `patch` need not say a version."""
        kind, old = self._find(place)
        given = body.get("metadata", {})
        self._check_address(place.namespace, place.name, given)
        if not patch and (uid := given.get("uid")) not in (None, "", old["metadata"]["uid"]):
            found = f"UID in precondition: {uid}, UID in object meta: {old['metadata']['uid']}"
            raise errors.conflict(kind.resource, place.name, f"Precondition failed: {found}")
        self._check_unchanged(kind, place, old, given, how)
        if kind.custom and not patch and not given.get("resourceVersion"):
            why = "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
            raise errors.invalid(kind.resource, place.name, why)
        new = self._changed(kind, old, copied(body), how)
        return self._replace(kind, place, old, new, how)

    def patch(self, place: Place, change: Callable[[Json], Any], how: How = USER) -> Json:
        """Change an object by a function of its present state."""
        _, old = self._find(place)
        changed = change(old)
        if not isinstance(changed, dict) or not isinstance(changed.get("metadata"), dict):
            raise errors.bad_request("the patch leaves no object")
        return self.update(place, changed, how, patch=True)

    def merge(self, place: Place, patch: Json, how: How = USER) -> Json:
        """A merge patch."""
        return self.patch(place, lambda old: merge_patch(old, patch), how)

    def apply(self, place: Place, body: Json, how: How, *, force: bool = False) -> Json:
        """A server-side apply: creates what is not there, drops what this manager applied before and no longer does."""
        kind = self.store.kinds[place.plural]
        given = body.get("metadata", {})
        old = self.store.objects.get(place)
        if given.get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        self._check_address(place.namespace, place.name, given)
        if old is None:
            return self._apply_new(kind, place, body, how)
        self._check_unchanged(kind, place, old, given, how)
        wanted = _within(kind, how.subresource, body)
        managers = copied_managers = self.store.managers_of(old)
        if how.dry_run:
            copied_managers = type(managers)({who: set(owned) for who, owned in managers.fields.items()})
        result = copied_managers.apply(_who(how, "Apply"), old, wanted, custom=kind.custom, force=force)
        new = self._changed(kind, old, result, how)
        return self._replace(kind, place, old, new, how, record=False)

    def _apply_new(self, kind: Kind, place: Place, body: Json, how: How) -> Json:
        given = body.get("metadata", {})
        if how.subresource:
            raise errors.not_found(kind.resource, place.name)
        if uid := given.get("uid"):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise errors.conflict(kind.resource, place.name, why)
        metadata = {name: value for name, value in given.items() if name != "resourceVersion"}
        value = self.create(place.plural, place.namespace, {**body, "metadata": metadata}, how)
        if not how.dry_run and (managers := self.store.managers.get(value["metadata"]["uid"])):
            managers.fields.clear()
            managers.apply(_who(how, "Apply"), value, body, custom=kind.custom, force=True)
        return value

    def delete(self, place: Place, options: Json | None = None, how: How = USER) -> Json:
        """Delete an object, or have it wait for its finalizers, its contents or its grace period; its last state."""
        options = options or {}
        kind, old = self._find(place)
        self._check_preconditions(kind, place, old, options.get("preconditions") or {})
        _admit(how, Admission("DELETE", place, "", None, old, how.dry_run))
        finalizers = list(old["metadata"].get("finalizers", []))
        extra = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(
            options.get("propagationPolicy", "")
        )
        if extra and extra not in finalizers:
            finalizers.append(extra)
        grace = self._grace(place, old, options.get("gracePeriodSeconds"))
        waits = finalizers or grace or place.plural == "namespaces"
        if how.dry_run:
            return old
        if not waits:
            return self._done(self.store.commit("DELETED", place, dict(old)), place)
        metadata = dict(old["metadata"], finalizers=finalizers)
        if not finalizers:
            del metadata["finalizers"]
        if "deletionTimestamp" not in metadata:
            metadata["deletionTimestamp"] = self.store.now(grace)
            if "generation" in metadata:
                metadata["generation"] += 1
        if place.plural != "namespaces":
            metadata["deletionGracePeriodSeconds"] = grace
        new = {**old, "metadata": metadata}
        if place.plural == "namespaces":
            new["status"] = {**old.get("status", {}), "phase": "Terminating"}
        if new != old:
            self.store.commit("MODIFIED", place, new)
        return self._done(new, place)

    def place(self, plural: str, namespace: str, name: str) -> Place:
        """A place of the kind's scope. Raises 400 where a namespace is missing or too much."""
        if self.store.kinds[plural].namespaced != bool(namespace):
            wanted = "must be provided" if not namespace else "is not allowed on this type"
            raise errors.bad_request(f"{plural} {name}: namespace {namespace!r} {wanted}")
        return Place(plural, namespace, name)

    def _find(self, place: Place) -> tuple[Kind, Json]:
        kind = self.store.kinds[place.plural]
        if place not in self.store.objects:
            raise errors.not_found(kind.resource, place.name)
        return kind, self.store.objects[place]

    def _check_type(self, kind: Kind, value: Json) -> None:
        for name, own in (("apiVersion", kind.api_version), ("kind", kind.name)):
            if value.setdefault(name, own) != own:
                raise errors.bad_request(f"the {name} in the data ({value[name]}) does not match {own}")

    def _check_namespace(self, kind: Kind, place: Place) -> None:
        if not kind.namespaced:
            return
        namespace = self.store.objects.get(("namespaces", "", place.namespace))
        if namespace is None:
            if self.check_namespaces:
                raise errors.not_found("namespaces", place.namespace)
        elif "deletionTimestamp" in namespace["metadata"]:
            why = (
                f"unable to create new content in namespace {place.namespace} because it is being terminated"
            )
            raise errors.forbidden(kind.resource, place.name, why)

    def _check_address(self, namespace: str, name: str, given: Json) -> None:
        if name and given.get("name", name) != name:
            differ = f"the name of the object ({given['name']}) does not match the name on the URL ({name})"
            raise errors.bad_request(differ)
        if namespace and given.get("namespace", namespace) != namespace:
            differ = "the namespace of the provided object does not match the namespace sent on the request"
            raise errors.bad_request(differ)

    def _check_unchanged(self, kind: Kind, place: Place, old: Json, given: Json, how: How) -> None:
        """What of the metadata a change must not contradict; a custom kind's status takes no notice of the uid."""
        uid, version = given.get("uid"), given.get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise errors.outdated(kind.resource, place.name)
        if uid and uid != old["metadata"]["uid"] and not (kind.custom and how.subresource == "status"):
            raise errors.immutable(kind.title, place.name, "metadata.uid", uid)

    def _check_preconditions(self, kind: Kind, place: Place, old: Json, given: Json) -> None:
        for name, field_, why in (
            ("uid", "UID", "deleted and then recreated"),
            ("resourceVersion", "ResourceVersion", "modified"),
        ):
            asked, found = given.get(name), old["metadata"][name]
            if asked and asked != found:
                raise errors.precondition(kind.title, place.name, field_, asked, found, why)

    def _generate(self, kind: Kind, prefix: str) -> str:
        if not prefix:
            why = "metadata.name: Required value: name or generateName is required"
            raise errors.invalid(kind.title, "", why)
        self._names += 1
        digits, rest = "", self._names
        for _ in range(5):
            rest, digit = divmod(rest, len(_SUFFIX))
            digits = _SUFFIX[digit] + digits
        return prefix + digits

    def _complete(self, kind: Kind, place: Place, value: Json, how: How) -> Json:
        """A new object with what the server adds."""
        metadata = value["metadata"]
        for name in (
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
            "generation",
            "namespace",
        ):
            metadata.pop(name, None)
        if place.namespace:
            metadata["namespace"] = place.namespace
        metadata |= {"uid": self.store.next_uid(), "creationTimestamp": self.store.now()}
        if kind.generation:
            metadata["generation"] = 1
        if kind.status and not how.with_status and place.plural != "nodes":
            value.pop("status", None)
        if place.plural == "namespaces":
            metadata["labels"] = {**metadata.get("labels", {}), "kubernetes.io/metadata.name": place.name}
            value = {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}, **value}
        elif place.plural == "pods":
            value = {"status": {"phase": "Pending"}, **value}
        return value

    def _changed(self, kind: Kind, old: Json, new: Json, how: How) -> Json:
        """The object after a write to it or to a subresource, with what such a write leaves alone."""
        self._check_type(kind, new)
        metadata = {**new.get("metadata", {})}
        for name in (
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
        ):
            metadata.pop(name, None)
            if name in old["metadata"]:
                metadata[name] = old["metadata"][name]
        metadata |= {"name": old["metadata"]["name"], "resourceVersion": old["metadata"]["resourceVersion"]}
        metadata.pop("managedFields", None)
        if "namespace" in old["metadata"]:
            metadata["namespace"] = old["metadata"]["namespace"]
        new = _tidied(kind, {**new, "metadata": metadata})
        if how.subresource in ("status", "approval"):
            rest = {name: value for name, value in old.items() if name != "status"}
            if not kind.custom:
                rest["metadata"] = new["metadata"]
            return rest | ({"status": new["status"]} if "status" in new else {})
        if kind.status and not how.with_status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        return new

    def _replace(
        self, kind: Kind, place: Place, old: Json, new: Json, how: How, *, record: bool = True
    ) -> Json:
        admitted = _admit(how, Admission("UPDATE", place, how.subresource, new, old, how.dry_run))
        if admitted is not None:
            new = self._changed(kind, old, copied(admitted), how)
        added = set(new["metadata"].get("finalizers") or ()) - set(old["metadata"].get("finalizers") or ())
        if added and "deletionTimestamp" in old["metadata"]:
            why = "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted"
            listed = ", ".join(f'"{one}"' for one in sorted(added))
            raise errors.invalid(kind.title, place.name, f"{why}, found new finalizers []string{{{listed}}}")
        if kind.generation and _desired(new, kind) != _desired(old, kind):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        if new == old or how.dry_run:
            return new
        if record:
            self.store.managers_of(old).record(_who(how, "Update"), old, new, custom=kind.custom)
        return self._done(self.store.commit("MODIFIED", place, new), place)

    def _grace(self, place: Place, old: Json, asked: int | None) -> int:
        """Seconds a pod has yet, which in truth is until its kubelet deletes it with none."""
        spec = old.get("spec", {})
        over = old.get("status", {}).get("phase") in ("Succeeded", "Failed")
        if not self.graceful_pods or place.plural != "pods" or not spec.get("nodeName") or over:
            return 0
        return int(spec.get("terminationGracePeriodSeconds", 30) if asked is None else asked)

    def _done(self, value: Json, place: Place) -> Json:
        self.settle(place)
        return value


def _who(how: How, operation: str) -> tuple[str, str, str]:
    return how.manager, operation, how.subresource


def _admit(how: How, review: Admission) -> Json | None:
    changed = None
    for hook in how.admission:
        answer = hook(review)
        if answer is not None:
            review.object = changed = answer
    return changed


def _desired(value: Json, kind: Kind) -> Json:
    """What the generation counts the changes of."""
    left_out = ("metadata", "status") if kind.status else ("metadata",)
    return {name: one for name, one in value.items() if name not in left_out}


def _tidied(kind: Kind, value: Json) -> Json:
    """The object as Go writes it: no empty metadata, and of built-in kinds no nulls."""
    metadata = {name: one for name, one in value["metadata"].items() if one not in (None, "", {}, [])}
    return {**(value if kind.custom else _without_nulls(value)), "metadata": metadata}


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(one) for name, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def _within(kind: Kind, subresource: str, body: Json) -> Json:
    """Of an applied manifest, what its request may manage."""
    if subresource == "status":
        return (
            {"status": body.get("status", {})}
            if kind.custom
            else {k: v for k, v in body.items() if k != "spec"}
        )
    return {name: value for name, value in body.items() if name != "status" or not kind.status}
