"""MMPose's JSON of predictions: of its inferencer, a list of frames; of its demos, `meta_info` and `instance_info`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ....stores.errors import InvalidValueError
from ..detections import Detections, Rows
from .frames import Person
from .json_files import box_of, load_json, numbers, one_count, person_of

_INSTANCES = "instances"


def mmpose_people(path: Path, content: Any) -> list[Person] | None:
    """The people of a picture, a list with `keypoints` (J, 2) px and `keypoint_scores` (J,); None where it is none."""
    if not isinstance(content, list) or not all(_is_instance(each) for each in content):
        return None
    return [_person(path, each) for each in content]


def is_mmpose(content: Any) -> bool:
    """Whether it is of a whole video."""
    frames = content.get("instance_info") if isinstance(content, dict) else content
    return isinstance(frames, list) and bool(frames) and all(isinstance(f, dict) and _INSTANCES in f for f in frames)


def read_mmpose(path: Path) -> Detections:
    """One sequence, of the file's name. InvalidValueError for 3D joints, frames without a number or a number twice."""
    content = load_json(path)
    about = content.get("meta_info", {}) if isinstance(content, dict) else {}
    frames = content["instance_info"] if isinstance(content, dict) else content
    rows, numbered = Rows(), []
    for place, frame in enumerate(frames):
        number = frame.get("frame_id", place)
        if not isinstance(number, int):
            raise InvalidValueError(f"{path.name}: frame_id {number!r} is no number")
        numbered.append(number)
        for each in frame[_INSTANCES]:
            if not _is_instance(each):
                raise InvalidValueError(f"{path.name}: frame {number} has an instance without keypoints")
            one = _person(path, each)
            rows.add(number, one.values, one.box, one.box_score, one.person)
    covered = np.unique(np.array(numbered, np.int64))
    if len(covered) < len(numbered):
        raise InvalidValueError(f"{path.name}: {len(numbered)} frames, but {len(covered)} numbers; some are twice")
    joints = one_count(path, [len(values) for values in rows.values])
    return Detections((rows.sequence((path.stem,), joints, covered),), joints=_names(about, joints))


def _is_instance(each: Any) -> bool:
    return isinstance(each, dict) and "keypoints" in each and "image_id" not in each


def _person(path: Path, instance: dict[str, Any]) -> Person:
    joints = numbers(path, instance["keypoints"])
    if joints.ndim != 2 or joints.shape[1] != 2:
        raise InvalidValueError(f"{path.name}: keypoints of a person are {joints.shape}, not (joints, 2) in px")
    score = numbers(path, instance.get("keypoint_scores", [np.nan] * len(joints)))
    if score.shape != (len(joints),):
        raise InvalidValueError(f"{path.name}: {score.size} keypoint_scores for {len(joints)} joints")
    values = np.concatenate([joints, score[:, None]], axis=1)
    box_score = instance.get("bbox_score")
    name = person_of(instance.get("track_id", instance.get("instance_id")))
    return Person(values, box_of(instance.get("bbox")), None if box_score is None else float(box_score), name)


def _names(about: Any, joints: int) -> tuple[str, ...]:
    """The names of its joints, as MMPose's dataset_meta has them: a name by number, as text in JSON."""
    table = about.get("keypoint_id2name") if isinstance(about, dict) else None
    if not isinstance(table, dict):
        return ()
    named = {int(number): str(name) for number, name in table.items() if str(number).isdigit()}
    return tuple(named[number] for number in range(joints)) if set(range(joints)) == named.keys() else ()
