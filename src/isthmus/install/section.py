"""The base of every group of values: camelCase names, and an error for any name that is not known."""

from __future__ import annotations

from msgspec import Struct


class Section(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The settings every group of values shares."""
