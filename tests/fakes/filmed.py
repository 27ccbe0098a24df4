"""Stores of which a test gives every value; and people walking in a world that four of Human3.6M's cameras film."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from auglift.stores.format.fingerprint import fingerprint
from auglift.stores.format.layout import StoreLayout
from auglift.stores.format.schema import fields_for
from auglift.stores.format.sequences import Sequence, SequenceTable
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.shards import ShardWriter

CAMERAS = ("54138969", "55011271", "58860488", "60457274")
SIZES = ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002))


def row(id: str, length: int, **changes: object) -> Sequence:
    """A sequence; where it begins, `write_store` says."""
    plain = Sequence(
        id, "made", "S1", "walk", "c", "train", 0, length, 50, 1000, 1000, f"{id}.mp4", 1145, 1144, 512, 515
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def write_store(
    path: Path, rows: Iterable[Sequence], given: Mapping[str, np.ndarray], dataset: str = "made", shard_frames: int = 16
) -> FeatureStore:
    """A finished store of these sequences, one after the other.

    given   field -> (frames, *shape); of the fields that every store has, those not given are made up
    """
    placed, start = [], 0
    for one in rows:
        placed.append(replace(one, start=start, dataset=dataset))
        start = placed[-1].stop
    layout = StoreLayout(fields_for((), [name for name in given if name.startswith("target/")]), start, shard_frames)
    rng = np.random.default_rng(0)
    values = {
        "valid": np.ones(start, np.uint8),
        "source_frame": np.concatenate([np.arange(one.length) for one in placed]).astype(np.int32),
        "keypoints": rng.uniform(1, 900, (start, 17, 2)).astype(np.float32),
        "score": rng.uniform(0, 1, (start, 17)).astype(np.float32),
        "bbox": np.tile(np.array([100, 100, 300, 500, 0.9], np.float32), (start, 1)),
        **given,
    }
    plan = {"configuration": {}, "fingerprint": fingerprint({})}
    table = SequenceTable.from_sequences(placed)
    writer = ShardWriter.create(locate(path), layout, table, plan, {"dataset": dataset})
    for shard in range(layout.shards):
        low, high = layout.bounds(shard)
        arrays = {spec.name: values[spec.name][low:high].astype(spec.dtype) for spec in layout.fields}
        writer.write(shard, arrays, {"frames": high - low, "valid": int(arrays["valid"].sum())})
    writer.finalise({})
    return FeatureStore.open(path)


@dataclass(frozen=True)
class Rig:
    """Where four cameras stand: quaternions (w, x, y, z) from camera to world, centres in mm."""

    orientation: np.ndarray
    translation: np.ndarray

    def see(self, world: np.ndarray, camera: int) -> np.ndarray:
        """(T, J, 3) m in the world to the same in a camera's frame: q^-1 (X - t)."""
        return turn(self.orientation[camera] * np.array([1, -1, -1, -1]), world - self.translation[camera] / 1000)


def rig(seed: int) -> Rig:
    """Four cameras about the middle of a room, looking wherever."""
    rng = np.random.default_rng(seed)
    orientation = rng.standard_normal((4, 4))
    orientation /= np.linalg.norm(orientation, axis=1, keepdims=True)
    return Rig(orientation, rng.uniform(-5000, 5000, (4, 3)))


def turn(quaternion: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 3) by a unit quaternion, as q p q^-1 multiplied out."""
    scalar, vector = quaternion[0], quaternion[1:]
    across = 2 * np.cross(np.broadcast_to(vector, points.shape), points)
    return points + scalar * across + np.cross(np.broadcast_to(vector, points.shape), across)


def write_checkout(folder: Path, rigs: Mapping[str, Rig]) -> Path:
    """A folder like VideoPose3D's repository, as far as an export reads it: the tables of cameras in its code."""
    inside = [{"id": id, "res_w": w, "res_h": h, "azimuth": 70} for id, (w, h) in zip(CAMERAS, SIZES, strict=True)]
    outside = {
        subject: [
            {"orientation": q.tolist(), "translation": t.tolist()}
            for q, t in zip(places.orientation, places.translation, strict=True)
        ]
        for subject, places in rigs.items()
    }
    (folder / "common").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "common" / "h36m_dataset.py").write_text(
        "raise SystemExit('this must not run')\n"
        f"h36m_cameras_intrinsic_params = {inside!r}\n"
        f"h36m_cameras_extrinsic_params = {outside | {'S2': [{}, {}, {}, {}]}!r}\n"
    )
    return folder


def walk(frames: int, seed: int = 0) -> np.ndarray:
    """(T, 17, 3) float64 m in the world: a person drifting about the middle of the room."""
    rng = np.random.default_rng(seed)
    body = rng.uniform(-0.5, 0.5, (17, 3)) + np.array([0, 0, 1])
    return body + np.cumsum(rng.normal(0, 0.02, (frames, 1, 3)), axis=0) + rng.normal(0, 0.02, (frames, 17, 3))


def h36m_store(
    path: Path,
    rigs: Mapping[str, Rig],
    takes: Mapping[tuple[str, str], int],
    **given: np.ndarray,
) -> tuple[FeatureStore, dict[tuple[str, str], np.ndarray]]:
    """A store of Human3.6M's kind, and each take's truth in the world.

    takes   (subject, action) -> frames
    given   fields instead of those made up, over all frames
    """
    rows, solid, worlds = [], [], {}
    for number, ((subject, action), frames) in enumerate(takes.items()):
        worlds[subject, action] = walk(frames, number)
        for camera in CAMERAS:
            width, height = SIZES[CAMERAS.index(camera)]
            split = "test" if subject in ("S9", "S11") else "train"
            about = {"subject": subject, "action": action, "camera": camera, "split": split}
            rows.append(row(f"{subject}/{action}.{camera}", frames, **about, width=width, height=height))
            solid.append(rigs[subject].see(worlds[subject, action], CAMERAS.index(camera)))
    values = {"target/pose3d": np.concatenate(solid).astype(np.float32), **given}
    return write_store(path, rows, values, "h36m"), worlds
