"""What a store holds and how it was made, as plain data: behind `auglift-store info` and the dataset card."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow.compute as pc

from ..errors import CorruptStoreError, MissingFileError
from ..format.layout import STATISTICS
from ..format.sequences import SequenceTable
from ..format.skeleton import H36M_17
from ..reading.by_shard import blocks, read_blocks
from ..reading.store import FeatureStore
from .agreement import agreement
from .families import describe_families, models
from .relief import relief


def summary(store: FeatureStore) -> dict[str, Any]:
    """Plain data, fit for JSON.

    frames, seconds    of all sequences; seconds None where no frame rate is known
    shards             finished, of all, frames a shard
    counts             frames, valid, nobody, unreadable, of the finished shards; valid_share of their frames
    families           name -> status, shards, fields, models, counts, warnings, fingerprint; also unfinished ones
    models             detector, pose, depth: name and weights, as far as the configuration says
    fields             name -> shape of a frame, dtype, unit, bytes stored (of the finished shards) and uncompressed
    joints             joint -> range of score and of depth, of a finished store: {"min", "mean", "max"}; None elsewhere
    warnings           what whoever uses the store must know: of all of it first, then of its sources, each by its id
    ground_truth       what was found of it before the store was made: medians over clips, problems, notes; None without
    agreement          of the detected joints with the true ones, see `agreement`; None without either
    relief             of the depth with the true one, by preset, see `relief`; None without either
    """
    records = store.ledger().values()
    counts: dict[str, int] = {}
    stored = dict.fromkeys(store.fields, 0)
    families = describe_families(store)
    for name, about in families.items():
        if name in store.families:
            stored |= about["bytes"]
    for record in records:
        for name, count in record.counts.items():
            counts[name] = counts.get(name, 0) + count
        for name, entry in record.arrays.items():
            stored[name] = stored.get(name, 0) + entry["bytes"]
    frames = counts.get("frames", 0)
    return {
        "url": store.url,
        "format_version": store.attributes["format_version"],
        "status": store.status,
        "fingerprint": store.fingerprint,
        "dataset": store.attributes.get("dataset", ""),
        "warnings": list(store.attributes.get("warnings", [])),
        "ground_truth": store.attributes.get("ground_truth"),
        "agreement": agreement(store),
        "relief": relief(store),
        "frames": store.frames,
        "seconds": _seconds(store.sequences),
        "shards": {"finished": len(records), "all": store.layout.shards, "frames": store.layout.shard_frames},
        "sequences": describe_sequences(store.sequences),
        "counts": counts,
        "valid_share": counts.get("valid", 0) / frames if frames else None,
        "models": models(store.configuration),
        "families": {name: {k: v for k, v in about.items() if k != "bytes"} for name, about in families.items()},
        "fields": {
            name: {
                "shape": list(spec.shape),
                "dtype": spec.dtype,
                "unit": spec.unit,
                "meaning": spec.meaning,
                "bytes": stored[name],
                "raw_bytes": spec.frame_bytes * frames,
            }
            for name, spec in store.fields.items()
        },
        "joints": _joints(store),
    }


def report(store: FeatureStore) -> dict[str, Any]:
    """What went wrong where, as plain data; of a store that is being written, in its finished shards.

    sequences   id, frames finished, valid, valid_share and mean score of the valid frames, worst first
    problems    the frames that could not be read, as the ledger lists them: sequence, source_frame, reason
    """
    table = store.sequences
    finished = store.finished()
    frames, found = np.zeros((2, len(table)), dtype=np.int64)
    total = np.zeros(len(table))
    readable = [block for block in blocks(store, table) if finished[block.shard]]
    for block, arrays in read_blocks(store, readable, ("valid", "score")):
        known = arrays["valid"] > 0
        scores = np.nansum(arrays["score"], axis=1, dtype=np.float64)
        frames[block.sequence] += block.last - block.first
        found[block.sequence] += block.sums(known.astype(np.int64))
        total[block.sequence] += block.sums(np.where(known, scores, 0))
    rows = [
        {
            "id": id,
            "frames": of,
            "valid": valid,
            "valid_share": valid / of if of else None,
            "mean_score": score / (valid * len(H36M_17)) if valid else None,
        }
        for id, of, valid, score in zip(
            table.table["id"].to_pylist(), frames.tolist(), found.tolist(), total.tolist(), strict=True
        )
    ]
    rows.sort(key=lambda row: (row["valid_share"] is not None, row["valid_share"] or 0.0, row["id"]))
    ledger = store.ledger()
    return {"sequences": rows, "problems": [p for shard in sorted(ledger) for p in ledger[shard].problems]}


def describe_sequences(table: SequenceTable) -> dict[str, Any]:
    """How many there are, and the distinct subjects, actions, cameras and splits with the frames of each."""
    described: dict[str, Any] = {"count": len(table)}
    for key in ("split", "subject", "action", "camera"):
        grouped = table.table.group_by(key).aggregate([("length", "sum")]).sort_by(key)
        described[key] = dict(zip(grouped[key].to_pylist(), grouped["length_sum"].to_pylist(), strict=True))
    return described


def duration(seconds: float | None) -> str:
    """`12.5 minutes`; empty where it is not known."""
    if seconds is None:
        return ""
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def _seconds(table: SequenceTable) -> float | None:
    seconds = pc.sum(pc.divide(table.table["length"], table.table["fps"])).as_py()  # type: ignore[attr-defined]
    return round(seconds, 3) if seconds is not None and math.isfinite(seconds) else None


def _joints(store: FeatureStore) -> dict[str, dict[str, Any]] | None:
    """Ranges by joint, of the detector's score and of the depth that the store's first descriptor says."""
    if store.status != "complete":
        return None
    try:
        statistics = json.loads(store.location.read(STATISTICS))
    except (MissingFileError, ValueError) as error:
        raise CorruptStoreError(f"{STATISTICS} of {store.url} cannot be read; run auglift-store verify") from error
    depth = next((name for name in store.fields if name.startswith("uadd/")), None)
    described: dict[str, dict[str, Any]] = {}
    for number, joint in enumerate(H36M_17.joints):
        described[joint] = {}
        if "score" in statistics:
            described[joint]["score"] = {key: statistics["score"][key][number] for key in ("min", "mean", "max")}
        if depth in statistics:  # d is the first statistic of every preset
            described[joint]["depth"] = {key: statistics[depth][key][number][0] for key in ("min", "mean", "max")}
    return described
