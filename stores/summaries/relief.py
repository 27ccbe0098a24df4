"""How much of a person's relief is in the depth of a finished store: what a lifter could learn from it at best."""

from __future__ import annotations

import numpy as np

from ..format.depth_unit import METRES, depth_unit
from ..format.skeleton import H36M_17
from ..reading.store import FeatureStore
from .agreement import spans

TRUTH = "target/pose3d"
_ROOT = H36M_17.index("pelvis")
BEHIND = 0.5  # m


def relief(store: FeatureStore) -> dict[str, dict[str, float]] | None:
    """Compare depth at a joint less that at the pelvis with the truth, by UADD preset.

    rank     Spearman's correlation. 1: what is further away is always said so; 0: the depth says nothing of the pose
    behind   share of joints said to be more than 0.5 m further away than they are: what is seen there is the
             background. Left out where depth is relative, which no length can be compared with
    Over all joints of at most 3,200 frames together; d is each preset's own. None without ground truth or descriptor,
    and where the store is not complete.
    """
    presets = [name for name in store.fields if name.startswith("uadd/")]
    if store.status != "complete" or not presets or TRUTH not in store.fields:
        return None
    looked_at = list(spans(store))
    true = _less_root(np.concatenate([store.read(TRUTH, *span)[..., 2] for span in looked_at]))
    compared: dict[str, dict[str, float]] = {}
    for name in presets:
        said = _less_root(np.concatenate([store.read(name, *span)[..., 0] for span in looked_at]))
        known = np.isfinite(said) & np.isfinite(true)
        if known.sum() > 1:
            correlation = np.corrcoef(ranks(said[known]), ranks(true[known]))
            found = compared[name.removeprefix("uadd/")] = {"rank": float(correlation[0, 1])}
            if depth_unit(store.configuration_of(name)) == METRES:
                found["behind"] = float((said[known] - true[known] > BEHIND).mean())
    return compared or None


def in_words(found: dict[str, dict[str, float]]) -> str:
    """Write the result of `relief` in one line."""
    return "; ".join(
        f"{preset}: rank correlation {of['rank']:.2f}, "
        + (f"{of['behind']:.0%} of joints see what is behind them" if "behind" in of else "relative depth, no metres")
        for preset, of in found.items()
    )


def _less_root(depth: np.ndarray) -> np.ndarray:
    """(F, J) m to (F, J - 1) m."""
    return np.delete(depth - depth[:, _ROOT, None], _ROOT, axis=1).astype(np.float64)


def ranks(values: np.ndarray) -> np.ndarray:
    """Equal values share the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]
