"""Confidence and depth joint by joint, and the radius that follows from confidence."""

from __future__ import annotations

import numpy as np

from ..format.depth_unit import METRES, depth_unit
from .charts import histogram, points, ridges
from .html import WARN, Finding, Section, figures, folded, number, paragraph, table
from .sample import JOINTS, Sample, main_descriptors


def distributions(sample: Sample) -> Section:
    """Show scores and depths by joint."""
    score = sample["score"]
    title = "Confidence and depth by joint"
    if not len(score):
        return Section(title, paragraph("No person in the frames looked at."), {"frames": 0})
    findings = []
    spread = float(np.nanstd(score)) if np.isfinite(score).any() else 0.0
    if spread < 1e-6:
        findings.append(
            Finding(
                WARN, "Every joint has the same confidence: the descriptor's radius never changes, and `xyc` is `xy`."
            )
        )
    charts = [
        ridges("Confidence", [(joint, score[:, n]) for n, joint in enumerate(JOINTS)], "confidence",
               "Line: the median. A joint that is mostly unsure teaches a lifter little.")
    ]  # fmt: skip
    numbers: dict[str, object] = {"frames": len(score), "score": _ranges(score), "depth": {}}
    for name in main_descriptors(sample.store):
        depth = sample[name][..., 0]
        unit = depth_unit(sample.store.configuration_of(name))
        label = "m" if unit == METRES else "relative, 1 is the torso's spread"
        rows = [(joint, depth[:, n]) for n, joint in enumerate(JOINTS)]
        missing = float(np.isnan(depth).mean())
        note = f"d of {name}. The end of the axis holds what is farther."
        note += f" Without depth: {100 * missing:.1f} % of joints." if missing else ""
        charts.append(ridges(f"Depth, {name.removeprefix('uadd/')}", rows, f"depth, {label}", note, shares=(0.5, 97)))
        numbers["depth"][name] = {**_ranges(depth), "missing_share": missing}  # type: ignore[index]
        if missing > 0.05:
            findings.append(Finding(WARN, f"{100 * missing:.0f} % of the joints have no depth in {name}"))
    cells = [
        (joint, *(number(value) for value in np.nanpercentile(score[:, n], (5, 50, 95))))
        if np.isfinite(score[:, n]).any() else (joint, "–", "–", "–")
        for n, joint in enumerate(JOINTS)
    ]  # fmt: skip
    listed = folded("Confidence in numbers", table(("joint", "5 %", "median", "95 %"), cells))
    return Section(title, figures(charts) + listed, numbers, tuple(findings))


def radii(sample: Sample) -> Section:
    """Show the radius of each descriptor's disk against the confidence."""
    title = "Radius against confidence"
    names = [f"radius/{name.removeprefix('uadd/')}" for name in main_descriptors(sample.store)]
    names = [name for name in names if name in sample]
    known_to = [name for name in names if np.isfinite(sample[name]).any()]
    if names and not known_to:
        return Section(title, paragraph("No disk has a radius in the frames looked at."), {"descriptors": []})
    names = known_to
    if not names:
        text = "This store has no depth, and so no disks: lifters train on `xy` and `xyc`."
        return Section(title, paragraph(text), {"descriptors": []})
    score = sample["score"]
    charts, numbers, findings = [], {}, []
    side = _person_height(sample)
    for name in names:
        radius = sample[name]
        known = radius[np.isfinite(radius)]
        widest, smallest = float(known.max()), float(known.min())
        shares = {
            "at_smallest": float((known <= smallest + 1e-3).mean()),
            "at_widest": float((known >= widest - 1e-3).mean()),
        }
        caption = (
            f"{100 * shares['at_smallest']:.0f} % of disks have the smallest radius ({number(smallest)} px), "
            f"{100 * shares['at_widest']:.0f} % the widest ({number(widest)} px)."
        )
        plain = name.removeprefix("radius/")
        charts.append(points(f"Radius, {plain}", score.ravel(), radius.ravel(), ("confidence", "radius, px"), caption))
        if np.isfinite(side):
            share = 100 * known / side
            about = f"The box is {number(side)} px high (median). Disks as wide as a limb see the limb."
            charts.append(
                histogram(f"Radius beside the person, {plain}", share, "radius, % of the box's height", about)
            )
        numbers[name] = {"min": smallest, "max": widest, **shares, "box_height": side}
        if np.isfinite(side) and widest > side / 2:
            sizes = f"{number(widest)} px of radius, a box {number(side)} px high"
            text = f"The widest disks of {name} span more than the person ({sizes}): they see the background."
            findings.append(Finding(WARN, f"{text} Give r_min and r_max for this frame size."))
    text = "A sure joint gets a small disk, an unsure one a wide disk, so that the depth found in it says less."
    return Section(title, paragraph(text) + figures(charts), numbers, tuple(findings))


def _person_height(sample: Sample) -> float:
    heights = sample["bbox"][:, 3] - sample["bbox"][:, 1]
    return float(np.nanmedian(heights)) if np.isfinite(heights).any() else float("nan")


def _ranges(values: np.ndarray) -> dict[str, dict[str, float]]:
    """(N, 17) to percentiles by joint."""
    found = {}
    for n, joint in enumerate(JOINTS):
        known = values[:, n][np.isfinite(values[:, n])]
        of = np.percentile(known, (5, 50, 95)) if len(known) else (np.nan,) * 3
        found[joint] = dict(zip(("p5", "median", "p95"), map(float, of), strict=True))
    return found
