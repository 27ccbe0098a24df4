"""A part of a store as a store of its own: some sequences, some fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidValueError, MissingFieldError
from ..format.families import AT, field_of
from ..format.schema import Field
from ..format.sequences import SequenceTable
from ..format.where import parse_where
from ..locations.base import Location
from .plan import DerivedPlan, shard_length
from .sources import Source

# What says which frames these are goes along, whatever is selected.
ALWAYS = ("valid", "source_frame")
NAMED = 5


@dataclass(frozen=True)
class Selection:
    """Which part of a store; all that is given must hold.

    where    an expression over the columns of the table of sequences: `subject in ("S1", "S5") and fps >= 25`
    keys     split, subject, action, camera: the values that they may have
    ids      of the sequences; their order is that of the store all the same
    fields   names of fields, of groups of them (`uadd`), or of families (`@base`); None for all
    """

    where: str = ""
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ids: tuple[str, ...] | None = None
    fields: tuple[str, ...] | None = None

    def described(self) -> dict[str, Any]:
        """As plain data, without what was not given."""
        given = {
            "where": self.where,
            **{key: list(values) for key, values in self.keys.items() if values},
            "sequences": None if self.ids is None else len(self.ids),
            "fields": None if self.fields is None else list(self.fields),
        }
        return {key: value for key, value in given.items() if value not in ("", None)}


def select_plan(store: str | Path | Location, selection: Selection, shard_frames: int | None = None) -> DerivedPlan:
    """The plan of the selected store.

    Raises InvalidValueError where nothing is selected, an id is unknown or the expression cannot be read,
    MissingFieldError for a field that the store lacks, StoreIncompleteError where it is being written.
    """
    source = Source.open(store)
    table = source.store.sequences
    wanted = _fields(source, selection.fields)
    chosen = np.searchsorted(table.starts, selected(table, selection, source.store.url).starts)
    return DerivedPlan(
        "select",
        (source,),
        (chosen,),
        tuple(table.table["id"].take(chosen).to_pylist()),
        tuple(spec for name, spec in source.fields.items() if name in wanted or name in ALWAYS),
        shard_length((source,), shard_frames),
        selection.described() | ({"shard_frames": shard_frames} if shard_frames else {}),
        family_fields={
            name: fields for name, family in source.families.items() if (fields := _of(family, name, wanted))
        },
    )


def selected(table: SequenceTable, selection: Selection, url: str) -> SequenceTable:
    """The sequences for which all of it holds. InvalidValueError where there is none."""
    keys: dict[str, Iterable[str]] = {key: values for key, values in selection.keys.items() if values}
    if selection.ids is not None:
        there = set(table.table["id"].to_pylist())
        unknown = [id for id in dict.fromkeys(selection.ids) if id not in there]
        if unknown:
            more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
            raise InvalidValueError(f"{url} has no sequence {', '.join(map(repr, unknown[:NAMED]))}{more}")
        keys["id"] = selection.ids
    expression = parse_where(selection.where) if selection.where else None
    try:
        return table.select(expression, **keys)
    except InvalidValueError as error:
        if selection.where and not keys:
            there = str(error).partition("; the store has ")[2]
            raise InvalidValueError(f"no sequence of {url} fits {selection.where}; it has {there}") from error
        raise InvalidValueError(f"{url}: {error}") from error


def _fields(source: Source, wanted: tuple[str, ...] | None) -> set[str]:
    """The names of the fields that are wanted, those of families (`uadd/paper@base`) among them."""
    families = {field_of(plain, name) for name, family in source.families.items() for plain in family.fields}
    there = [*source.fields, *sorted(families)]
    if wanted is None:
        return set(there)
    chosen: set[str] = set()
    for name in wanted:
        found = [field for field in there if field == name or field.startswith(f"{name}/") or _is_of(field, name)]
        if not found:
            raise MissingFieldError(f"{source.store.url} has no {name}; it holds {', '.join(there)}")
        chosen.update(found)
    if not chosen:
        raise InvalidValueError(f"--fields names no field; {source.store.url} holds {', '.join(there)}")
    return chosen


def _is_of(field: str, name: str) -> bool:
    """`@base` names all fields of the family `base`."""
    return name.startswith(AT) and field.endswith(name)


def _of(family: Source, name: str, wanted: set[str]) -> tuple[Field, ...]:
    return tuple(spec for plain, spec in family.fields.items() if field_of(plain, name) in wanted)
