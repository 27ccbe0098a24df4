"""Is a file of joints of this video? Frames, size, rate, places, confidences; the figures where they disagree."""

from __future__ import annotations

import numpy as np

from ...stores.errors import InvalidValueError
from ..frames.sources import SourceInfo
from .detections import Sequence

# Of so few frames more or fewer, programs that count frames in other ways may be the cause.
FEW = 10
# By what share the frame rates may differ: 29.97 for 30.
RATE = 0.01
# Of the joints, the share that must lie in the picture.
INSIDE = 0.5
# px: what is smaller is no person, but joints in normalised coordinates or metres.
SMALLEST = 8.0
# Confidences are 0 to 1, SimCC's a little more. A median beyond this is percent, or a sum.
CONFIDENT = 2.0


def first_number(sequence: Sequence, frames: int, given: int | None) -> int:
    """Which number the file gives to the first frame of a video of so many frames.

    given  by the user; else a file that speaks of just as many frames begins with the first, and one whose last
           number would be one too many counts from 1
    """
    if given is not None:
        return given
    if sequence.covered is not None and sequence.whole:
        first, last = int(sequence.covered[0]), int(sequence.covered[-1])
        return first if len(sequence.covered) == frames == last - first + 1 else 0
    if sequence.covered is None and len(sequence.frame):
        return int(sequence.frame.min() >= 1 and sequence.frame.max() == frames)
    return 0


def require_fit(sequence: Sequence, info: SourceInfo, first: int, wanted: np.ndarray, slack: int) -> None:
    """InvalidValueError, with the figures, where a sequence is not of a video.

    first    the number that it gives to the first frame
    wanted   the frames of the video that will be used
    slack    so many frames more or fewer are taken
    """
    _require_frames(sequence, info, first, wanted, slack)
    _require_picture(sequence, info)
    known = np.zeros(0) if sequence.score is None else sequence.score[np.isfinite(sequence.score)]
    if len(known) and float(np.median(known)) > CONFIDENT:
        raise InvalidValueError(f"its confidences have a median of {np.median(known):.3g}; they must be 0 to 1")


def _require_frames(sequence: Sequence, info: SourceInfo, first: int, wanted: np.ndarray, slack: int) -> None:
    video = info.frame_count
    if sequence.covered is None:
        last = int(sequence.frame.max()) - first if len(sequence.frame) else 0
        if last >= video + slack or (len(sequence.frame) and sequence.frame.min() < first):
            low, high = int(sequence.frame.min()), int(sequence.frame.max())
            raise InvalidValueError(
                f"it speaks of frames {low} to {high}, the video has {video}, the first of which is number {first}; "
                "--keypoints-first N if it counts from N"
            )
        return
    covered = sequence.covered - first
    if sequence.whole and abs(len(covered) - video) > slack:
        apart = abs(len(covered) - video)
        hint = f"; --keypoints-slack {apart} if only the end differs" if apart <= FEW else ""
        raise InvalidValueError(
            f"it speaks of {len(covered)} frames ({sequence.covered[0]} to {sequence.covered[-1]}), the video has "
            f"{video}{hint}"
        )
    missing = wanted[~np.isin(wanted, covered)]
    if len(missing) > slack:
        what = f"frame {missing[0]} is the first" + (
            f"; it holds one frame in {np.median(np.diff(covered)):.0f}" if _is_every_nth(covered) else ""
        )
        raise InvalidValueError(
            f"it says nothing of {len(missing)} of the {len(np.unique(wanted))} frames wanted ({what}); --fps and "
            "--limit choose frames"
        )
    if sequence.fps and info.fps and abs(sequence.fps / info.fps - 1) > RATE:
        raise InvalidValueError(f"it is of {sequence.fps:.6g} frames a second, the video of {info.fps:.6g}")


def _is_every_nth(covered: np.ndarray) -> bool:
    return len(covered) > 1 and float(np.median(np.diff(covered))) > 1


def _require_picture(sequence: Sequence, info: SourceInfo) -> None:
    size = (info.width, info.height)
    if sequence.size is not None and sequence.size != size:
        raise InvalidValueError(
            f"it is of a video of {sequence.size[0]} x {sequence.size[1]}, this one is {size[0]} x {size[1]}"
        )
    points = sequence.keypoints[np.isfinite(sequence.keypoints).all(axis=-1)]
    if not len(points):
        return
    low, high = points.min(axis=0), points.max(axis=0)
    extent = f"x {low[0]:.5g} to {high[0]:.5g}, y {low[1]:.5g} to {high[1]:.5g}"
    people = sequence.keypoints[np.isfinite(sequence.keypoints).all(axis=-1).any(axis=-1)]
    tall = float(np.median(np.nanmax(people, axis=1)[:, 1] - np.nanmin(people, axis=1)[:, 1]))
    if tall < SMALLEST:
        raise InvalidValueError(
            f"its people are {tall:.2g} px tall ({extent}): normalised coordinates or metres, where px are wanted"
        )
    inside = 1 - outside(points, size).mean()
    if inside < INSIDE:
        raise InvalidValueError(
            f"{inside:.0%} of its joints lie in the picture of {size[0]} x {size[1]}: they span {extent}"
        )


def outside(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(...) bool: which of (..., 2) px lie beyond the picture; NaN does not."""
    return np.asarray(((points < 0) | (points > np.array(size))).any(axis=-1))


def oddities(sequence: Sequence, info: SourceInfo, people: np.ndarray) -> list[str]:
    """What is data and not an error: counted, a line each.

    people   (frames,) how many there are in each frame wanted
    """
    lines = []
    size, joints = (info.width, info.height), np.isfinite(sequence.keypoints).all(axis=-1)
    beyond = int(outside(sequence.keypoints, size).sum())
    if (people == 0).any():
        lines.append(f"nobody in {int((people == 0).sum())} of {len(people)} frames")
    if beyond:
        lines.append(f"{beyond} of {int(joints.sum())} joints lie outside the picture")
    if sequence.score is not None:
        score = sequence.score[joints]
        unknown, negative = int(np.isnan(score).sum()), int((score < 0).sum())
        if unknown:
            lines.append(f"{unknown} of {len(score)} joints come without their confidence, taken for 0")
        if negative:
            lines.append(f"{negative} of {len(score)} confidences are negative, used as 0")
    return lines
