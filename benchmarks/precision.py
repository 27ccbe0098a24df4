"""What does half precision cost in exactness, for boxes, joints and depth?

The three shipped networks, whose weights are trained, on rendered frames of all domains, in each precision against
float32 on the same device. On a CPU tf32 cannot be tried. Boxes and joints are compared where float32 finds them.
"""

from __future__ import annotations

import numpy as np
import torch

from auglift.pipeline.device.precision import Precision, choose_precision
from auglift.pipeline.networks.depth import build_depth
from auglift.pipeline.networks.detect import build_detector
from auglift.pipeline.networks.pose import build_pose

from .depth_cpu import rendered_people
from .harness import Row, main

SURE = 0.3  # boxes and joints of at least this score are compared


@torch.inference_mode()
def rows(quick: bool) -> list[Row]:
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    frames = torch.from_numpy(rendered_people(2 if quick else 12)).to(device)
    choose_precision("float32", device).apply()
    boxes, depth = build_detector("tiny", device=device).boxes(frames, 1)[:, 0], _depth(frames, "float32", device)
    people = boxes[:, 4].isfinite().nonzero()[:, 0]
    joints, score = build_pose("tiny", device=device).estimate(frames, boxes[people, :4], people)
    out = []
    for name in ("tf32", "float16", "bfloat16"):
        if name == "tf32" and device.type == "cpu":
            continue
        precision = choose_precision(name, device)
        precision.apply()
        detector, pose = build_detector("tiny", device=device), build_pose("tiny", device=device)
        detector.compute_in(precision)
        pose.compute_in(precision)
        other = detector.boxes(frames, 1)[people, 0]
        moved, moved_score = pose.estimate(frames, boxes[people, :4], people)
        apart = (other[:, :4] - boxes[people, :4]).abs().amax(1)
        sure = score > SURE
        away = (moved - joints).norm(dim=-1)[sure]
        off = ((_depth(frames, name, device) - depth).abs() / depth).flatten()
        out += [
            _row(f"{name}: box, farthest edge", apart, "px"),
            _row(f"{name}: joint", away, "px"),
            _row(f"{name}: a joint's score", (moved_score - score)[sure].abs(), ""),
            _row(f"{name}: depth, relative", off, ""),
        ]
    return out


def _depth(frames: torch.Tensor, name: str, device: torch.device) -> torch.Tensor:
    network = build_depth("tiny", device=device)
    network.compute_in(Precision(name))  # type: ignore[union-attr]
    return network.estimate(frames)


def _row(name: str, values: torch.Tensor, unit: str) -> Row:
    found = np.sort(values[values.isfinite()].float().cpu().numpy())
    if not len(found):
        raise SystemExit("nobody was found in the rendered frames: there is nothing to compare")
    high = found[int(0.99 * (len(found) - 1))]
    return Row(
        name, float(found.mean()), f"{unit}, mean of {len(found):,}".strip(", "), against=f"99 % under {high:.2g}"
    )


if __name__ == "__main__":
    main(rows, __doc__)
