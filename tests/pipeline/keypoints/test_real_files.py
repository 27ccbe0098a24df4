"""Real detections of a real recording: OpenPose's of Pose2Sim's balancing person, against the triangulated markers.

The JSON files come with Pose2Sim 0.4.5 (`pip download --no-deps pose2sim==0.4.5`, folder Pose2Sim/Demo/pose of the
wheel). AUGLIFT_OPENPOSE names that folder, with cam1_json to cam4_json in it; without it the test skips.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from auglift.pipeline.datasets.calibrated import calibrated
from auglift.pipeline.datasets.formats.markers import MARKERS
from auglift.pipeline.keypoints.given import KeypointOptions, give
from auglift.pipeline.networks.substitutes.given import GIVEN
from auglift.stores.format.skeleton import H36M_17


@pytest.fixture(scope="module")
def openpose() -> str:
    place = os.environ.get("AUGLIFT_OPENPOSE", "")
    if not (Path(place) / "cam1_json").is_dir():
        pytest.skip("needs the OpenPose files of Pose2Sim 0.4.5 where AUGLIFT_OPENPOSE says")
    return place


def test_real_openpose_joints_lie_on_the_person_that_was_filmed(shared_data, openpose):
    folder = shared_data / "pose2sim"
    videos = sorted((folder / "single").glob("*.mp4"))
    found = calibrated(videos, folder / "Calib_qualisys.toml", folder / "balancing_0-100.trc", MARKERS)
    clips, stand_in, notes, absent = give(found.clips, KeypointOptions(openpose))
    assert absent == []
    assert stand_in.describe()["skeleton"] == "body-25b", "25 joints, but in another order than OpenPose's usual ones"
    assert any("by its 25 joints and where they lie" in line for line in notes)
    for clip in clips:
        assert clip.keypoints is not None
        assert clip.truth is not None
        frames = np.arange(clip.count)
        known = clip.truth.read(frames)
        true, joints = known["target/keypoints"], clip.keypoints.read(frames, known["bbox"])[GIVEN][..., :2]
        distance, exchanged = (
            np.nanmedian(np.linalg.norm(joints - each, axis=-1)) for each in (true, true[:, H36M_17.flip])
        )
        assert distance < 25, clip.id  # px; the person is some 1000 px tall
        assert distance < exchanged / 2, clip.id
