"""What a network calls its joints and classes (`id2label` of a config.json), and which class is people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ....stores.errors import InvalidValueError
from ..weights.model_folder import ModelFolder

PEOPLE = ("person", "people", "human", "pedestrian")  # what data sets call it; the first that is there


def labels_of(found: ModelFolder, name: str, what: str) -> list[str]:
    """Return the labels in order; what: `joints` or `classes`, for messages.

    InvalidValueError where there are none, or only transformers' placeholders, or numbers are left out.
    """
    said = found.config.get("id2label")
    labels: dict[int, str] = {}
    if isinstance(said, Mapping):
        labels = {int(key): str(label) for key, label in said.items() if str(key).isdecimal()}
    if not labels or sorted(labels) != list(range(len(labels))):
        raise InvalidValueError(f"{name}: its config.json does not name its {what} (id2label, from 0 without a gap)")
    if all(label == f"LABEL_{number}" for number, label in labels.items()):
        raise InvalidValueError(
            f"{name}: its config.json has no names for its {what} (id2label says LABEL_0, LABEL_1 ...); write them in"
        )
    return [labels[number] for number in range(len(labels))]


def person_class(classes: Sequence[str], name: str) -> int:
    """Return its number; InvalidValueError where the detector called `name` finds no people."""
    small = [label.strip().lower() for label in classes]
    found = next((small.index(each) for each in PEOPLE if each in small), None)
    if found is None:
        raise InvalidValueError(
            f"{name} finds no people: its classes are {', '.join(classes[:12])}{' ...' if len(classes) > 12 else ''}"
        )
    return found
