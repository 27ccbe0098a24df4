"""The unit of a store's depth: metres, or a relative one of the person's own, as the store's configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .schema import Field

METRES, RELATIVE = "m", "relative"

_MEANING = "; 0 is the torso's median, 1 its spread, farther is larger"


def depth_unit(configuration: Mapping[str, Any]) -> str:
    """`m` or `relative`: what the UADD of a store with that configuration is in."""
    depth = configuration.get("depth")
    return RELATIVE if isinstance(depth, Mapping) and depth.get("metric") is False else METRES


def in_unit(field: Field, unit: str) -> Field:
    """A field of the schema, whose depths are in metres, with its depths in `unit`."""
    if unit == METRES or not field.name.startswith("uadd/"):
        return field
    return replace(field, unit=unit + field.unit.removeprefix(METRES), meaning=field.meaning + _MEANING)
