"""JSON files of 2D joints: read once, and what they have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ....stores.errors import InvalidValueError


def load_json(path: Path) -> Any:
    """What a file holds; NaN, which JSON has not and many write, is taken. InvalidValueError where it is no JSON."""
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _load(path: Path, changed: int) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"{path} is no JSON: {error}; write it again") from error


def looks_like_json(path: Path) -> bool:
    """Whether a file begins as a list or an object does."""
    with path.open("rb") as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{")


def triples(path: Path, values: Any) -> np.ndarray:
    """(J, 3) of a flat list of x, y, confidence; a joint at (0, 0) with confidence 0 was not found: NaN."""
    found = numbers(path, values)
    if found.ndim != 1 or len(found) % 3:
        raise InvalidValueError(f"{path.name}: {found.size} numbers for a person, not three a joint")
    found = found.reshape(-1, 3)
    found[(found == 0).all(axis=1)] = np.nan
    return found


def numbers(path: Path, values: Any) -> np.ndarray:
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"{path.name}: the joints of a person are no numbers ({error})") from error


def box_of(values: Any, corner_and_size: bool = False) -> np.ndarray | None:
    """(4,) x1 y1 x2 y2; None where there is no box. corner_and_size: x, y, width and height, as COCO has it."""
    try:
        box = np.array(values, np.float64).ravel()
    except (TypeError, ValueError):
        return None
    if len(box) != 4 or not np.isfinite(box).all():
        return None
    return np.concatenate([box[:2], box[:2] + box[2:]]) if corner_and_size else box


def person_of(values: Any) -> str:
    """A person's name in a file: text, a number, or the first of a list of them; -1 stands for none."""
    while isinstance(values, list) and values:
        values = values[0]
    if isinstance(values, float) and values.is_integer():
        values = int(values)
    return "" if values in (None, -1) or isinstance(values, list | dict) else str(values)


def one_count(path: Path, counts: Sequence[int]) -> int:
    """How many joints all people have. InvalidValueError where they differ, or nobody is there."""
    if not counts:
        raise InvalidValueError(f"{path} holds nobody")
    if len(set(counts)) > 1:
        raise InvalidValueError(f"{path}: people of {min(counts)} and of {max(counts)} joints; one file, one skeleton")
    return counts[0]
