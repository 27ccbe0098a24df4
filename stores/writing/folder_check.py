"""Is one folder, a store's or a family's, what its ledger says? What in it is damaged, missing or strange."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ..attributes import read_attributes
from ..errors import AugliftError, CorruptStoreError, MissingFileError
from ..format.families import FAMILIES
from ..format.fingerprint import canonical_json, fingerprint
from ..format.layout import (
    CARD,
    CHECKSUMS,
    CROISSANT,
    GROUP,
    LEDGER,
    PLAN,
    SEQUENCES,
    STATISTICS,
    StoreLayout,
    array_key,
    array_metadata_keys,
    ledger_key,
)
from ..format.record import ShardRecord
from ..format.schema import Field
from ..ledger import read_record
from ..locations.base import PARTIAL, Location
from ..locations.checksums import is_as_written, read_checksums
from ..reading.store import FeatureStore
from .lock import LOCK, holder_of

THREADS = 8


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    key       the file, relative to the store
    problem   what is wrong with it, in a line
    remedy    what `repair` does about it: a key of REMEDIES
    shard     the shard it belongs to, where it belongs to one
    family    the family of further fields it belongs to; "" where it is the store's own
    """

    key: str
    problem: str
    remedy: str
    shard: int | None = None
    family: str = ""


REMEDIES = {
    "redo": "take the shard's record away: the next auglift-prep writes the shard again",
    "renew": "take zarr.json away: the next auglift-prep writes it, the arrays' metadata and the table again",
    "replan": "take plan.json away: the next auglift-prep writes it again",
    "finish": "mark the store unfinished: the next auglift-prep finishes it again",
    "delete": "delete the file",
    "publish": "write the index of complete families again",
    "remove": "left alone: auglift-store remove-fields takes the family away",
    "none": "left alone: not a file of ours; move it elsewhere",
}

Progress = Callable[[int, int], None]


def check_folder(
    location: Location, open: Callable[[], FeatureStore], deep: bool, progress: Progress | None
) -> list[Finding]:
    """What is wrong in the folder of a store, those of its families excepted, or in that of a family."""
    try:
        attributes = read_attributes(location)
    except MissingFileError:
        if not location.exists(PLAN):
            raise
        return list(unfinished(location, _own_sizes(location)))  # a job has only just begun it
    except CorruptStoreError as error:
        return [*unfinished(location, _own_sizes(location)), Finding(GROUP, str(error), "renew")]
    # The ledger first: where a job is writing, what has a record by now has its arrays when we look for them.
    recorded = set(location.listing(LEDGER))
    sizes = _own_sizes(location)
    found = list(unfinished(location, sizes))
    found += _plan(location, attributes)
    complete = attributes["status"] == "complete"
    if complete:
        found += _checksums(location, sizes, {SEQUENCES} if "family" not in attributes else set())
    try:
        store = open()
        layout = store.layout
        _check_arrays(location, layout)
    except AugliftError as error:
        return [*found, Finding(GROUP, str(error), "renew")]
    fault = store.sequences.fault()
    if fault and "family" not in attributes and not any(finding.key == SEQUENCES for finding in found):
        found.append(Finding(SEQUENCES, f"is not what auglift-prep writes: {fault}", "renew"))
    records, bad = _ledger(location, layout, attributes["fingerprint"], complete, recorded)
    found += bad
    with ThreadPoolExecutor(_threads(layout)) as pool:
        check = _read_shard if deep else _weigh_shard
        checked = pool.map(lambda record: list(check(store, record, sizes)), records)
        for number, findings in enumerate(checked, 1):
            found += findings
            if progress is not None:
                progress(number, len(records))
    return [*found, *_strays(layout, sizes)]


def _own_sizes(location: Location) -> dict[str, int]:
    """What lies in a store's folder, families excepted."""
    return {key: size for key, size in location.sizes().items() if not key.startswith(f"{FAMILIES}/")}


def _threads(layout: StoreLayout) -> int:
    """So many that what they hold of the largest field, stored and decoded, stays near a gigabyte."""
    largest = max(spec.frame_bytes for spec in layout.fields) * layout.shard_frames
    return max(1, min(THREADS, 2**30 // (3 * largest)))


def unfinished(location: Location, sizes: dict[str, int]) -> Iterator[Finding]:
    if holder_of(location) is not None:
        return  # a job is writing: what is unfinished is its business
    if LOCK in sizes:
        yield Finding(LOCK, "left behind by a job that died", "delete")
    for key in sizes:
        if key.endswith(PARTIAL):
            yield Finding(key, "a write that a killed job left unfinished", "delete")


def _plan(location: Location, attributes: dict[str, Any]) -> Iterator[Finding]:
    try:
        data = location.read(PLAN)
        plan = json.loads(data)
        if fingerprint(plan["configuration"]) != plan["fingerprint"] or (canonical_json(plan) + "\n").encode() != data:
            yield Finding(PLAN, "is not what was written: its fingerprint does not fit", "replan")
        elif plan["fingerprint"] != attributes["fingerprint"]:
            yield Finding(PLAN, f"is the plan of another store than {GROUP} says", "replan")
    except MissingFileError:
        yield Finding(PLAN, "is missing", "replan")
    except (ValueError, KeyError, TypeError):
        yield Finding(PLAN, "cannot be read", "replan")


def _checksums(location: Location, sizes: dict[str, int], also: set[str]) -> Iterator[Finding]:
    """Everything beside the shards against SHA256SUMS, which a finished store has."""
    try:
        expected = read_checksums(location)
    except CorruptStoreError:
        yield Finding(CHECKSUMS, "cannot be read", "finish")
        return
    if expected is None:
        yield Finding(CHECKSUMS, "is missing", "finish")
        return
    for key in {GROUP, PLAN, STATISTICS, *also} - set(expected):
        yield Finding(CHECKSUMS, f"does not list {key}", "finish")
    for key in expected:
        shard = _shard_of(key)
        remedy = "redo" if shard is not None else {PLAN: "replan", STATISTICS: "finish"}.get(key, "renew")
        if key not in sizes:
            yield Finding(key, "is missing", remedy, shard)
        elif not is_as_written(location.read(key), key, expected):
            yield Finding(key, f"is not what was written: its sha256 is not the one in {CHECKSUMS}", remedy, shard)


def _shard_of(key: str) -> int | None:
    number = key.removeprefix(LEDGER).removesuffix(".json")
    return int(number) if key == f"{LEDGER}{number}.json" and number.isdecimal() else None


def _check_arrays(location: Location, layout: StoreLayout) -> None:
    """CorruptStoreError where an array's own metadata, the group's copy of it and the layout do not agree."""
    consolidated = json.loads(location.read(GROUP))["consolidated_metadata"]["metadata"]
    for key in array_metadata_keys(layout.fields):
        path = key.removesuffix(f"/{GROUP}")
        try:
            own = json.loads(location.read(key))
        except ValueError as error:
            raise CorruptStoreError(f"{key} cannot be read ({error})") from error
        own.pop("consolidated_metadata", None)
        known = {k: v for k, v in consolidated.get(path, {}).items() if k != "consolidated_metadata"}
        if own != known:
            raise CorruptStoreError(f"{key} is not what {GROUP} says of {path}")
    for spec in layout.fields:
        shape = consolidated[spec.name]["shape"]
        if shape[0] != layout.frames:
            raise CorruptStoreError(f"{spec.name} has {shape[0]} frames, {SEQUENCES} {layout.frames}")


def _ledger(
    location: Location, layout: StoreLayout, ours: str, complete: bool, recorded: set[str]
) -> tuple[list[ShardRecord], list[Finding]]:
    """The records that can be trusted, and what is wrong with the others."""
    records, findings = [], []
    for shard in range(layout.shards):
        key = ledger_key(shard)
        if key not in recorded:
            if complete:
                findings.append(Finding(key, "is missing", "redo", shard))
            continue
        try:
            record = read_record(location, key)
        except CorruptStoreError:
            findings.append(Finding(key, "is not a ledger record of this shard", "redo", shard))
            continue
        misfit = record.misfit(layout, ours)
        if misfit:
            findings.append(Finding(key, misfit, "redo", shard))
        else:
            records.append(record)
    return records, findings


def _weigh_shard(store: FeatureStore, record: ShardRecord, sizes: dict[str, int]) -> Iterator[Finding]:
    """The shard's files against the sizes in its record."""
    for spec in store.layout.fields:
        key, expected = array_key(spec, record.shard), record.arrays[spec.name]["bytes"]
        if key not in sizes:
            yield Finding(key, "is missing", "redo", record.shard)
        elif sizes[key] != expected:
            yield Finding(key, f"has {sizes[key]} bytes, the ledger says {expected}", "redo", record.shard)


def _read_shard(store: FeatureStore, record: ShardRecord, sizes: dict[str, int]) -> Iterator[Finding]:
    """The shard's files against the hashes in its record; then what they decode to."""
    weighed = list(_weigh_shard(store, record, sizes))
    yield from weighed
    for spec in store.layout.fields:
        key = array_key(spec, record.shard)
        if any(finding.key == key for finding in weighed):
            continue
        if hashlib.sha256(store.location.read(key)).hexdigest() != record.arrays[spec.name]["sha256"]:
            yield Finding(key, "is not what was written: its sha256 is not the ledger's", "redo", record.shard)
        else:
            yield from _decode(store, spec, record, key)


def _decode(store: FeatureStore, spec: Field, record: ShardRecord, key: str) -> Iterator[Finding]:
    try:
        values = store.read(spec.name, record.start, record.stop)
    except AugliftError as error:
        yield Finding(key, f"cannot be decoded ({error})", "redo", record.shard)
        return
    if spec.name == "valid" and int(values.sum()) != record.counts.get("valid", int(values.sum())):
        problem = f"has {int(values.sum())} valid frames, the ledger says {record.counts['valid']}"
        yield Finding(key, problem, "redo", record.shard)


def _strays(layout: StoreLayout, sizes: dict[str, int]) -> Iterator[Finding]:
    """Files that no store of this layout has. A hub's own (hidden files, the card) are not the store's business."""
    known = {GROUP, SEQUENCES, PLAN, STATISTICS, CHECKSUMS, CARD, CROISSANT, LOCK, *array_metadata_keys(layout.fields)}
    known |= {ledger_key(shard) for shard in range(layout.shards)}
    known |= {array_key(spec, shard) for spec in layout.fields for shard in range(layout.shards)}
    ours = (LEDGER, *(f"{spec.name}/" for spec in layout.fields))
    for key in sizes:
        if key not in known and not key.endswith(PARTIAL) and not key.startswith("."):
            yield Finding(key, "does not belong to the store", "delete" if key.startswith(ours) else "none")
