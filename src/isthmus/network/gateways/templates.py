"""Rendering of gateway templates: the part of Go's text templates that Liqo's users' templates use. Pure.

A template is an object whose texts hold placeholders: `{{ .Spec.MTU }}`, `{{ index .Spec.Endpoint.Addresses 0 }}`.
Fields are named as in Go, that is without regard to case. A text that is one placeholder takes the value's own type
(a port stays a number) where the API server wants no text. A key that begins with `?` is left out when its value is
empty. One thing is ours: the value of an environment variable may be a map, which becomes its JSON text, so that
what a user wrote into a GatewayClient can never break out of it. Everything else is refused with a clear error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from isthmus.api.networking import GatewayClientSpec, GatewayServerSpec

_PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_FIELD = re.compile(r"(?:\.[A-Za-z_][A-Za-z0-9_]*)+")
_INDEX = re.compile(r"index\s+((?:\.[A-Za-z_][A-Za-z0-9_]*)+)\s+([0-9]{1,3})")
_TEXT_MAPS = frozenset(
    {"labels", "annotations", "matchLabels", "nodeSelector", "selector", "args", "command", "finalizers"}
)
_TEXTS = frozenset({"name", "namespace", "value"})
_OPTIONAL = "?"


class TemplateError(ValueError):
    """A template that cannot be rendered; names the template and the expression."""


class Variables(Struct, frozen=True, kw_only=True):
    """What a template may name, beginning with a dot."""

    spec: GatewayServerSpec | GatewayClientSpec
    """`.Spec`: the gateway's."""
    name: str
    """`.Name` of the gateway."""
    namespace: str
    """`.Namespace` of the gateway."""
    gateway_uid: str
    """`.GatewayUID`: of the GatewayServer or GatewayClient."""
    cluster_id: str
    """`.ClusterID` of the peer."""
    secret_name: str
    """`.SecretName`: the Secret with the gateway's keys."""

    def roots(self) -> dict[str, Any]:
        """The variables as templates call them."""
        return {
            "Spec": self.spec,
            "Name": self.name,
            "Namespace": self.namespace,
            "GatewayUID": self.gateway_uid,
            "ClusterID": self.cluster_id,
            "SecretName": self.secret_name,
        }


def render(template: Any, variables: Variables, origin: str) -> Any:
    """The template with every placeholder replaced; `origin` names it in errors. Raises TemplateError."""
    return _Rendering(variables.roots(), origin).value(template, "", "")


class _Rendering:
    """One pass over one template."""

    def __init__(self, roots: dict[str, Any], origin: str) -> None:
        self._roots = roots
        self._origin = origin

    def value(self, node: Any, key: str, parent: str) -> Any:
        if isinstance(node, str):
            return self._text(node, as_text=key in _TEXTS or key in _TEXT_MAPS or parent in _TEXT_MAPS)
        if isinstance(node, list):
            # The items of a list stand where the list does.
            return [self.value(item, key, parent) for item in node]
        if isinstance(node, Mapping):
            return self._map(node, key)
        return node

    def _map(self, node: Mapping[str, Any], key: str) -> dict[str, Any]:
        rendered: dict[str, Any] = {}
        for name, child in node.items():
            plain = name.removeprefix(_OPTIONAL)
            if plain == name:
                value = self.value(child, name, key)
            else:
                value = self._optional(child, plain, key)
                if _is_empty(value):
                    continue
            rendered[plain] = _environment_value(value) if key == "env" and plain == "value" else value
        return rendered

    def _optional(self, child: Any, key: str, parent: str) -> Any:
        try:
            return self.value(child, key, parent)
        except _MissingValueError:
            return None

    def _text(self, text: str, *, as_text: bool) -> Any:
        found = list(_PLACEHOLDER.finditer(text))
        rest = _PLACEHOLDER.sub("", text)
        if "{{" in rest or "}}" in rest:
            raise TemplateError(f"{self._origin}: {text!r}: a {{{{ or }}}} stands alone")
        if not found:
            return text
        whole = len(found) == 1 and not rest.strip()
        if whole and not as_text:
            return self._resolve(found[0][1].strip())
        return _PLACEHOLDER.sub(lambda match: self._printed(match[1].strip()), text)

    def _printed(self, expression: str) -> str:
        value = self._resolve(expression)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int):
            return str(value)
        raise self._error(
            expression, "is not a string, number or boolean, which alone can stand within a text"
        )

    def _resolve(self, expression: str) -> Any:
        if _FIELD.fullmatch(expression):
            value = self._field(expression, expression)
        elif match := _INDEX.fullmatch(expression):
            items = self._field(match[1], expression)
            if not isinstance(items, list):
                raise self._error(expression, "indexes what is not a list")
            if int(match[2]) >= len(items):
                raise _MissingValueError(
                    self._message(expression, f"asks for item {match[2]} of {len(items)}")
                )
            value = items[int(match[2])]
        else:
            raise self._error(
                expression,
                "is not supported: only fields, such as .Spec.MTU, and items of lists, such as"
                " index .Spec.Endpoint.Addresses 0, can be used",
            )
        if value is None:
            raise _MissingValueError(
                self._message(
                    expression,
                    "has no value for this gateway: set it there, or let the key begin with ? in the template",
                )
            )
        return msgspec.to_builtins(value) if isinstance(value, Struct) else value

    def _field(self, path: str, expression: str) -> Any:
        root, *rest = path[1:].split(".")
        if root not in self._roots:
            known = ", ".join(f".{name}" for name in self._roots)
            raise self._error(expression, f"names no variable: there are {known}")
        value = self._roots[root]
        for name in rest:
            if value is None:
                return None
            if isinstance(value, Struct):
                value = self._member(value, name, expression)
            elif isinstance(value, Mapping):
                value = value.get(name, "")
            else:
                raise self._error(expression, f"asks for the field {name} of what has none")
        return value

    def _member(self, struct: Struct, name: str, expression: str) -> Any:
        fields = zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True)
        for encoded, attribute in fields:
            if encoded.lower() == name.lower():
                return getattr(struct, attribute)
        known = ", ".join(struct.__struct_encode_fields__)
        raise self._error(expression, f"names no field: there are {known}")

    def _error(self, expression: str, fault: str) -> TemplateError:
        return TemplateError(self._message(expression, fault))

    def _message(self, expression: str, fault: str) -> str:
        return f"{self._origin}: {{{{ {expression} }}}} {fault}"


class _MissingValueError(TemplateError):
    """A placeholder for what the gateway does not say; fine below a key that begins with `?`."""


def _is_empty(value: Any) -> bool:
    return value is None or value is False or value in ("", 0, "0", [], {})


def _environment_value(value: Any) -> Any:
    if isinstance(value, dict | list):
        return msgspec.json.encode(value, order="deterministic").decode()
    return value
