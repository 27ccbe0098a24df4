"""What families of further fields a store has, complete or not, and which networks made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import AugliftError
from ..families import begun
from ..format.families import field_of
from ..reading.store import FeatureStore

MODELS = ("detector", "pose", "depth")


def describe_families(store: FeatureStore) -> dict[str, dict[str, Any]]:
    """By name: status, shards, fields, models, counts, warnings, fingerprint; and bytes stored by field.

    Of one that is damaged: status "damaged" and the reason alone. Behind a web server only complete ones are seen.
    """
    names = {*begun(store.location), *store.families}
    return {name: _describe(store, name) for name in sorted(names)}


def models(configuration: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Name and weights of detector, pose and depth, as far as a configuration says."""
    described = {kind: configuration[kind] for kind in MODELS if isinstance(configuration.get(kind), dict)}
    return {
        kind: {"name": str(model.get("name", "unknown")), "weights": str(model.get("weights", "unknown"))}
        for kind, model in described.items()
    }


def _describe(store: FeatureStore, name: str) -> dict[str, Any]:
    try:
        family = store.families.get(name) or store.open_family(name)
        records = family.ledger().values()
        fields = [field_of(plain, name) for plain in family.own_fields]
    except AugliftError as error:
        return {"status": "damaged", "reason": str(error), "fields": [], "models": {}, "bytes": {}}
    counts: dict[str, int] = {}
    stored = dict.fromkeys(fields, 0)
    for record in records:
        for key, count in record.counts.items():
            counts[key] = counts.get(key, 0) + count
        for plain, entry in record.arrays.items():
            stored[field_of(plain, name)] += entry["bytes"]
    return {
        "status": family.status,
        "shards": {"finished": len(records), "all": family.layout.shards},
        "fields": fields,
        "models": models(family.configuration),
        "counts": counts,
        "warnings": list(family.attributes.get("warnings", [])),
        "fingerprint": family.fingerprint,
        "bytes": stored,
    }
