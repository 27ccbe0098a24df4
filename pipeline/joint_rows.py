"""Which joints of any skeleton make each joint of H36M-17, by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..stores.format.skeleton import H36M_17

# A joint is the mean of these; the first list of which all are there is taken. Thorax, spine and pelvis are as
# method.md, section 1, has them where a skeleton does not know them itself. What is not here is the joint of that name.
MADE_OF: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "pelvis": (("pelvis",), ("left_hip", "right_hip")),
    "spine": (("spine",), ("left_shoulder", "right_shoulder", "left_hip", "right_hip")),
    "thorax": (("thorax",), ("neck",), ("left_shoulder", "right_shoulder")),
    "head": (("head",), ("left_eye", "right_eye")),
}


def rows_by_name(
    names: Sequence[str], known_as: Callable[[str], str], made_of: Mapping[str, tuple[tuple[str, ...], ...]] = MADE_OF
) -> tuple[tuple[tuple[int, ...], ...], list[str]]:
    """Return for each joint of H36M-17 the places in `names` that it is the mean of, and the joints that lack them.

    known_as  from a name to the one that `made_of` has for it; of two names for one joint the first counts
    """
    places: dict[str, int] = {}
    for number, name in enumerate(names):
        places.setdefault(known_as(name), number)
    rows, lacking = [], []
    for joint in H36M_17.joints:
        found = next((each for each in made_of.get(joint, ((joint,),)) if set(each) <= places.keys()), None)
        if found is None:
            lacking.append(joint)
        rows.append(tuple(places[name] for name in found or ()))
    return tuple(rows), lacking
