"""The lineage of a store: every command that made it or that it was made from, with versions, in order."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from ..format.record import ShardRecord
from ..reading.store import FeatureStore
from .families import models


def lineage(store: FeatureStore, families: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """An entry a command, in order; a pure function of the store: no clock, no host, no path.

    families   those of the store's families that matter; all by default. Each was added after the store was made
    made       the fingerprint of the store, or of the new fields, that the command made
    command    auglift-prep, auglift-store merge, ...
    of         fingerprints of the stores it was made from
    options    what was wished for
    versions   of the libraries that computed it; `1.0, 1.1` where shards were made by several
    """
    known = store.attributes.get("lineage")
    made = list(known) if isinstance(known, list) else [_depth_pass(store)]
    wanted = store.families if families is None else [name for name in families if name in store.families]
    # What was taken along from another store is in the lineage that came with it.
    added = [name for name in wanted if "derived" not in store.families[name].configuration]
    return joined([made, (_extension(store, name) for name in added)])


def entry(
    made: str,
    command: str,
    of: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a command that runs now has to say of itself. `versions`: those of this process, where none are given."""
    return {
        "made": made,
        "command": command,
        "of": list(of),
        "options": dict(options or {}),
        "versions": dict(versions if versions is not None else _versions()),
    }


def joined(lineages: Iterable[Iterable[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Lineages one after another; what made the same store is there once."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for each in (entry for lineage in lineages for entry in lineage):
        found.setdefault((str(each.get("made")), str(each.get("command"))), each)
    return list(found.values())


def versions_of(records: Iterable[ShardRecord]) -> dict[str, str]:
    """The versions that shards were computed with, by library; where they differ, all of them."""
    found: dict[str, dict[str, None]] = {}
    for record in records:
        for name, version in record.versions.items():
            for each in version.split(", "):
                found.setdefault(name, {})[each] = None
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def _depth_pass(store: FeatureStore) -> dict[str, Any]:
    """What the depth pass was told, as far as the configuration says it."""
    options = {"dataset": store.attributes.get("dataset", ""), **_options(store.configuration)}
    options["shard_frames"] = store.layout.shard_frames
    return entry(store.fingerprint, "auglift-prep", options=options, versions=versions_of(store.ledger().values()))


def _extension(store: FeatureStore, name: str) -> dict[str, Any]:
    family = store.families[name]
    options = {"name": name, **_options(family.configuration)}
    made = versions_of(family.ledger().values())
    return entry(family.fingerprint, "auglift-prep extend", [store.fingerprint], options, made)


def _options(configuration: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {kind: model["name"] for kind, model in models(configuration).items()}
    if isinstance(configuration.get("uadd"), dict):
        options["uadd"] = ",".join(configuration["uadd"])
    return options | {key: configuration[key] for key in ("batch", "threads", "device") if key in configuration}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("auglift", "numpy", "numcodecs", "zarr"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
