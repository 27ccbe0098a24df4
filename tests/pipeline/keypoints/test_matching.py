"""pipeline/keypoints/matching.py: which sequence of a file is of which clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auglift.pipeline.frames.sources import SourceInfo
from auglift.pipeline.keypoints.detections import Sequence
from auglift.pipeline.keypoints.matching import match
from auglift.pipeline.plan import Clip, clip_of
from auglift.stores.errors import InvalidValueError
from auglift.stores.export.h36m_names import CAMERAS


def clip(id: str, source: str = "", **known: str) -> Clip:
    source = source or f"{id}.mp4"
    kind = "video" if source.endswith(".mp4") else "images"
    info = SourceInfo(Path("/data") / source, kind, 10, 10, 30, 3, "", False, ())  # type: ignore[arg-type]
    return clip_of(info, id, source, None, None, **known)


def sequences(*names: str | tuple[str, ...]) -> list[Sequence]:
    nothing = np.zeros((0, 17, 2))
    return [Sequence((n,) if isinstance(n, str) else n, np.zeros(0, np.int64), nothing) for n in names]


@pytest.mark.parametrize(
    "name", ["walk", "walk.mp4", "walk_json", "results_walk", "walk_keypoints", "walk_Sports2D", "walk_pose_json"]
)
def test_a_video_is_found_by_its_name_whatever_a_program_puts_about_it(name):
    assert match([clip("run"), clip("walk")], sequences("run", name)) == [0, 1]


def test_one_sequence_and_one_clip_belong_together_whatever_they_are_called():
    assert match([clip("walk")], sequences("predictions-final")) == [0]
    with pytest.raises(InvalidValueError, match="it has predictions-final; the clips are walk"):
        match([clip("walk")], sequences("predictions-final"), by_name=True)


def test_human36m_is_found_by_videopose3ds_names_and_its_order_of_cameras():
    actions = {"Walking 1": "Walking 1", "TakingPhoto": "Photo", "WalkingDog 1": "WalkDog 1"}
    clips, theirs = [], []
    for action, name in actions.items():
        for number, camera in enumerate(CAMERAS):
            about = {"subject": "S9", "action": action, "camera": camera, "dataset": "h36m"}
            clips.append(clip(f"S9/{action}.{camera}", f"S9/Videos/{action}.{camera}.mp4", **about))
            theirs.append(f"S9/{name}/{number}")
    order = np.random.default_rng(0).permutation(len(theirs)).tolist()
    found = match(clips, sequences(*(theirs[number] for number in order)), by_name=True)
    assert [order[number] for number in found if number is not None] == list(range(len(clips)))


def test_a_clip_that_the_file_lacks_has_none():
    assert match([clip("walk"), clip("run"), clip("jump")], sequences("jump", "walk")) == [1, None, 0]


def test_actors_of_one_video_share_its_people():
    actors = [clip(f"street/{actor}", "imageFiles/street") for actor in (0, 1)]
    assert match([*actors, clip("hall/0", "imageFiles/hall")], sequences("street", "hall")) == [0, 0, 1]


def test_a_stem_that_several_sources_have_tells_nothing_and_their_folders_do():
    clips = [clip(f"{subject}/walk", f"{subject}/walk.mp4") for subject in ("S1", "S2")]
    with pytest.raises(InvalidValueError, match=r"no sequence of the file is called like a clip: it has walk"):
        match(clips, sequences("walk"))
    assert match(clips, sequences("S2_walk", "S1_walk")) == [1, 0]
    assert match(clips, sequences("S2/walk", "S1/walk")) == [1, 0]


def test_a_name_that_fits_two_sequences_is_refused():
    with pytest.raises(InvalidValueError, match="2 sequences of the file are called walk"):
        match([clip("walk"), clip("run")], sequences("walk", "walk_json"))
