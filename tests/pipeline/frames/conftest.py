"""Every case of a video, written once for the tests of this folder."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

from ...fakes.video import (
    number_frames,
    write_video,
)
from .video_cases import CASES, FRAMES, decode_all


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A function from a case's name to its file and its frames by a plain decode, each written once."""
    folder = tmp_path_factory.mktemp("videos")

    @functools.cache
    def video(name: str) -> tuple[Path, np.ndarray]:
        case = CASES[name]
        path = write_video(
            folder / case.file,
            number_frames(FRAMES, 48, 96),
            codec=case.codec,
            bframes=case.bframes,
            pix_fmt=case.pix_fmt,
            options=case.options,
            first_pts=case.first_pts,
            container_options=case.container,
        )
        return path, decode_all(path)

    return video
