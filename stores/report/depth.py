"""Depth against true depth: scatter, bias, scale, rank correlation by joint and by sequence; does it leak or help?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..format.depth_unit import METRES, depth_unit
from ..summaries.relief import ranks
from .charts import LONG_NAMES, Row, dots, points
from .html import BAD, GOOD, WARN, Finding, Section, figures, number, paragraph, percent, table
from .sample import JOINTS, ROOT, Sample, descriptors, main_descriptors

TRUTH = "target/pose3d"
TITLE = "Depth against true depth"
# Above this rank correlation of the relief, no network that sees pictures alone made the depth.
LEAK, USELESS = 0.95, 0.1
_FEWEST = 20  # values, for a correlation
_SEQUENCES_SHOWN = 24
_SMALLEST_FIT = 200  # frames


def depth(sample: Sample) -> Section:
    """Compare each descriptor's d with the true depth of its joint.

    Two questions: where the person stands (d against z, bias and scale), and which joint is in front (d and z less
    those of the pelvis: the relief, which is what a lifter predicts).
    """
    names = main_descriptors(sample.store)
    if not names:
        text = "This store has no depth: it was made with --depth none. auglift-prep extend adds depth."
        return Section(TITLE, paragraph(text), {"descriptors": {}})
    if TRUTH not in sample or not np.isfinite(sample[TRUTH]).any():
        text = "This store has no true 3D joints: nobody can say here whether its depth is right."
        return Section(TITLE, paragraph(text), {"descriptors": {}})
    true = sample[TRUTH][..., 2].astype(np.float64)
    compared = {name: compare(sample, name, true) for name in descriptors(sample.store)}
    parts = [
        paragraph("Relief: a joint's depth less the pelvis's, which is what a lifter predicts. Rank correlation "
                  "(Spearman): 1 orders as the truth does, 0 says nothing of it."),
        table(("descriptor", "relief, rank", "distance, rank", "bias, m", "scale", "sees behind"),
              [_cells(name, of) for name, of in compared.items()]),
    ]  # fmt: skip
    findings: list[Finding] = []
    for name in names:
        of = compared[name]
        findings.append(_verdict(sample, name, of))
        parts.append(f"<h3>{name}</h3>{figures(_charts(sample, name, true, of))}")
        if gained := of["linear_fit"]:
            parts.append(paragraph(f"What depth adds, in short: {_gain(gained)}"))
    return Section(TITLE, "".join(parts), {"frames": len(true), "descriptors": compared}, tuple(findings))


def compare(sample: Sample, name: str, true: np.ndarray) -> dict[str, Any]:
    """Figures of one descriptor; true (N, 17) m.

    relief_rank, distance_rank   Spearman's, over all joints together, of the relief and of the depth itself
    bias, scale                  m, median of d - z; median of d / z. None where depth is relative
    behind                       share of joints said to be more than 0.5 m too far away relative to the pelvis
    joints, sequences            the same by joint and by sequence, as far as there are 20 values
    linear_fit                   see `linear_fit`
    """
    said = sample[name][..., 0].astype(np.float64)
    metric = depth_unit(sample.store.configuration_of(name)) == METRES
    relief_said, relief_true = said - said[:, [ROOT]], true - true[:, [ROOT]]
    others = [joint for joint in range(len(JOINTS)) if joint != ROOT]
    by_joint = {}
    for joint, label in enumerate(JOINTS):
        figures_of = _absolute(said[:, joint], true[:, joint], metric)
        rank = None if joint == ROOT else correlation(relief_said[:, joint], relief_true[:, joint])
        by_joint[label] = {"relief_rank": rank, **figures_of}
    ids = sample.store.sequences.table["id"]
    by_sequence = {}
    for row, places in sample.by_sequence():
        rank = correlation(relief_said[places][:, others], relief_true[places][:, others])
        if rank is not None:
            by_sequence[ids[row].as_py()] = {
                "relief_rank": rank,
                **_absolute(said[places], true[places], metric),
            }
    error = relief_said[:, others] - relief_true[:, others]
    error = error[np.isfinite(error)]
    return {
        "unit": METRES if metric else "relative",
        "relief_rank": correlation(relief_said[:, others], relief_true[:, others]),
        **_absolute(said, true, metric),
        "behind": float((error > 0.5).mean()) if metric and len(error) else None,
        "joints": by_joint,
        "sequences": by_sequence,
        "linear_fit": linear_fit(sample, relief_said[:, others], relief_true[:, others]),
    }


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's rank correlation of what is finite in both; None of fewer than 20 pairs or where one is constant."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < _FEWEST or np.ptp(a[known]) == 0 or np.ptp(b[known]) == 0:
        return None
    return float(np.corrcoef(ranks(a[known]), ranks(b[known]))[0, 1])


def linear_fit(sample: Sample, said: np.ndarray, true: np.ndarray) -> dict[str, float] | None:
    """Mean error, m, of the relief by ridge regression on 2D joints, without and with depth, on held-out sequences.

    said, true   (N, 16) relief. Every second sequence trains, the others are held out. None where too few frames
    have all of it. A quick look, no training: a lifter knows more of poses than a linear fit.
    """
    keypoints = sample["keypoints"].astype(np.float64)
    whole = np.asarray(np.isfinite(keypoints).all((1, 2)) & np.isfinite(true).all(1))
    size = np.ptp(np.where(whole[:, None], keypoints[..., 1], 0.0), axis=1)
    whole &= size > 1
    train = whole & (sample.row % 2 == 0)
    held = whole & (sample.row % 2 == 1)
    if min(train.sum(), held.sum()) < _SMALLEST_FIT or not np.isfinite(said[train]).any(0).all():
        return None
    flat = ((keypoints - keypoints[:, [ROOT]]) / np.where(whole, size, 1.0)[:, None, None]).reshape(len(keypoints), -1)
    # What is behind a person is metres away; a linear fit would see nothing else.
    middle = np.nanmedian(np.where(train[:, None], said, np.nan), axis=0)
    spread = np.nanmedian(np.abs(said[train] - middle), axis=0)
    filled = np.clip(np.where(np.isfinite(said), said, middle), middle - 4 * spread, middle + 4 * spread)
    errors = {
        "without": _ridge_error(flat, true, train, held),
        "with": _ridge_error(np.concatenate([flat, filled], axis=1), true, train, held),
    }
    return {**errors, "gain": 1 - errors["with"] / errors["without"], "frames": int(held.sum())}


def _ridge_error(given: np.ndarray, wanted: np.ndarray, train: np.ndarray, held: np.ndarray) -> float:
    mean, spread = given[train].mean(0), given[train].std(0) + 1e-6
    x = np.clip((given - mean) / spread, -5, 5)
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    # A hundredth of the frames as prior: enough against frames of one clip that resemble each other.
    prior = np.eye(x.shape[1]) * 0.01 * train.sum()
    weights = np.linalg.solve(x[train].T @ x[train] + prior, x[train].T @ wanted[train])
    return float(np.abs(x[held] @ weights - wanted[held]).mean())


def _absolute(said: np.ndarray, true: np.ndarray, metric: bool) -> dict[str, float | None]:
    known = np.isfinite(said) & np.isfinite(true) & (true > 0)
    found: dict[str, float | None] = {"distance_rank": correlation(said, true), "bias": None, "scale": None}
    if metric and known.any():
        found["bias"] = float(np.median(said[known] - true[known]))
        found["scale"] = float(np.median(said[known] / true[known]))
    return found


def _cells(name: str, of: dict[str, Any]) -> tuple[str, ...]:
    ranked = (f"{value:.2f}" if value is not None else "–" for value in (of["relief_rank"], of["distance_rank"]))
    return name, *ranked, number(of["bias"]), number(of["scale"]), percent(of["behind"])


def _verdict(sample: Sample, name: str, of: dict[str, Any]) -> Finding:
    rank = of["relief_rank"]
    if rank is None:
        return Finding(WARN, f"{name}: too few joints have both depth and truth to compare")
    value = f"{name}: its relief has rank correlation {rank:.2f} with the true one"
    made_by = sample.store.configuration_of(name).get("depth")
    model = made_by.get("name", "an unknown network") if isinstance(made_by, dict) else "an unknown network"
    if rank > LEAK:
        return Finding(
            BAD,
            f"{value}. THE TRUTH LEAKS (above {LEAK}): depth from '{model}' orders the joints as the laboratory's own "
            "3D does. A lifter only needs to copy it, and its figures hold for no other camera.",
        )
    if rank < USELESS:
        return Finding(WARN, f"{value}: it says nothing of the pose, and depth cannot help a lifter here.")
    gained = of["linear_fit"]
    if gained is None:
        return Finding(GOOD, f"{value}: no leak, and more than nothing.")
    if gained["gain"] < 0.02:
        return Finding(WARN, f"{value}, but no leak and little help: {_gain(gained)}")
    return Finding(GOOD, f"{value}: no leak, and it helps: {_gain(gained)}")


def _gain(of: dict[str, float]) -> str:
    return (
        f"a linear fit misses the relief by {1000 * of['without']:.0f} mm on 2D joints alone and by "
        f"{1000 * of['with']:.0f} mm with depth ({number(of['frames'])} frames of held-out sequences)."
    )


def _charts(sample: Sample, name: str, true: np.ndarray, of: dict[str, Any]) -> list[str]:
    said = sample[name][..., 0].astype(np.float64)
    metric = of["unit"] == METRES
    unit = "m" if metric else "relative"
    others = np.arange(len(JOINTS)) != ROOT
    relief = [values[:, others] - values[:, [ROOT]] for values in (true, said)]
    ranked_joints = [_row(joint, v["relief_rank"]) for joint, v in of["joints"].items() if joint != JOINTS[ROOT]]
    seen = ("Broken line: equal. Along another line: a wrong scale or bias. At the edge: beyond it.",
            "At the upper edge: the disk saw what is behind the joint.") if metric else ("", "")  # fmt: skip
    labels = ("true, m", f"depth, {unit}")
    least = min([value for _, value, *_ in ranked_joints if np.isfinite(value)], default=0.0)
    charts = [
        points("Distance to the camera", true.ravel(), said.ravel(), labels, seen[0], same=metric),
        points("Relief: less the pelvis", relief[0].ravel(), relief[1].ravel(), labels, seen[1], same=metric, seed=1),
        dots("Relief, rank correlation by joint", ranked_joints, "rank correlation", "Right of the line: a leak.",
             low=min(0.0, least), high=1.0, marks=(LEAK,)),
    ]  # fmt: skip
    if metric:
        charts.append(dots("Bias by joint", [_spread(joint, said[:, n] - true[:, n]) for n, joint in enumerate(JOINTS)],
                           "depth less truth, m", "Dot: the median. Bar: the middle half.", marks=(0.0,)))  # fmt: skip
    ranked = sorted((v["relief_rank"], id) for id, v in of["sequences"].items())
    if ranked:
        half = _SEQUENCES_SHOWN // 2
        shown = ranked if len(ranked) <= _SEQUENCES_SHOWN else [*ranked[:half], *ranked[-half:]]
        which = "by sequence" if shown is ranked else f"the {half} lowest and highest of {len(ranked):,} sequences"
        charts.append(dots(f"Relief, rank correlation, {which}", [_row(id, v) for v, id in shown], "rank correlation",
                           low=min(0.0, ranked[0][0]), high=1.0, marks=(LEAK,), names=LONG_NAMES))  # fmt: skip
    return charts


def _row(name: str, value: float | None) -> Row:
    return name, np.nan if value is None else value, np.nan, np.nan


def _spread(name: str, values: np.ndarray) -> Row:
    known = values[np.isfinite(values)]
    low, middle, high = np.percentile(known, (25, 50, 75)) if len(known) else (np.nan,) * 3
    return name, float(middle), float(low), float(high)
