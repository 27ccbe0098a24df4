"""How far markers land on what moves, by the frame their first row is taken for: a table for docs/datasets.md.

python -m tests.pipeline.datasets.landing ../shared/data/pose2sim
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from auglift.pipeline.datasets.calibrated import calibrated
from auglift.pipeline.frames.sources import read

FIRSTS = range(-8, 19, 2)


def share(grey: np.ndarray, truth, first: int) -> float:
    """Of the joints faster than 0.3 m/s, the share within 4 px of what changes in 4 frames, by over 12 greys."""
    places = truth.read(np.arange(len(grey)))["target/keypoints"].round().astype(int)
    speed = np.linalg.norm(np.gradient(truth.joints, axis=0), axis=-1) * 60
    hits: list[int] = []
    for t in range(12, 76, 6):
        changed = cv2.absdiff(grey[t + first - 2], grey[t + first + 2]) > 12
        near = cv2.dilate(changed.astype(np.uint8), np.ones((9, 9), np.uint8))
        x, y = places[t, speed[t] > 0.3].T
        hits += near[y.clip(0, near.shape[0] - 1), x.clip(0, near.shape[1] - 1)].tolist()
    return float(np.mean(hits))


def main(folder: Path) -> None:
    videos = sorted((folder / "single").glob("*.mp4"))
    clips = calibrated(videos, folder / "Calib_qualisys.toml", folder / "balancing_0-100.trc").clips
    print("first", *FIRSTS, sep="\t")
    rows = []
    for clip in clips:
        batches = read(clip.info.path, np.arange(100), 10, 2)
        grey = np.concatenate([[cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in batch.frames] for batch in batches])
        rows.append([share(grey, clip.truth, first) for first in FIRSTS])
        print(clip.camera, *(f"{value:.2f}" for value in rows[-1]), sep="\t", flush=True)
    print("mean", *(f"{value:.2f}" for value in np.mean(rows, axis=0)), sep="\t")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
