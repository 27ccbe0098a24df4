"""Evaluates the tiny networks on rendered people, rooms and motion that none of them was trained on.

`python -m auglift.cli.tiny evaluate --mocap FOLDER` prints the table of docs/tiny-models.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import rankdata

from ..networks.depth import build_depth
from ..networks.detect import build_detector, overlap
from ..networks.pose import build_pose
from ..networks.tiny import DEPTH_SIDE
from ..synth.domains import DOMAINS
from ..synth.scene.camera import HALF_PIXEL
from . import measures
from .cache import FrameCache
from .depth_task import nearest_depth, thinned
from .detector_task import wanted_people

# measure -> (the aim, whether more is better, what it is)
AIMS: dict[str, tuple[float, bool, str]] = {
    "ap50": (0.95, True, "detection AP50, everybody not hidden more than 35 %"),
    "ap50_hidden": (0.95, True, "detection AP50, everybody not hidden more than 85 %"),
    "pckh": (0.90, True, "PCKh@0.5, visible joints, true box"),
    "pckh_detected": (0.90, True, "PCKh@0.5, visible joints, detected box; nobody found counts as wrong"),
    "auc": (0.75, True, "confidence: AUC, visible against hidden joints"),
    "abs_rel": (0.12, False, "depth: absolute relative error on the person's pixels"),
    "joint_depth": (0.80, True, "depth at visible joints relative to the root's: correlation with the joints' own"),
    "joint_rank": (0.80, True, "the same by rank (Spearman), which a limb's rim that shows the wall does not decide"),
}
# Upper bounds: the two measures for exact depth, at the resolution of the frame and of the network's input.
CEILINGS = {"": "exact depth", "_coarse": f"exact depth in the network's {DEPTH_SIDE} px, the nearest within a pixel"}
IN_SIGHT = 0.35  # people with a larger share hidden are usually not counted (CityPersons' "reasonable", Zhang 2017)
_BATCH = 16


def predict(cache: FrameCache, weights: Path | None = None, device: str = "cpu") -> dict[str, Any]:
    """Run the three networks on every frame of a cache, with the same code as any other networks.

    Returns boxes, a list of (n, 5); xy and score, joints (N, 17, 2) px and (N, 17) in the true box of the subject;
    xy_detected (N, 17, 2), in the detected box that overlaps it most, NaN if none overlaps by half; depth (N, H, W) m.
    """
    detector = build_detector("tiny", weights, device, score_threshold=0.02)
    pose, depth = build_pose("tiny", weights, device), build_depth("tiny", weights, device)
    parts: dict[str, list[Any]] = {name: [] for name in ("boxes", "xy", "score", "xy_detected", "depth")}
    for start in range(0, len(cache), _BATCH):
        frames = torch.from_numpy(np.array(cache.image[start : start + _BATCH])).to(device)
        index = torch.arange(len(frames), device=device)
        truth = torch.from_numpy(np.array(cache.boxes[start : start + _BATCH, 0])).to(device)
        found = detector.detect(frames)
        chosen = truth.new_full((len(frames), 4), float("nan"))
        for number, boxes in enumerate(found):
            confident = boxes[boxes[:, 4] >= 0.3]
            if len(confident):
                iou = overlap(confident[:, :4], truth[number].expand(len(confident), 4))
                if iou.max() >= 0.5:
                    chosen[number] = confident[iou.argmax(), :4]
        whole = truth.new_tensor([0, 0, *frames.shape[2:0:-1]])
        known, got = torch.isfinite(truth).all(1), torch.isfinite(chosen).all(1)
        xy, score = pose.estimate(frames, torch.where(known[:, None], truth, whole), index)
        again, _ = pose.estimate(frames, torch.where(got[:, None], chosen, whole), index)
        again = torch.where(got[:, None, None], again, float("nan"))
        metres = F.interpolate(depth.estimate(frames)[:, None], frames.shape[1:3], mode="bilinear", align_corners=True)[
            :, 0
        ]
        parts["boxes"] += [boxes.cpu().numpy() for boxes in found]
        for name, value in (("xy", xy), ("score", score), ("xy_detected", again), ("depth", metres)):
            parts[name].append(value.cpu().numpy())
    return {name: value if name == "boxes" else np.concatenate(value) for name, value in parts.items()}


def measure(cache: FrameCache, predictions: dict[str, Any], which: np.ndarray | None = None) -> dict[str, float]:
    """Return the measures of AIMS over the frames `which` (N,) bool, and joint depth of exact depth maps.

    predictions   as `predict` returns them
    """
    which = np.arange(len(cache)) if which is None else np.flatnonzero(which)
    boxes, hidden = cache.boxes[which], cache.hidden[which]
    wanted = [wanted_people(*each) for each in zip(boxes, hidden, strict=True)]
    in_sight = [required & ~(share > IN_SIGHT) for required, share in zip(wanted, hidden, strict=True)]
    found = [predictions["boxes"][i] for i in which]
    subject = np.array([each[0] for each in wanted])
    shown, size = which[subject], cache.image.shape[1]
    truth, visible = cache.keypoints_coco[shown], cache.visible_coco[shown]
    joints, places = cache.joints_h36m[shown], cache.keypoints_h36m[shown]
    head = measures.HEAD * measures.pixels_a_metre(places, joints)
    in_image = ((truth >= 0) & (truth < size)).all(-1)
    estimated, exact = predictions["depth"][shown], cache.depth[shown].astype(np.float32)
    person = cache.person[shown] == 1
    relative = [
        float((np.abs(a - b) / b)[mask].mean())
        for a, b, mask in zip(estimated, exact, person, strict=True)
        if mask.any()
    ]
    # Only joints whose pixel shows the person: beside the tip of a nose there is background.
    on_person = measures.sample(cache.person[shown], places) == 1
    seen = cache.visible_h36m[shown] & on_person & on_person[:, :1]
    seen[:, 0] = False  # the root is what the others are relative to
    own = (joints[..., 2] - joints[:, :1, 2])[seen]
    maps = {"": estimated, "_exact": exact, "_exact_coarse": _coarse(exact, cache.person[shown])}
    relative_depth = {name: measures.sample(depth, places) for name, depth in maps.items()}
    relative_depth = {name: (depth - depth[:, :1])[seen] for name, depth in relative_depth.items()}
    return {
        "frames": len(which),
        "ap50": measures.average_precision(found, list(boxes), in_sight),
        "ap50_hidden": measures.average_precision(found, list(boxes), wanted),
        "pckh": measures.pck(predictions["xy"][shown], truth - HALF_PIXEL, visible, head),
        "pckh_detected": measures.pck(predictions["xy_detected"][shown], truth - HALF_PIXEL, visible, head),
        "auc": measures.auc(predictions["score"][shown][in_image], visible[in_image]),
        "abs_rel": float(np.mean(relative)),
        **{f"joint_depth{name}": _correlation(depth, own) for name, depth in relative_depth.items()},
        **{f"joint_rank{name}": _correlation(rankdata(depth), rankdata(own)) for name, depth in relative_depth.items()},
    }


def _coarse(depth: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Return depth (N, H, W) as a network without error would: at the resolution of its input, upsampled."""
    small = [thinned(nearest_depth(*each)[0], DEPTH_SIDE) for each in zip(depth, person, strict=True)]
    small = torch.from_numpy(np.stack(small))
    return F.interpolate(small[:, None], depth.shape[1:], mode="bilinear", align_corners=True)[:, 0].numpy()


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 1 else float("nan")


def standard_errors(cache: FrameCache, predictions: dict[str, Any], per_clip: int, parts: int = 16) -> dict[str, float]:
    """Return the standard error of each measure over all frames, by the jackknife over parts of the clips.

    The frames of a clip show one person, room and motion, so they are not independent samples.
    """
    clip = np.arange(len(cache)) // per_clip
    parts = min(parts, int(clip[-1]) + 1)
    if parts < 2:
        return dict.fromkeys(AIMS, float("nan"))
    without = [measure(cache, predictions, clip % parts != part) for part in range(parts)]
    found = {name: np.array([each[name] for each in without]) for name in AIMS}
    return {name: float(values.std() * np.sqrt(parts - 1)) for name, values in found.items()}


def table(results: dict[str, dict[str, float]], errors: dict[str, float]) -> str:
    """Format a Markdown table: measures in rows, all frames and each domain in columns. errors: of all frames."""
    lines = [f"| measure | aim | {' | '.join(results)} |", "|---" * (len(results) + 2) + "|"]
    for name, (aim, more, words) in AIMS.items():
        whole, *domains = (f"{each[name]:.3f}" for each in results.values())
        values = " | ".join([f"{whole} ± {errors[name]:.3f}", *domains])
        lines.append(f"| {words} | {'≥' if more else '≤'} {aim:.2f} | {values} |")
    for name, words in CEILINGS.items():
        for kind, label in (("joint_depth", "correlation"), ("joint_rank", "by rank")):
            values = " | ".join(f"{each[f'{kind}_exact{name}']:.3f}" for each in results.values())
            lines.append(f"| {words}: {label} | | {values} |")
    lines.append(f"| frames | | {' | '.join(str(each['frames']) for each in results.values())} |")
    return "\n".join(lines)


def by_domain(cache: FrameCache, predictions: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return the measures of all frames, and of each domain among them."""
    results = {"all": measure(cache, predictions)}
    for number, domain in enumerate(DOMAINS):
        if (cache.domain == number).any():
            results[domain] = measure(cache, predictions, cache.domain == number)
    return results
