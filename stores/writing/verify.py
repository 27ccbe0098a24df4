"""Is a store what its ledger says? Find what is damaged, missing or strange, and mark just that to be done again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ..attributes import read_attributes
from ..errors import AugliftError, CorruptStoreError, MissingFileError
from ..families import INDEX, begun, family_location, published
from ..format.families import FAMILIES, folder_of, is_family_name
from ..format.layout import CHECKSUMS, GROUP, PLAN, ledger_key
from ..locations.base import PARTIAL, Location
from ..locations.choose import locate
from ..reading.store import FeatureStore
from .families import complete_digest, publish
from .folder_check import REMEDIES, Finding, Progress, check_folder, unfinished
from .lock import LOCK, StoreLock, holder_of
from .shards import with_attributes

__all__ = ["REMEDIES", "Finding", "repair", "sorted_findings", "verify"]


def verify(url: str | Path | Location, deep: bool = False, progress: Progress | None = None) -> list[Finding]:
    """Compare a store, finished or half built, with its ledger and its checksums. Nothing found: an empty list.

    deep       also read every shard: its bytes against their sha256, every chunk decoded, its valid frames counted
    progress   called with (shards checked, shards to check)
    Raises MissingFileError where there is no store, InvalidValueError where it is something else or of a newer format.
    """
    location = locate(url)

    def open() -> FeatureStore:
        return FeatureStore.open(location, allow_incomplete=True, check_table=False)

    found = check_folder(location, open, deep, progress)
    if not any(finding.remedy == "renew" for finding in found) and location.exists(GROUP):
        found += _families(open(), deep, progress)
    return sorted_findings(found)


def _families(store: FeatureStore, deep: bool, progress: Progress | None) -> Iterator[Finding]:
    """Each family as a store of its own, and whether the index names those that are complete."""
    index = store.location.below(FAMILIES)
    try:
        listed = published(store.location)
    except CorruptStoreError:
        listed = {}
        yield Finding(INDEX, "cannot be read", "publish")
    there = index.top() if index.lists else []
    for finding in unfinished(index, dict.fromkeys(there, 0)):
        yield replace(finding, key=f"{FAMILIES}/{finding.key}")
    for name in there:
        if not is_family_name(name) and name not in (LOCK, CHECKSUMS) and PARTIAL not in name:
            yield Finding(f"{FAMILIES}/{name}", "does not belong to the store", "none")
    for name in sorted({*begun(store.location), *listed}):
        location = family_location(store.location, name)
        for finding in _family(store, name, deep, progress):
            yield replace(finding, key=f"{folder_of(name)}/{finding.key}", family=name)
        complete = complete_digest(store.location, name)
        if name in listed and listed[name] != complete:
            problem = "is not complete" if complete is None else f"has another {CHECKSUMS} by now"
            yield Finding(INDEX, f"names the family '{name}', which {problem}", "publish")
        elif name not in listed and complete is not None and holder_of(location) is None:
            yield Finding(INDEX, f"does not name the family '{name}', which is complete", "publish")


def _family(store: FeatureStore, name: str, deep: bool, progress: Progress | None) -> list[Finding]:
    location = family_location(store.location, name)
    try:
        of = read_attributes(location).get("store")
    except AugliftError:
        of = store.fingerprint  # damaged, or only just begun
    if of != store.fingerprint:
        return [Finding(GROUP, "says that the family was made for another store", "remove")]
    try:
        return check_folder(location, lambda: store.open_family(name), deep, progress)
    except MissingFileError:
        # Neither a group nor a plan: a job was killed as it began, or as it took the family away.
        sizes = location.sizes()
        return [*unfinished(location, sizes), *(Finding(GROUP, "is missing", "remove") for _ in list(sizes)[:1])]


def repair(url: str | Path | Location, findings: Iterable[Finding]) -> list[str]:
    """Do what each finding's remedy says; returns a line for each thing done.

    Afterwards the store is unfinished, unless files were deleted only, and the auglift-prep command that made it does
    what is missing. So it is with a family, and the store itself stays complete. Raises StoreLockedError where a job is
    writing what is to be repaired.
    """
    location, findings = locate(url), list(findings)
    done = []
    for family in sorted({finding.family for finding in findings}):
        some = [finding for finding in findings if finding.family == family]
        if not family:
            done += _repair(location, [f for f in some if not f.key.startswith(f"{FAMILIES}/")])
            continue
        prefix = f"{folder_of(family)}/"
        local = [replace(finding, key=finding.key.removeprefix(prefix)) for finding in some]
        done += [f"{prefix}: {line}" for line in _repair(family_location(location, family), local)]
    for key in sorted({f.key for f in findings if f.remedy == "delete" and f.key.startswith(f"{FAMILIES}/")}):
        if not any(f.family for f in findings if f.key == key) and key != f"{FAMILIES}/{LOCK}":
            location.delete(key)
            done.append(f"deleted {key}")
    if any(finding.family or finding.key.startswith(f"{FAMILIES}/") for finding in findings):
        publish(location)  # under its lock, which a job that died loses
        done.append(f"wrote {INDEX} again")
    return done


def _repair(location: Location, findings: list[Finding]) -> list[str]:
    if all(finding.remedy in ("none", "remove") for finding in findings):
        return []
    done = []
    with StoreLock(location):
        by_remedy = {name: [f for f in findings if f.remedy == name] for name in REMEDIES}
        renew = bool(by_remedy["renew"])
        if not renew and any(by_remedy[name] for name in ("redo", "replan", "finish")):
            # First of all: from here on no trainer takes it for complete.
            location.write(GROUP, with_attributes(location, {"status": "building"}))
            done.append("marked the store unfinished")
        if renew:
            location.delete(GROUP)
            done.append(f"took {GROUP} away")
        if by_remedy["replan"]:
            location.delete(PLAN)
            done.append(f"took {PLAN} away")
        if done:
            location.delete(CHECKSUMS)
        for shard in sorted({f.shard for f in by_remedy["redo"] if f.shard is not None}):
            location.delete(ledger_key(shard))
            done.append(f"marked shard {shard} to be done again")
        for key in sorted({f.key for f in by_remedy["delete"]} - {LOCK}):
            location.delete(key)
            done.append(f"deleted {key}")
    return done


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """In the order of their files, one a file and problem."""
    return sorted(set(findings), key=lambda f: (f.key, f.problem))
