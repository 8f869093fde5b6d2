"""Labels and annotations that a user wants on every object a command makes (liqoctl's global flags).

Values may name the object they are put on: `${group}`, `${kind}`, `${namespace}` and `${name}` are filled in, which
annotations of ArgoCD need. What is ours on an object is never replaced.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any, TypeVar

import click
from msgspec import Struct, field

from isthmus.api import names, placeholders
from isthmus.cli.parameters import is_label_key
from isthmus.kube.client import Client
from isthmus.kube.objects import Manifest, Object
from isthmus.kube.resource import Resource

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T", bound=Object)


class Marks(Struct, frozen=True):
    """The labels and annotations of the command that runs, placeholders not filled in."""

    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


class MarkingClient(Client):
    """A client whose new objects carry the marks of the command that runs."""

    async def create(
        self,
        resource: Resource[T],
        manifest: Manifest,
        namespace: str = "",
        *,
        field_manager: str = "isthmus",
    ) -> T:
        """Create an object, marked. Raises AlreadyExists."""
        return await super().create(
            resource, marked(resource, manifest), namespace, field_manager=field_manager
        )


def mark_options(command: F) -> F:
    """Add --global-labels and --global-annotations; the command takes no argument for them."""
    for kind, example in (
        ("annotations", "argocd.argoproj.io/tracking-id=x:${group}/${kind}"),
        ("labels", "team=a"),
    ):
        command = click.option(
            f"--global-{kind}",
            metavar="KEY=VALUE,...",
            multiple=True,
            expose_value=False,
            callback=_remember,
            help=f"Put on every object that is made, such as {example}; repeatable.",
        )(command)
    return command


def _remember(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    if texts and isinstance(context.obj, dict):
        kind = str(parameter.name).removeprefix("global_")
        try:
            context.obj[kind] = parse_marks(texts, are_labels=kind == "labels")
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from error
    return texts


def parse_marks(texts: tuple[str, ...], *, are_labels: bool) -> dict[str, str]:
    """`key=value,key=value`, given once or more; a pair with a comma in it is quoted. Raises ValueError."""
    found = {}
    for part in (part for row in csv.reader(texts) for part in row if part):
        key, equals, value = part.partition("=")
        if not equals or not is_label_key(key):
            raise ValueError(f'"{part}" is not a valid key=value pair: write key=value, for instance team=a')
        if are_labels and not names.is_label_value(placeholders.sample(value)):
            raise ValueError(
                f'{key}: "{value}" cannot be the value of a label: at most 63 letters, digits, dashes, dots and '
                "underscores; an annotation takes any text"
            )
        found[key] = value
    return found


def present_marks() -> Marks:
    """Those of the command that runs, none outside of one."""
    context = click.get_current_context(silent=True)
    settings = context.obj if context is not None and isinstance(context.obj, dict) else {}
    return Marks(settings.get("labels", {}), settings.get("annotations", {}))


def marked(resource: Resource[Any], manifest: Manifest, marks: Marks | None = None) -> Manifest:
    """The manifest with the marks on it, by default those of the command that runs; its own values stay."""
    marks = present_marks() if marks is None else marks
    if "metadata" not in manifest or not (marks.labels or marks.annotations):
        return manifest  # What has no name, such as a question about permissions, is not kept.
    metadata = manifest["metadata"]
    facts = placeholders.facts_of(resource.group, resource.kind, metadata)
    added = {}
    for kind, values in (("labels", marks.labels), ("annotations", marks.annotations)):
        filled = placeholders.fill(values, facts)
        if filled:
            added[kind] = {**filled, **metadata.get(kind, {})}
    return {**manifest, "metadata": {**metadata, **added}}
