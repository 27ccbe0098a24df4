"""Made-up stores of which a test gives some fields."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from auglift.stores.format.schema import Field

from .stores import MadeStore


@dataclass(frozen=True)
class GivenStore(MadeStore):
    """given: field -> (frames, *shape); of the others what `MadeStore` makes up."""

    given: dict[str, np.ndarray] = field(default_factory=dict)

    def values(self, spec: Field) -> np.ndarray:
        if spec.name in self.given:
            return self.given[spec.name].astype(spec.dtype)
        return super().values(spec)


def people(frames: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Fields of people whom a network sees a little wrong: joints, boxes, scores, depth, and the truth of both."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(300, 700, (frames, 17, 2))
    pose = rng.normal((0, 0, 4), 0.3, (frames, 17, 3))
    sure = rng.uniform(0.2, 1.0, (frames, 17))
    found = true + rng.normal(0, 1, true.shape) * (20 * (1.05 - sure))[..., None]
    low, high = found.min(1), found.max(1)
    depth = pose[..., 2] + rng.normal(0, 0.3, (frames, 17))
    return {
        "valid": np.ones(frames),
        "keypoints": found,
        "score": sure,
        "bbox": np.concatenate([low, high, np.full((frames, 1), 0.9)], axis=1),
        "target/keypoints": true,
        "target/pose3d": pose,
        "uadd/paper": np.stack([depth, depth - 0.1, depth + 0.1], axis=-1),
        "radius/paper": 4 + 20 * (1 - sure),
    }
