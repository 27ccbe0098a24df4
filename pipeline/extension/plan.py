"""New fields for a finished store: a plan over its frames, whose joints and boxes are read where they were computed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ...stores.errors import AugliftError, CorruptStoreError, InvalidValueError, MissingFieldError
from ...stores.families import family_location
from ...stores.format.families import require_family_name
from ...stores.format.layout import PLAN
from ...stores.format.schema import FIELDS, FORMAT_VERSION, Field
from ...stores.format.sequences import Sequence
from ...stores.locations.base import Location
from ...stores.locations.choose import locate
from ...stores.reading.store import FeatureStore
from ...stores.writing.families import publish
from ..features.streams import fields_of as features_of
from ..frames.sources import SourceInfo, probe
from ..networks.substitutes.simulated import SIMULATED
from ..networks.substitutes.stored import FIELDS as STORED_FIELDS
from ..networks.substitutes.stored import STORED, StoredRows
from ..plan import Clip, Plan
from ..uadd.presets import PRESETS, Preset
from .by_digest import find_sources

JOINT_FIELDS = ("keypoints", "score")


@dataclass(frozen=True)
class ExtensionPlan(Plan):
    """Everything that fixes the bytes of a family of new fields.

    store         where the store is, and `of` its fingerprint
    family        the name of the new fields
    own_joints    the family has joints of its own: they are fields of it too
    """

    store: Location = field(default_factory=lambda: locate("."))
    of: str = ""
    family: str = ""

    @property
    def own_joints(self) -> bool:
        return self.settings.get("pose", {}).get("name", STORED) != STORED

    @property
    def location(self) -> Location:
        """Where the family is written."""
        return family_location(self.store, self.family)

    @property
    def fields(self) -> tuple[Field, ...]:
        wanted = {f"{kind}/{preset}" for preset in self.presets for kind in ("uadd", "radius")}
        wanted |= set(JOINT_FIELDS) if self.own_joints else set()
        return (*(FIELDS[name] for name in FIELDS if name in wanted), *features_of(self.settings))

    @property
    def configuration(self) -> dict[str, Any]:
        """What the fingerprint is of: the settings and the store, whose plan says which frames it holds."""
        return {"format_version": FORMAT_VERSION, "store": self.of, **self.settings}

    def sequences(self) -> None:
        return None

    def attributes(self) -> dict[str, Any]:
        about = {"format_version": FORMAT_VERSION, "family": self.family, "store": self.of}
        return {**about, "warnings": list(self.warnings), **self.stated}

    def open(self, location: Location) -> FeatureStore:
        return FeatureStore.open(self.store).open_family(self.family)

    def publish(self) -> None:
        publish(self.store)


def extension_of(store: FeatureStore, clips: tuple[Clip, ...], family: str, **parts: Any) -> ExtensionPlan:
    """The plan of a family. parts: settings, presets, warnings, stated, as `Plan` has them."""
    require_family_name(family)
    frames = store.layout.shard_frames
    return ExtensionPlan(clips, shard_frames=frames, store=store.location, of=store.fingerprint, family=family, **parts)


def clips_of(store: FeatureStore, root: Path | None = None) -> tuple[Clip, ...]:
    """The sequences of a finished store as clips again, each with the joints and boxes that the store holds of it.

    root   where the sources lie now; None: under their own names, here or beside the store
    Raises what `find_sources` does, and CorruptStoreError where the store's plan and its table do not agree.
    """
    planned = _planned(store)
    rows = list(store.sequences)
    beside = [Path()] if "://" in store.url else [Path(), Path(store.url).parent]
    wanted = {row.id: (str(planned[row.id]["source"]), str(planned[row.id]["digest"])) for row in rows}
    places = find_sources(wanted.values(), root, beside)
    with ThreadPoolExecutor(max_workers=4) as pool:
        infos = dict(zip(places, pool.map(_probe, places.items()), strict=True))
    return tuple(_clip(store, row, planned[row.id], infos[wanted[row.id]]) for row in rows)


def require_extendable(store: FeatureStore) -> None:
    """InvalidValueError where a store was made of no pictures, MissingFieldError where it lacks joints or boxes."""
    if store.configuration.get("pose", {}).get("name") == SIMULATED:
        raise InvalidValueError(
            f"{store.url} was made by a simulated sensor, without pictures: no network can see them; give other "
            "descriptors to auglift-prep synth, and another --out"
        )
    lacking = [name for name in STORED_FIELDS if name not in store.attributes["fields"]]
    if lacking:
        raise MissingFieldError(
            f"{store.url} has no {', '.join(lacking)}, which new fields are computed from; extend the store it was "
            "selected from, or select these fields too"
        )


def presets_of(configuration: dict[str, Any]) -> tuple[Preset, ...]:
    """The descriptors that a store was made with, its constants included; all where it has none."""
    made = configuration.get("uadd") or {}
    if not made:
        return tuple(PRESETS.values())
    return tuple(_preset(PRESETS[name], described) for name, described in made.items() if name in PRESETS)


def require_same_depth(store: FeatureStore, settings: Mapping[str, Any]) -> None:
    """InvalidValueError where the depth network is not the very one that the store was made with."""
    made, loaded = store.configuration.get("depth", {}), settings["depth"]
    if made != loaded:
        raise InvalidValueError(
            f"{store.url} was made with {made.get('name')} and weights {str(made.get('weights'))[:24]}, found were "
            f"{loaded.get('name')} with {str(loaded.get('weights'))[:24]}; name the depth network with --depth"
        )


def require_same_pose(store: FeatureStore, settings: Mapping[str, Any]) -> None:
    """InvalidValueError where features come of another pose network than the one that found the store's joints."""
    made, loaded = store.configuration.get("pose", {}), settings["features"]["pose"]
    if any(made.get(key) != loaded.get(key) for key in ("name", "weights")):
        raise InvalidValueError(
            f"the joints of {store.url} are of {made.get('name')} with weights {str(made.get('weights'))[:24]}, found "
            f"was {loaded.get('name')} with {str(loaded.get('weights'))[:24]}; name a pose network with --pose"
        )


def require_free(store: FeatureStore, family: str, names: dict[str, str]) -> None:
    """InvalidValueError where the name is taken by fields of other networks, before these are loaded.

    names   kind -> name of the network as its settings will say it; what else differs is found when it is written
    """
    require_family_name(family)
    try:
        begun = json.loads(family_location(store.location, family).read(PLAN))["configuration"]
        taken = {kind: str(begun[kind]["name"]) for kind in names}
    except (AugliftError, ValueError, KeyError, TypeError):
        return  # free, or damaged, which is said later
    if taken != names:
        made = ", ".join(f"{kind} {name}" for kind, name in taken.items())
        raise InvalidValueError(
            f"{store.url} has new fields '{family}' already, of other networks ({made}); choose another --name, or "
            f"take them away: auglift-store remove-fields {store.url} {family}"
        )


def _planned(store: FeatureStore) -> dict[str, dict[str, Any]]:
    try:
        sequences = json.loads(store.location.read(PLAN))["configuration"]["sequences"]
        ids = store.sequences.table["id"].to_pylist()
        if set(ids) <= sequences.keys() and all(
            {"source", "digest", "count", "step"} <= sequences[i].keys() for i in ids
        ):
            return sequences
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise CorruptStoreError(
        f"plan.json of {store.url} does not name the source of every sequence; auglift-store verify"
    )


def _probe(found: tuple[tuple[str, str], Path]) -> SourceInfo:
    (name, digest), path = found
    info = probe(path)
    if info.digest != digest:
        raise InvalidValueError(f"{path} changed while it was looked at; it was {name}")
    return replace(info, path=path.absolute())


def _clip(store: FeatureStore, row: Sequence, planned: dict[str, Any], info: SourceInfo) -> Clip:
    if int(planned["count"]) != row.length:
        raise CorruptStoreError(
            f"plan.json of {store.url} gives '{row.id}' {planned['count']} frames, not {row.length}"
        )
    return Clip(
        row.id,
        info,
        str(planned["source"]),
        row.length,
        Fraction(planned["step"]),
        row.fps,
        intrinsics=(row.fx, row.fy, row.cx, row.cy),
        dataset=row.dataset,
        truth=StoredRows(store.url, store.fingerprint, row.start, row.length),
    )


def _preset(preset: Preset, described: dict[str, Any]) -> Preset:
    radius = {name: value for name, value in described["radius"].items() if name in preset.constants}
    bounds = {name: described[name] for name in ("low", "high") if described.get(name) is not None}
    return preset.replace(**radius, **bounds)
