"""Server-side apply: who manages which field, what a manager's next apply drops, and what conflicts.

A field is the path of its names; a member of a list with keys is the tuple of its key's values, a finalizer its text.
Other lists are one value each, as those of the liqo.io kinds are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.apiserver.errors import StatusError
from tests.apiserver.patches import copied, key_values, member_key

Json = dict[str, Any]
Path = tuple[Any, ...]
Manager = tuple[str, str, str]
"""Name, operation (Apply or Update) and subresource."""

_KEPT_BY_THE_SERVER = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
)


def _key(path: Path, members: Any, custom: bool) -> tuple[str, ...] | None:
    if custom and path[0] != "metadata":
        return None
    return member_key(str(path[-1]), members)


def flatten(value: Any, custom: bool, path: Path = ()) -> dict[Path, Any]:
    """Every field of a value that can have a manager of its own, and what it holds."""
    if isinstance(value, dict) and value:
        found: dict[Path, Any] = {}
        for name, one in value.items():
            if path == ("metadata",) and name in _KEPT_BY_THE_SERVER:
                continue
            if path or name not in ("apiVersion", "kind"):
                found |= flatten(one, custom, (*path, name))
        return found
    if path == ("metadata", "finalizers"):
        return {(*path, one): True for one in value}
    if value and (key := _key(path, value, custom)):
        found = {}
        for one in value:
            place = (*path, key_values(one, key))
            found |= {place: True, **flatten(one, custom, place)}
        return found
    return {path: value} if path else {}


@dataclass
class Managers:
    """Who manages which fields of one object."""

    fields: dict[Manager, set[Path]] = field(default_factory=dict)

    def record(self, who: Manager, old: Json, new: Json, *, custom: bool) -> None:
        """Note an update: who changed a field manages it now, and nobody else does."""
        before, after = flatten(old, custom), flatten(new, custom)
        changed = {path for path, value in after.items() if path not in before or before[path] != value}
        for owned in self.fields.values():
            owned.difference_update(changed, before.keys() - after.keys())
        self.fields.setdefault(who, set()).update(changed)

    def apply(self, who: Manager, live: Json, wanted: Json, *, custom: bool, force: bool) -> Json:
        """The object after an apply. Raises 409 where others manage what it would change and it is not forced."""
        held, asked = flatten(live, custom), flatten(wanted, custom)
        contested: dict[Path, str] = {}
        for other, owned in self.fields.items():
            if other != who:
                clash = {p for p in owned & asked.keys() if held.get(p) != asked[p]}
                contested |= dict.fromkeys(clash, _called(other, live))
        if contested and not force:
            named = ", ".join(f"conflict with {name}: {_written(p)}" for p, name in contested.items())
            count = "1 conflict" if len(contested) == 1 else f"{len(contested)} conflicts"
            raise StatusError(409, "Conflict", f"Apply failed with {count}: {named}")
        for other, owned in self.fields.items():
            if other != who:
                owned.difference_update(contested)
        others = set[Path]().union(*(owned for other, owned in self.fields.items() if other != who))
        dropped = _droppable(self.fields.get(who, set()) - asked.keys() - others, others, held)
        self.fields[who] = set(asked)
        result = _merge(live, wanted, custom)
        for path in sorted(dropped, key=len):  # A member of a list before the field that tells it apart.
            _drop(result, path, custom)
        return result


def _droppable(paths: set[Path], others: set[Path], held: dict[Path, Any]) -> set[Path]:
    """Without the members of lists in which others manage something, and the fields that tell those apart."""
    above = {path[:length] for path in others for length in range(1, len(path))}
    return {
        path
        for path in paths
        if path not in above
        and not (path[:-1] in above and isinstance(path[-2], tuple) and held.get(path) in path[-2])
    }


def _called(manager: Manager, live: Json) -> str:
    name, operation, subresource = manager
    part = f' with subresource "{subresource}"' if subresource else ""
    return f'"{name}"{part}' + (f" using {live['apiVersion']}" if operation == "Update" else "")


def _written(path: Path) -> str:
    return "." + ".".join(str(part) for part in path)


def _merge(live: Any, wanted: Any, custom: bool, path: Path = ()) -> Any:
    if isinstance(live, dict) and isinstance(wanted, dict):
        result = dict(live)
        for name, value in wanted.items():
            if path == ("metadata",) and name in _KEPT_BY_THE_SERVER:
                continue
            result[name] = _merge(live.get(name), value, custom, (*path, name))
        return result
    if isinstance(live, list) and isinstance(wanted, list):
        if path == ("metadata", "finalizers"):
            return [*live, *(one for one in wanted if one not in live)]
        if key := _key(path, [*live, *wanted], custom):
            members = {key_values(one, key): one for one in live}
            for one in wanted:
                values = key_values(one, key)
                members[values] = _merge(members.get(values, {}), one, custom, (*path, values))
            return list(members.values())
    return copied(wanted)


def _drop(value: Any, path: Path, custom: bool, walked: Path = ()) -> None:
    """Remove a field, and what is empty because of that."""
    first, rest = path[0], path[1:]
    if isinstance(value, dict):
        if rest and first in value:
            # What is shared with the live object must not change under its readers.
            value[first] = copied(value[first])
            _drop(value[first], rest, custom, (*walked, first))
        if not rest or value.get(first) in ({}, []):
            value.pop(first, None)
        return
    if not isinstance(value, list):
        return
    key = None if isinstance(first, str) else _key(walked, value, custom)
    for index, one in enumerate(value):
        if (key_values(one, key) if key else one) == first:
            if rest:
                _drop(one, rest, custom, (*walked, first))
            else:
                del value[index]
            return
