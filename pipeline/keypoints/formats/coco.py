"""COCO's JSON: a list of keypoint results, as AlphaPose writes it too, or a whole data set with `images`."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ....stores.errors import InvalidValueError
from ...frames.names import natural
from ..detections import Detections, Rows, Sequence
from .json_files import box_of, load_json, one_count, person_of, triples

NOT_LABELLED, FLAGS = 0, (0, 1, 2)


def is_coco(content: Any) -> bool:
    if isinstance(content, dict):
        return isinstance(content.get("annotations"), list) and isinstance(content.get("images"), list)
    return isinstance(content, list) and bool(content) and all(_is_result(each) for each in content)


def read_coco(path: Path) -> Detections:
    """Of results, `image_id` is the number of a frame, or the name of a picture with one; what it begins with is the
    sequence. Of a data set, the pictures of a folder in natural order are the frames of one sequence.

    Confidences that are COCO's flags (0 not labelled, 1 hidden, 2 seen) say which joints are known, and are none.
    """
    content = load_json(path)
    return _of_results(path, content) if isinstance(content, list) else _of_data_set(path, content)


def _is_result(each: Any) -> bool:
    return isinstance(each, dict) and "image_id" in each and "keypoints" in each


def _add(path: Path, rows: Rows, frame: int, each: dict[str, Any]) -> None:
    box = box_of(each.get("bbox", each.get("box")), corner_and_size=True)
    score = each.get("score")
    name = person_of(each.get("track_id", each.get("idx")))
    rows.add(frame, triples(path, each["keypoints"]), box, None if score is None else float(score), name)


def _of_results(path: Path, results: list[dict[str, Any]]) -> Detections:
    groups: dict[str, Rows] = {}
    for each in results:
        group, frame = _place(path, each["image_id"])
        _add(path, groups.setdefault(group, Rows()), frame, each)
    joints = one_count(path, [len(values) for rows in groups.values() for values in rows.values])
    made = [rows.sequence((group or path.stem,), joints, None, whole=False) for group, rows in groups.items()]
    return Detections(tuple(_without_flags(each) for each in made))


def _place(path: Path, image: Any) -> tuple[str, int]:
    """(sequence, number of the frame) of an image_id."""
    if isinstance(image, int):
        return "", image
    name = PurePosixPath(str(image))
    match = re.search(r"\d+$", name.stem)
    if match is None:
        raise InvalidValueError(f"{path.name}: image_id {str(image)!r} has no number of a frame at its end")
    folder = name.parent.as_posix()
    return "" if folder == "." else folder, int(match[0])


def _of_data_set(path: Path, content: dict[str, Any]) -> Detections:
    folders: dict[str, list[dict[str, Any]]] = {}
    for image in content["images"]:
        if not {"id", "file_name"} <= image.keys():
            raise InvalidValueError(f"{path.name}: an image without id and file_name")
        folders.setdefault(PurePosixPath(str(image["file_name"])).parent.as_posix(), []).append(image)
    places: dict[Any, tuple[str, int]] = {}
    for folder, images in folders.items():
        images.sort(key=lambda image: natural(str(image["file_name"])))
        places |= {image["id"]: (folder, number) for number, image in enumerate(images)}
    rows = {folder: Rows() for folder in folders}
    for each in content["annotations"]:
        if not each.get("keypoints"):
            continue  # a box alone, or a crowd
        if each.get("image_id") not in places:
            raise InvalidValueError(f"{path.name}: an annotation of image {each.get('image_id')!r}, which is not in it")
        folder, number = places[each["image_id"]]
        _add(path, rows[folder], number, each)
    joints = one_count(path, [len(values) for made in rows.values() for values in made.values])
    sequences = []
    for folder, made in rows.items():
        images = folders[folder]
        sizes = {(image.get("width"), image.get("height")) for image in images}
        width, height = next(iter(sizes)) if len(sizes) == 1 else (None, None)
        size = (int(width), int(height)) if width and height else None
        names = (path.stem,) if folder == "." else (folder, path.stem) if len(folders) == 1 else (folder,)
        sequences.append(_without_flags(made.sequence(names, joints, np.arange(len(images)), size)))
    named = [each.get("keypoints", []) for each in content.get("categories", []) if each.get("keypoints")]
    names = tuple(str(name) for name in named[0]) if named and len(named[0]) == joints else ()
    return Detections(tuple(sequences), joints=names)


def _without_flags(made: Sequence) -> Sequence:
    """The same with flags turned into what they say, where they are such: none between, and some that are 2."""
    score = made.score
    if score is None:
        return made
    known = score[np.isfinite(score)]
    if not np.isin(known, FLAGS).all() or not (known == max(FLAGS)).any():
        return made
    keypoints = made.keypoints.copy()
    keypoints[score == NOT_LABELLED] = np.nan
    about = {key: value for key, value in vars(made).items() if key not in ("score", "keypoints")}
    return Sequence(**about, keypoints=keypoints)
