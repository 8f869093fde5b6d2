"""From JSON to structs: strict and fast first, forgiving of nulls second, never keeping a read buffer alive.

- Go servers write `null` for an empty map, list or timestamp now and then, where our types say `{}` or `[]`. The
  strict decode is tried first and costs nothing extra; only when it fails are nulls outside `Raw` fields pruned
  and the object decoded again.
- What is nested too deeply for the interpreter is an answer that cannot be read, like any other.
- A `Raw` field is a view into the bytes it was decoded from. What is kept must be detached, or one small object
  keeps a whole page of a list in memory (python-stack.md 2.1).
- Labels repeat from object to object; one copy of each is kept (1.3 MB a thousand pods).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct

from isthmus.kube.errors import TransportError
from isthmus.kube.objects import Object

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=Object)

DEEPEST = 11_000
"""Levels of nesting stepped over where a list is taken apart; API servers themselves read 10 000."""

Detach = Callable[[Any], None]


class Cause(Struct, frozen=True):
    """One field a Status complains of."""

    reason: str | None = None
    message: str | None = None
    field: str | None = None


class StatusDetails(Struct, frozen=True, rename="camel"):
    """The details of a Status."""

    retry_after_seconds: int | None = None
    causes: list[Cause] | None = None


class Status(Struct, frozen=True):
    """The API machinery's Status: the body of an answer that is an error."""

    kind: str | None = None
    message: str | None = None
    reason: str | None = None
    code: int | None = None
    details: StatusDetails | None = None


class ListMeta(Struct, frozen=True, rename="camel"):
    """The metadata of a list."""

    resource_version: str | None = None
    continue_: str | None = msgspec.field(default=None, name="continue")


class Listed(Struct, Generic[T], frozen=True):
    """A list, or one page of it."""

    items: list[T] | None = None
    metadata: ListMeta = ListMeta()


class WatchEvent(Struct, Generic[T], frozen=True):
    """One event of a watch; `type` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: T


class RawEvent(Struct, frozen=True):
    """An event of which only the type is known."""

    type: str
    object: Raw


class Codec(Generic[T]):
    """The decoders of one struct type, made once."""

    def __init__(self, type_: type[T]) -> None:
        self._type = type_
        self._object = msgspec.json.Decoder(type_)
        self._list: msgspec.json.Decoder[Listed[T]] = msgspec.json.Decoder(Listed[type_])  # type: ignore[valid-type]
        self._event: msgspec.json.Decoder[WatchEvent[T]] = msgspec.json.Decoder(
            WatchEvent[type_]  # type: ignore[valid-type]
        )
        self.detach = plan_detach(type_) or _keep

    def object(self, data: bytes | Raw) -> T:
        """One object. Raises TransportError where it is not of this type."""
        try:
            return self._object.decode(data)
        except msgspec.ValidationError:
            return self._forgiving(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise TransportError(f"the answer is not valid JSON: {error}") from None

    def list(self, data: bytes) -> Listed[T]:
        """A list, its objects detached from `data`. Raises TransportError."""
        try:
            listed = self._list.decode(data)
        except msgspec.ValidationError:
            listed = self._forgiving_list(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise TransportError(f"the answer is not valid JSON: {error}") from None
        for item in listed.items or ():
            self.detach(item)
        return listed

    def readable(self, data: bytes) -> Listed[T]:
        """Like `list`, but what cannot be read of it is logged and left out. Raises TransportError on no list."""
        try:
            return self.list(data)
        except TransportError:
            raw = _take_apart(data)
        items = []
        for item in raw.items or ():
            try:
                found = self.object(item)
            except TransportError as error:
                logger.error(
                    "an object is left out of a list: type=%s, cause=%r", self._type.__name__, str(error)
                )
                continue
            self.detach(found)
            items.append(found)
        return Listed(items, raw.metadata)

    def event(self, line: bytes) -> WatchEvent[T] | Status:
        """One line of a watch, or the Status of an ERROR event. Raises TransportError."""
        try:
            event = self._event.decode(line)
            if event.type != "ERROR":
                self.detach(event.object)
                return event
        except msgspec.ValidationError:
            pass
        except (msgspec.DecodeError, RecursionError) as error:
            raise TransportError(f"the watch sent invalid JSON: {error}") from None
        try:
            raw = msgspec.json.decode(line, type=RawEvent)
            if raw.type == "ERROR":
                return msgspec.json.decode(raw.object, type=Status)
        except (msgspec.DecodeError, RecursionError) as error:
            raise TransportError(f"the watch sent something that is not an event: {error}") from None
        return WatchEvent(raw.type, self._forgiving(raw.object))

    def _forgiving(self, data: bytes | Raw) -> T:
        """Decode once more without the nulls that are not inside `Raw` fields."""
        try:
            fields = msgspec.json.decode(data, type=dict[str, Raw])
            raw_names = {f.encode_name for f in msgspec.structs.fields(self._type) if f.type is Raw}
            kept: dict[str, Any] = {}
            for name, value in fields.items():
                pruned = value if name in raw_names else prune(msgspec.json.decode(value))
                if pruned is not None:
                    kept[name] = pruned
            return self._object.decode(msgspec.json.encode(kept))
        except (msgspec.DecodeError, RecursionError) as error:
            raise TransportError(
                f"the answer is not a {self._type.__name__} as it is known here: {error}"
            ) from None

    def _forgiving_list(self, data: bytes) -> Listed[T]:
        raw = _split(data)
        return Listed([self._forgiving(item) for item in raw.items or ()], raw.metadata)


_CODECS: dict[type[Any], Codec[Any]] = {}


def codec_of(type_: type[T]) -> Codec[T]:
    """The decoders of a type, shared by all clients: to make those of one peer's kinds takes 22 ms."""
    if type_ not in _CODECS:
        _CODECS[type_] = Codec(type_)
    return _CODECS[type_]


class _RawList(Struct, frozen=True):
    items: list[Raw] | None = None
    metadata: ListMeta = ListMeta()


def _split(data: bytes) -> _RawList:
    """The items of a list unread. Raises TransportError."""
    try:
        return msgspec.json.decode(data, type=_RawList)
    except (msgspec.DecodeError, RecursionError) as error:
        raise TransportError(f"the answer is not a list: {error}") from None


def _take_apart(data: bytes) -> _RawList:
    """The items of a list unread, however deep they are: even stepping over one counts as recursion."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, DEEPEST))
    try:
        return _split(data)
    finally:
        sys.setrecursionlimit(limit)


def prune(value: Any) -> Any:
    """The JSON value without its null members and elements."""
    if isinstance(value, dict):
        return {key: prune(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [prune(element) for element in value if element is not None]
    return value


def _keep(_: Any) -> None:
    return None


def plan_detach(type_: Any) -> Detach | None:
    """What copies the `Raw` fields of such a struct out of the buffer, in place; None where it has none.

    Looks into nested structs, and into lists and dicts of structs or of `Raw`.
    """
    if not (isinstance(type_, type) and issubclass(type_, Struct)):
        return None
    raws: list[str] = []
    nested: list[tuple[str, Detach]] = []
    for field in msgspec.structs.fields(type_):
        if field.type is Raw or _holds(field.type, Raw):
            raws.append(field.name)
        elif inner := _plan_field(field.type):
            nested.append((field.name, inner))
    if not raws and not nested:
        return None

    def detach(struct: Any) -> None:
        for name in raws:
            raw = getattr(struct, name)
            if raw is not None:
                msgspec.structs.force_setattr(struct, name, raw.copy())
        for name, inner in nested:
            value = getattr(struct, name)
            if value is not None:
                inner(value)

    return detach


def _arguments(type_: Any) -> tuple[Any, ...]:
    return tuple(getattr(type_, "__args__", ()))


def _origin(type_: Any) -> Any:
    return getattr(type_, "__origin__", None)


def _holds(type_: Any, member: type) -> bool:
    """Whether the type is an optional `member`."""
    return _origin(type_) not in (list, dict) and member in _arguments(type_)


def _plan_field(type_: Any) -> Detach | None:
    if plan := plan_detach(type_):
        return plan
    arguments = _arguments(type_)
    if _origin(type_) in (list, dict):
        return _plan_container(_origin(type_), arguments[-1])
    for argument in arguments:
        if plan := _plan_field(argument):
            return plan
    return None


def _plan_container(origin: type, member: Any) -> Detach | None:
    if member is Raw:
        return _detach_dict if origin is dict else _detach_list
    inner = _plan_field(member)
    if inner is None:
        return None

    def detach(container: Any) -> None:
        for element in container.values() if origin is dict else container:
            inner(element)

    return detach


def _detach_list(raws: list[Raw]) -> None:
    raws[:] = [raw.copy() for raw in raws]


def _detach_dict(raws: dict[str, Raw]) -> None:
    for key, raw in raws.items():
        raws[key] = raw.copy()


def intern_labels(struct: Object) -> None:
    """Replace the object's labels, namespace and annotation names by the one copy kept of each, in place."""
    intern = sys.intern
    metadata = struct.metadata
    if metadata.labels:
        labels = {intern(key): intern(value) for key, value in metadata.labels.items()}
        msgspec.structs.force_setattr(metadata, "labels", labels)
    if metadata.annotations:
        annotations = {intern(key): value for key, value in metadata.annotations.items()}
        msgspec.structs.force_setattr(metadata, "annotations", annotations)
    if metadata.namespace:
        msgspec.structs.force_setattr(metadata, "namespace", intern(metadata.namespace))
