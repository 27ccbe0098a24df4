"""A field as the array that holds it describes it: shape, unit and meaning are the store's, not this version's."""

from __future__ import annotations

from dataclasses import replace

import zarr

from .schema import FIELDS, Field


def described(name: str, array: zarr.Array) -> Field:
    """Return the schema's field, with the shape, unit and meaning that this array has; else all from the array."""
    if name not in FIELDS:
        return _stranger(name, array)
    known = {"unit": array.attrs.get("units"), "meaning": array.attrs.get("description")}
    texts = {key: str(value) for key, value in known.items() if value is not None}
    return replace(FIELDS[name], shape=array.shape[1:], **texts)  # type: ignore[arg-type]


def _stranger(name: str, array: zarr.Array) -> Field:
    """A field that this version does not know, as its own metadata describes it."""
    dimensions = array.metadata.dimension_names or ()  # type: ignore[union-attr]
    attributes = dict(array.attrs)
    return Field(
        name,
        array.shape[1:],
        str(array.dtype),
        tuple(str(d) for d in dimensions[1:]),
        str(attributes.get("units", "")),
        str(attributes.get("description", "")),
    )
