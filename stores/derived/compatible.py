"""Which stores may be merged: one skeleton, one way of making every field. What differs is listed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import InvalidValueError
from ..format.fingerprint import describe_difference
from ..format.schema import FEATURES, FIELDS, Field
from .sources import Source

# What two passes may differ in and still have computed the same thing: what was filmed, and how the work was cut.
# Batch, threads and device decide the last bits of a value, and no more.
ABOUT_SOURCES = ("format_version", "dataset", "sequences", "shard_frames", "derived", "store")
ABOUT_ROUNDING = ("batch", "threads", "device")
TARGET = "target/"


def method(source: Source, fields: Iterable[str] | None = None) -> dict[str, Any]:
    """The part of a store's configuration that says what its values are.

    fields   those that matter; a descriptor or a stream of features without a field is left out. By default the
             store's own
    """
    ignored = (*ABOUT_SOURCES, *ABOUT_ROUNDING)
    found = {key: value for key, value in source.store.configuration.items() if key not in ignored}
    if isinstance(found.get("uadd"), dict):
        there = {name.rpartition("/")[2] for name in (source.fields if fields is None else fields) if _is_uadd(name)}
        found["uadd"] = {preset: constants for preset, constants in found["uadd"].items() if preset in there}
    if isinstance(found.get("features"), dict):
        streams = set(source.fields if fields is None else fields)
        found["features"] = {s: made for s, made in found["features"].items() if FEATURES.get(s) in streams}
        if not found["features"]:
            del found["features"]
    return found


def _is_uadd(name: str) -> bool:
    return name.startswith(("uadd/", "radius/"))


def require_mergeable(sources: Sequence[Source]) -> None:
    """InvalidValueError, in a line, where stores differ in skeleton, configuration or fields, or one is there twice."""
    seen: dict[tuple[str, ...], str] = {}
    for source in sources:
        identity = tuple(source.identity.values())
        if identity in seen:
            raise InvalidValueError(f"{seen[identity]} and {source.store.url} are the same store; give each one once")
        seen[identity] = source.store.url
    first = sources[0]
    for other in sources[1:]:
        where = (f"in {first.store.url}", f"in {other.store.url}")
        cannot = f"{first.store.url} and {other.store.url} cannot be merged"
        skeletons = [source.store.attributes.get("skeleton") for source in (first, other)]
        if skeletons[0] != skeletons[1]:
            difference = describe_difference({"skeleton": skeletons[0]}, {"skeleton": skeletons[1]}, where=where)
            raise InvalidValueError(f"{cannot}: {difference}")
        _require_same_method(first, other, cannot, where)
        for have, lack in ((first, other), (other, first)):
            only = sorted(have.families.keys() - lack.families.keys())
            if only:
                raise InvalidValueError(
                    f"{cannot}: the new fields '{only[0]}' are only in {have.store.url}; extend "
                    f"{lack.store.url} too, or merge a copy without them (auglift-store select, then remove-fields)"
                )
        for name, family in first.families.items():
            _require_same_method(family, other.families[name], cannot, where)


def _require_same_method(first: Source, other: Source, cannot: str, where: tuple[str, str]) -> None:
    if method(first) != method(other):
        raise InvalidValueError(f"{cannot}: {describe_difference(method(first), method(other), where=where)}")
    for have, lack in ((first, other), (other, first)):
        missing = [name for name in have.fields if name not in lack.fields and not name.startswith(TARGET)]
        if missing:
            raise InvalidValueError(
                f"{cannot}: {', '.join(missing)} only in {have.store.url}; auglift-store select --fields leaves it out"
            )
    for name, spec in first.fields.items():
        theirs = other.fields.get(name)
        if theirs is not None and (spec.shape, spec.dtype, spec.unit) != (theirs.shape, theirs.dtype, theirs.unit):
            shapes = [f"{s.dtype}{list(s.shape)} {s.unit}" for s in (spec, theirs)]
            raise InvalidValueError(f"{cannot}: {name} is {shapes[0]} in the first, {shapes[1]} in the second")


def fields_of_all(sources: Sequence[Source]) -> tuple[Field, ...]:
    """The fields of any of the stores, in the order of the format: what a store lacks is NaN in its frames."""
    found: dict[str, Field] = {}
    for source in sources:
        for name, spec in source.fields.items():
            found.setdefault(name, spec)
    known = [found[name] for name in FIELDS if name in found]
    return (*known, *(spec for name, spec in found.items() if name not in FIELDS))
