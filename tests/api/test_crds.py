"""The CRD manifests against the facts of the interface: nothing missing, nothing added, nothing stricter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from isthmus.api.crds import KINDS, custom_resource_definitions
from isthmus.api.crds.schema import QUANTITY_PATTERN

from .facts import Field, KindFacts, read_facts

FACTS = read_facts()
MANIFESTS = {crd["spec"]["names"]["kind"]: crd for crd in custom_resource_definitions()}

FREE_FORM = {"core/v1 PodSpec", "core/v1 ServiceSpec", "apps/v1 DeploymentSpec"}
STANDARD = {
    "core/v1 ObjectReference": "apiVersion fieldPath kind name namespace resourceVersion uid",
    "core/v1 Toleration": "effect key operator tolerationSeconds value",
    "core/v1 Taint": "effect key timeAdded value",
    "core/v1 ContainerImage": "names sizeBytes",
    "core/v1 NodeSelector": "nodeSelectorTerms",
    "core/v1 NodeAffinity": (
        "preferredDuringSchedulingIgnoredDuringExecution requiredDuringSchedulingIgnoredDuringExecution"
    ),
    "core/v1 ResourceRequirements": "claims limits requests",
    "discovery/v1 Endpoint": (
        "addresses conditions deprecatedTopology hints hostname nodeName targetRef zone"
    ),
}
"""The fields of the Kubernetes types that the facts only name."""


def _facets(type_: str) -> tuple[str, list[str]]:
    """Split `string (format byte; rule self == oldSelf)` into the type and its facets."""
    match = re.fullmatch(r"([^(]*?)(?: \((.*)\))?", type_)
    assert match, type_
    return match[1], re.split("; ", match[2]) if match[2] else []


def _default(type_: str, text: str) -> Any:
    if type_ == "boolean":
        return text == "True"
    return int(text) if type_ == "integer" else text


def _expected(type_: str, facets: list[str]) -> dict[str, Any]:
    expected: dict[str, Any] = {"type": type_}
    rules = []
    for facet in facets:
        word, _, rest = facet.partition(" ")
        if word in ("format", "pattern"):
            expected[word] = rest
        elif word in ("minimum", "maxItems", "minItems"):
            expected[word] = int(rest)
        elif word == "one":
            expected["enum"] = rest.removeprefix("of ").split("|")
        elif word == "default":
            expected["default"] = _default(type_, rest)
        else:
            assert word == "rule", facet
            rules.append(rest)
    if rules:
        expected["rules"] = rules
    return expected


def _actual(schema: dict[str, Any]) -> dict[str, Any]:
    facets = ("type", "format", "pattern", "minimum", "maxItems", "minItems", "enum", "default")
    actual = {facet: schema[facet] for facet in facets if facet in schema}
    rules = [entry["rule"] for entry in schema.get("x-kubernetes-validations", [])]
    if rules:
        actual["rules"] = rules
    return actual


def _check_item(type_: str, schema: dict[str, Any]) -> None:
    word, _, pattern = type_.partition(" ")
    if word == "quantity":
        assert schema["x-kubernetes-int-or-string"] is True
        assert schema["pattern"] == QUANTITY_PATTERN
    else:
        assert schema["type"] == word
        assert schema.get("pattern", "") == pattern


def _differences(path: str, fact: Field, schema: dict[str, Any]) -> Iterator[str]:
    """What of a field, and of the fields in it, is not as noted."""
    if " = " in fact.type:
        yield from _standard_differences(path, fact.type.split(" = ")[1], schema)
        return
    if fact.type in ("int-or-string", "object (free-form)"):
        mark = "int-or-string" if fact.type == "int-or-string" else "preserve-unknown-fields"
        if mark not in str([key for key in schema if schema[key] is True]):
            yield f"{path}: not {fact.type}"
        return
    if match := re.fullmatch(r"(object map to|array(?: \([^)]*\))? of) (.+)", fact.type):
        outer = match[1].removesuffix(" of").removesuffix(" map to")
        if _actual(schema) != _expected(*_facets(outer)):
            yield f"{path}: {_actual(schema)} instead of {fact.type}"
        _check_item(match[2], schema["additionalProperties" if outer == "object" else "items"])
        return
    if _actual(schema) != _expected(*_facets(fact.type)):
        yield f"{path}: {_actual(schema)} instead of {fact.type}"
    yield from _field_differences(path, fact, schema)


def _field_differences(path: str, fact: Field, schema: dict[str, Any]) -> Iterator[str]:
    if "[]" in fact.fields:
        yield from _differences(f"{path}[]", fact.fields["[]"], schema["items"])
    elif "{key}" in fact.fields:
        yield from _differences(f"{path}.*", fact.fields["{key}"], schema["additionalProperties"])
    else:
        properties = schema.get("properties", {})
        if properties.keys() != fact.fields.keys():
            yield f"{path}: fields {sorted(properties)} instead of {sorted(fact.fields)}"
        if set(schema.get("required", [])) != {name for name, f in fact.fields.items() if f.required}:
            yield f"{path}: required {schema.get('required')}"
        for name, child in fact.fields.items():
            if name in properties:
                yield from _differences(f"{path}.{name}", child, properties[name])


def _standard_differences(path: str, name: str, schema: dict[str, Any]) -> Iterator[str]:
    if name in FREE_FORM:
        if schema.get("x-kubernetes-preserve-unknown-fields") is not True or "properties" in schema:
            yield f"{path}: {name} is not kept as it comes"
    elif sorted(schema["properties"]) != STANDARD[name].split():
        yield f"{path}: {name} has {sorted(schema['properties'])}"


def test_exactly_the_28_kinds_are_served() -> None:
    assert len(KINDS) == 28
    assert sorted(MANIFESTS) == sorted(fact.name for fact in FACTS)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_names_and_scope(fact: KindFacts) -> None:
    crd = MANIFESTS[fact.name]
    spec, (version,) = crd["spec"], crd["spec"]["versions"]
    group, _, name = fact.api_version.partition("/")
    assert crd["metadata"]["name"] == f"{fact.plural}.{group}"
    assert (spec["group"], version["name"]) == (group, name)
    assert spec["names"]["plural"] == fact.plural
    assert spec["names"].get("shortNames", []) == fact.short_names
    assert spec["names"]["categories"] == ["liqo"]
    assert spec["scope"] == ("Namespaced" if fact.namespaced else "Cluster")
    assert ("status" in version.get("subresources", {})) == fact.status_subresource
    labels = crd["metadata"].get("labels", {})
    assert (labels.get("networking.liqo.io/gatewaytemplate") == "true") == fact.gateway_template
    assert version["served"]
    assert version["storage"]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_columns(fact: KindFacts) -> None:
    (version,) = MANIFESTS[fact.name]["spec"]["versions"]
    columns = version.get("additionalPrinterColumns", [])
    shown = [(c["name"], c["jsonPath"], c.get("priority", 0) == 1) for c in columns]
    assert shown == fact.columns


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_fields(fact: KindFacts) -> None:
    (version,) = MANIFESTS[fact.name]["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    properties = {
        k: v for k, v in schema["properties"].items() if k not in ("apiVersion", "kind", "metadata")
    }
    schema = {**schema, "properties": properties}
    assert list(_differences(fact.name, fact.root, schema)) == []


def _schemas(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        if "type" in schema and isinstance(schema["type"], str):
            yield path, schema
        for key, value in schema.items():
            yield from _schemas(value, f"{path}.{key}")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_under_spec_and_status_is_explained(kind: Any) -> None:
    assert kind.doc
    for part in filter(None, (kind.spec, kind.status)):
        assert part["description"]
        for name, schema in part["properties"].items():
            assert schema.get("description"), f"{kind.name}: {name}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_defaults_satisfy_their_own_schema(kind: Any) -> None:
    for path, schema in _schemas(kind.manifest()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]):
        if "default" in schema and "enum" in schema:
            assert schema["default"] in schema["enum"], path


def test_small_enough_for_a_last_applied_annotation() -> None:
    """kubectl apply without --server-side keeps the manifest in an annotation of at most 256 KiB."""
    import json

    assert max(len(json.dumps(crd)) for crd in MANIFESTS.values()) < 32_000
