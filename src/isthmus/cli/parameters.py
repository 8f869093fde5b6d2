"""What a user may type as a value, and what it means: durations, quantities, assignments, selectors.

Pure functions that raise ValueError with the value and the mend, and thin click types over them.
"""

from __future__ import annotations

import re
from typing import Any

import click
from click.shell_completion import CompletionItem

from isthmus.api import names, quantity

_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def parse_duration(text: str) -> float:
    """A Go duration such as `10m`, `90s` or `1h30m`, in seconds."""
    parts = list(_DURATION_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        raise ValueError(
            f'"{text}" is not a valid duration: write a number with its unit, for instance 90s or 10m'
        )
    return sum(float(part[1]) * _SECONDS[part[2]] for part in parts)


def parse_quantity(text: str) -> str:
    """A Kubernetes quantity of zero or more, such as `4`, `500m` or `8Gi`; handed back as it was written."""
    try:
        amount = quantity.parse_quantity(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a valid quantity: write for instance 4, 500m or 8Gi') from None
    if amount < 0:
        raise ValueError(f'"{text}" is negative: resources are asked for in amounts of zero or more')
    return text.removeprefix("+")


def parse_count(text: str) -> str:
    """A whole number of zero or more, as a quantity."""
    if not text.isascii() or not text.removeprefix("+").isdigit():
        raise ValueError(f'"{text}" is not a whole number of zero or more')
    return text.removeprefix("+")


def is_label_key(text: str) -> bool:
    """Whether the text can be the key of a label or a resource: `name` or `prefix/name`."""
    prefix, slash, name = text.rpartition("/")
    if slash and (len(prefix) > 253 or _DNS_SUBDOMAIN.fullmatch(prefix) is None):
        return False
    return _LABEL_NAME.fullmatch(name) is not None


def parse_assignment(text: str) -> tuple[str, str]:
    """`key=quantity` of a resource, such as `nvidia.com/gpu=2`."""
    key, equals, value = text.partition("=")
    if not equals or not is_label_key(key):
        raise ValueError(
            f'"{text}" is not a valid resource: write name=quantity, for instance nvidia.com/gpu=2'
        )
    try:
        return key, parse_quantity(value)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from error


class Duration(click.ParamType[float]):
    """A Go duration greater than zero, converted to seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; fails the command line where the text is not a valid duration or not above zero."""
        if isinstance(value, int | float):
            return float(value)
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds <= 0:
            self.fail(f'"{value}" must be more than zero', param, ctx)
        return seconds


class Quantity(click.ParamType[str]):
    """A Kubernetes quantity of zero or more."""

    name = "quantity"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The quantity as written; fails the command line where it is none."""
        try:
            return parse_quantity(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Count(click.ParamType[str]):
    """A whole number of zero or more, kept as text."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The number as written; fails the command line where it is none."""
        try:
            return parse_count(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Assignment(click.ParamType[tuple[str, str]]):
    """A resource and its quantity, `name=quantity`."""

    name = "name=quantity"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Name and quantity; fails the command line where the text is no such pair."""
        if isinstance(value, tuple):
            return value
        try:
            return parse_assignment(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class ClusterId(click.ParamType[str]):
    """A cluster id: a DNS label."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The id; fails the command line where it is not a valid DNS label."""
        if not names.is_dns_label(str(value)):
            self.fail(f'"{value}" is not a valid DNS label: {DNS_LABEL_RULE}', param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """The ids that the local cluster knows."""
        from isthmus.cli.completed import complete_cluster_ids

        return complete_cluster_ids(ctx, param, incomplete)


DNS_LABEL_RULE = "use 1 to 63 small letters, digits and dashes, with a letter or digit first and last"
