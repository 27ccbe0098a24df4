"""OpenPose's JSON, a file a frame with `people`; Sports2D and Pose2Sim write the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ....stores.errors import InvalidValueError
from .frames import Person
from .json_files import person_of, triples

_KEYS = ("pose_keypoints_2d", "pose_keypoints")


def openpose_people(path: Path, content: Any) -> list[Person] | None:
    """The people of a frame; None where it is no such file.

    `pose_keypoints_2d` is x, y px and confidence, joint after joint. Faces and hands are not read.
    """
    if not isinstance(content, dict) or not isinstance(content.get("people"), list):
        return None
    found = []
    for person in content["people"]:
        flat = next((person[key] for key in _KEYS if isinstance(person, dict) and key in person), None)
        if flat is None:
            raise InvalidValueError(f"{path.name}: a person without pose_keypoints_2d")
        if len(flat):
            found.append(Person(triples(path, flat), person=person_of(person.get("person_id"))))
    return found
