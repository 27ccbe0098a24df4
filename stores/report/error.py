"""The detector's error by joint: how far detected joints are from true ones, and whether confidence knows it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..summaries.agreement import in_words
from .charts import dots, points
from .depth import correlation
from .html import BAD, GOOD, WARN, Finding, Section, figures, folded, number, paragraph, percent, table
from .sample import JOINTS, Sample

TRUTH = "target/keypoints"
TITLE = "Detector error by joint"


def error(sample: Sample, agreement: dict[str, float] | None) -> Section:
    """Compare detected joints with true ones; `agreement` is that of `summaries.info.summary`.

    median, p90   px
    relative      median, as a share of the true person's height in the picture
    near          share of joints within a tenth of that height
    knows         rank correlation of error and confidence by joint: -1 if the least sure are the farthest away
    """
    pose = sample.store.configuration.get("pose")
    if isinstance(pose, dict) and pose.get("name") == "ground-truth":
        text = "The 2D joints are the dataset's own (--pose ground-truth): there is no error to show."
        return Section(TITLE, paragraph(text), {"joints": {}}, (Finding(WARN, text),))
    if TRUTH not in sample or not np.isfinite(sample[TRUTH]).any():
        text = "This store has no true 2D joints: the error is not known."
        return Section(TITLE, paragraph(text), {"joints": {}})
    true = sample[TRUTH].astype(np.float64)
    distance = np.linalg.norm(sample["keypoints"].astype(np.float64) - true, axis=-1)
    height = _height(true)
    relative = distance / height[:, None]
    score = sample["score"]
    joints = {joint: _figures(distance[:, n], relative[:, n], score[:, n]) for n, joint in enumerate(JOINTS)}
    whole = _figures(distance, relative, score)
    charts = [
        dots("Error by joint", [(joint, of["median"], of["p25"], of["p90"]) for joint, of in joints.items()],
             "px from the truth", "Dot: the median. Bar: from 25 to 90 %.", low=0.0),
        points("Does confidence know the error?", score.ravel(), 100 * relative.ravel(), ("confidence", "% of height"),
               f"Rank correlation {number(whole['knows'], 2)}: −1 if the least sure joints are the farthest away. The "
               "radius of a disk relies on it."),
    ]  # fmt: skip
    findings = []
    if agreement and min(agreement["legs"], agreement["arms"]) < 0.5:
        findings.append(Finding(BAD, f"Detected joints against true ones: {in_words(agreement)}"))
    if (whole["relative"] or 0) > 0.1:
        text = f"The detected joints are {percent(whole['relative'])} of the person's height from the truth (median)"
        findings.append(Finding(BAD, f"{text}: another person, another camera, or shifted frames?"))
    if whole["knows"] is not None and whole["knows"] > -0.05 and np.nanstd(score) > 1e-6:
        findings.append(Finding(WARN, "Confidence does not know the detector's error (rank correlation "
                                f"{whole['knows']:.2f}): the radius adapts to nothing."))  # fmt: skip
    elif not findings and whole["median"] is not None:
        findings.append(Finding(GOOD, f"Detected joints are {number(whole['median'])} px from the truth (median), "
                                f"{percent(whole['relative'])} of the person's height"))  # fmt: skip
    cells = [
        (joint, number(of["median"]), number(of["p90"]), percent(of["relative"]), percent(of["near"]),
         number(of["knows"], 2))
        for joint, of in [*joints.items(), ("all", whole)]
    ]  # fmt: skip
    columns = ("joint", "median, px", "90 %, px", "of the height", "within a tenth", "known to confidence")
    parts = [figures(charts), folded("The figures by joint", table(columns, cells))]
    if agreement:
        parts.insert(0, paragraph(f"Detected against true: {in_words(agreement)}."))
    return Section(TITLE, "".join(parts), {"all": whole, "joints": joints, "agreement": agreement}, tuple(findings))


def _height(true: np.ndarray) -> np.ndarray:
    """(N, 17, 2) px to the larger side of the box about the joints, (N,) px; NaN where no joint is known."""
    known = np.isfinite(true)
    low = np.where(known, true, np.inf).min(1)
    high = np.where(known, true, -np.inf).max(1)
    side = (high - low).max(1)
    return np.where(np.isfinite(side) & (side > 0), side, np.nan)


def _figures(distance: np.ndarray, relative: np.ndarray, score: np.ndarray) -> dict[str, Any]:
    known = distance[np.isfinite(distance)]
    shares = relative[np.isfinite(relative)]
    low, middle, high = map(float, np.percentile(known, (25, 50, 90))) if len(known) else (None,) * 3
    return {
        "p25": low if low is not None else np.nan,
        "median": middle if middle is not None else np.nan,
        "p90": high if high is not None else np.nan,
        "relative": float(np.median(shares)) if len(shares) else None,
        "near": float((shares < 0.1).mean()) if len(shares) else None,
        "knows": correlation(score, distance),
    }
