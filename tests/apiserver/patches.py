"""The patches an API server takes: merge (RFC 7386), JSON (RFC 6902) and strategic merge. Pure: no input changes.

`member_key` says which lists are sets of members with a key, for strategic merges and applies alike.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tests.apiserver.errors import StatusError

Json = dict[str, Any]

_MEMBER_KEYS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("containers", "initContainers", "ephemeralContainers", "volumes", "env"), ("name",)),
    **dict.fromkeys(("imagePullSecrets", "secrets", "webhooks", "resourceClaims"), ("name",)),
    **dict.fromkeys(("conditions", "addresses"), ("type",)),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "podIPs": ("ip",),
    "ownerReferences": ("uid",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
_PORT_KEYS = (("containerPort", "protocol"), ("port", "protocol"))


def copied(value: Any) -> Any:
    """A deep copy that shares nothing; raises TypeError for what is not JSON."""
    return msgspec.json.decode(msgspec.json.encode(value))


def member_key(field: str, members: Any) -> tuple[str, ...] | None:
    """The fields that tell the members of a built-in kind's list apart; None where the list is one value."""
    if not isinstance(members, list) or not all(isinstance(one, dict) for one in members):
        return None
    candidates = _PORT_KEYS if field == "ports" else (_MEMBER_KEYS.get(field, ()),)
    for key in candidates:
        if key and all(key[0] in one for one in members):
            return key
    return None


def key_values(member: Json, key: tuple[str, ...]) -> tuple[Any, ...]:
    """What a member is told apart by; a port's protocol is TCP unless it says otherwise."""
    return tuple(member.get(one, "TCP" if one == "protocol" else None) for one in key)


def merge_patch(target: Any, patch: Any) -> Any:
    """The target after a merge patch."""
    if not isinstance(patch, dict):
        return copied(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result


def strategic_patch(target: Any, patch: Any, field: str = "") -> Any:
    """The target after a strategic merge patch of a built-in kind; of the directives, `$patch` is understood."""
    if isinstance(patch, list):
        return _strategic_list(target if isinstance(target, list) else [], patch, field)
    if not isinstance(patch, dict):
        return copied(patch)
    if patch.get("$patch") == "replace":
        return {name: copied(value) for name, value in patch.items() if name != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if name.startswith("$setElementOrder/"):
            continue
        if name.startswith("$deleteFromPrimitiveList/"):
            whole = name.partition("/")[2]
            result[whole] = [one for one in result.get(whole, []) if one not in value]
        elif value is None:
            result.pop(name, None)
        else:
            result[name] = strategic_patch(result.get(name), value, name)
    return result


def _strategic_list(target: list[Any], patch: list[Any], field: str) -> list[Any]:
    if field == "finalizers":
        return [*patch, *(one for one in target if one not in patch)]
    key = member_key(field, [*target, *(one for one in patch if one != {"$patch": "replace"})])
    if key is None or {"$patch": "replace"} in patch:
        return copied([one for one in patch if one != {"$patch": "replace"}])  # type: ignore[no-any-return]
    members = {key_values(one, key): one for one in target}
    for one in patch:
        values = key_values(one, key)
        if one.get("$patch") == "delete":
            members.pop(values, None)
        else:
            members[values] = strategic_patch(members.get(values, {}), one)
    return list(members.values())


def json_patch(document: Any, operations: list[Json]) -> Any:
    """The document after a JSON patch. Raises 422 where an operation cannot be done or a test fails."""
    result = copied(document)
    for one in operations:
        try:
            result = _operate(result, one)
        except (LookupError, ValueError, TypeError) as error:
            message = "the server rejected our request due to an error in our request"
            raise StatusError(422, "Invalid", message) from error
    return result


def _operate(document: Any, operation: Json) -> Any:
    path, kind = _pointer(operation["path"]), operation["op"]
    if kind == "test":
        if _look(document, path) != operation.get("value"):
            raise ValueError("testing value failed")
        return document
    if kind in ("move", "copy"):
        source = _pointer(operation["from"])
        value = copied(_look(document, source))
        if kind == "move":
            document = _edit(document, source, "remove", None)
        return _edit(document, path, "add", value)
    if kind not in ("add", "remove", "replace"):
        raise ValueError(f"unexpected kind: {kind}")
    return _edit(document, path, kind, copied(operation.get("value")))


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError(f"{text!r} is no JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _index(members: list[Any], part: str, *, end: bool = False) -> int:
    index = len(members) if part == "-" and end else int(part)
    if not 0 <= index < len(members) + end:
        raise IndexError(part)
    return index


def _look(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[_index(document, part)] if isinstance(document, list) else document[part]
    return document


def _edit(document: Any, path: list[str], kind: str, value: Any) -> Any:
    if not path:
        return None if kind == "remove" else value
    parent, last = _look(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        index = _index(parent, last, end=kind == "add")
        parent[index : index + (kind != "add")] = [] if kind == "remove" else [value]
    elif not isinstance(parent, dict):
        raise TypeError(f"{last} of a {type(parent).__name__}")
    elif kind == "remove":
        del parent[last]
    else:  # Kubernetes' library adds, too, what is to be replaced and is not there.
        parent[last] = value
    return document
