"""What a file of 2D joints holds, whatever its format: people by frame, sequence by sequence."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Sequence:
    """The people that a file has found in one video, a row a person and frame, in the order of frames.

    names        what the file calls it; any of them may be a clip's
    frame        (N,) int64: number of the frame, as the file counts
    keypoints    (N, J, 2) px; NaN where a joint is not known
    score        (N, J) confidence, NaN where it is not known; None: the file has none
    box          (N, 4) px, x1 y1 x2 y2; None: the file has none
    box_score    (N,); None: the file has none
    person       (N,) str: what the file calls the person; None: it names nobody
    covered      (F,) int64: the frames that the file speaks of, ascending; None: it names only frames with somebody
    whole        whether the file speaks of a whole video: then as many frames as that has
    size, fps    of the video, where the file says: (width, height) px, frames a second
    """

    names: tuple[str, ...]
    frame: np.ndarray
    keypoints: np.ndarray
    score: np.ndarray | None = None
    box: np.ndarray | None = None
    box_score: np.ndarray | None = None
    person: np.ndarray | None = None
    covered: np.ndarray | None = None
    whole: bool = True
    size: tuple[int, int] | None = None
    fps: float | None = None

    @property
    def name(self) -> str:
        return self.names[0] if self.names else ""


@dataclass(frozen=True)
class Detections:
    """A file of 2D joints.

    joints     names of its joints in order, where it tells them
    skeleton   a name of `skeletons.SKELETONS`, where it tells that instead
    note       what a user should know of how it was read
    """

    sequences: tuple[Sequence, ...]
    joints: tuple[str, ...] = ()
    skeleton: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def joint_count(self) -> int:
        return self.sequences[0].keypoints.shape[1]


@dataclass
class Rows:
    """People collected one by one, as a file lists them; `sequence` makes arrays of them, in the order of frames.

    joints   how many a person must have, once one was seen
    """

    frame: list[int] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)
    box: list[np.ndarray] = field(default_factory=list)
    box_score: list[float] = field(default_factory=list)
    person: list[str] = field(default_factory=list)

    def add(
        self,
        frame: int,
        values: np.ndarray,
        box: np.ndarray | None = None,
        box_score: float | None = None,
        person: str = "",
    ) -> None:
        """values   (J, 3) float: x, y px and confidence, NaN where one is not known."""
        self.frame.append(frame)
        self.values.append(values)
        self.box.append(np.full(4, np.nan) if box is None else box)
        self.box_score.append(np.nan if box_score is None else float(box_score))
        self.person.append(person)

    def sequence(
        self,
        names: tuple[str, ...],
        joints: int,
        covered: np.ndarray | None,
        size: tuple[int, int] | None = None,
        whole: bool = True,
    ) -> Sequence:
        order = np.argsort(np.array(self.frame, np.int64), kind="stable")
        values = np.array(self.values, np.float64).reshape(-1, joints, 3)[order]
        box = np.array(self.box, np.float64).reshape(-1, 4)[order]
        box_score = np.array(self.box_score, np.float64)[order]
        person = np.array(self.person, dtype=str)[order]
        return Sequence(
            names,
            np.array(self.frame, np.int64)[order],
            values[..., :2],
            values[..., 2] if np.isfinite(values[..., 2]).any() else None,
            box if np.isfinite(box).all(axis=1).any() else None,
            box_score if np.isfinite(box_score).any() else None,
            person if len(set(person.tolist()) - {""}) > 0 else None,
            covered,
            whole,
            size,
        )
