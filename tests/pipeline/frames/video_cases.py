"""Videos of one numbered film in every container and codec that matters."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

FRAMES = 40


OPEN_GROUPS = {"x264-params": "open-gop=1:scenecut=0:keyint=12:bframes=3"}


FAST_START = {"movflags": "faststart"}


@dataclass(frozen=True)
class Case:
    """A way to write a video."""

    file: str
    codec: str = "libx264"
    bframes: int = 0
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    first_pts: int = 0
    container: dict[str, str] = field(default_factory=dict)


CASES = {
    "mp4": Case("a.mp4"),
    "mp4, B-frames": Case("b.mp4", bframes=3, container=FAST_START),
    "mp4, open groups": Case("c.mp4", options=OPEN_GROUPS),
    "mp4, intra refresh": Case("d.mp4", options={"x264-params": "intra-refresh=1:keyint=12"}),
    "mp4, late start": Case("e.mp4", bframes=3, first_pts=1234),
    "mp4 in fragments": Case("f.mp4", bframes=3, container={"movflags": "frag_keyframe+empty_moov"}),
    "mp4, HEVC": Case("g.mp4", "libx265", bframes=3, options={"x265-params": "log-level=none"}),
    "mp4, MPEG-4": Case("h.mp4", "mpeg4", bframes=2),
    "mov, MJPEG": Case("i.mov", "mjpeg", pix_fmt="yuvj420p"),
    "mkv": Case("j.mkv", bframes=3),
    "mkv, FFV1": Case("k.mkv", "ffv1"),
    "webm, VP9": Case("l.webm", "libvpx-vp9"),
    "avi, MPEG-4": Case("m.avi", "mpeg4"),
    "avi, B-frames": Case("n.avi", "mpeg4", bframes=2),
    "avi, H.264 with B-frames": Case("o.avi", bframes=3),
    "avi, MJPEG": Case("p.avi", "mjpeg", pix_fmt="yuvj420p"),
    "ts": Case("q.ts", bframes=3),
    "mpg": Case("r.mpg", "mpeg2video", bframes=2),
    "no container": Case("s.h264", bframes=3),
}


def decode_all(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
