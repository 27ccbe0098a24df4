"""decoding/video.py: videos as cameras write them, with more beside their pictures than PyAV has names for."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from auglift.pipeline.frames.sources import probe

from ....fakes.video import number_frames, read_all, read_number


def write_motion_jpeg(path: Path, frames: np.ndarray) -> Path:
    """Motion JPEG whose every picture carries Exif, as photographs do."""
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuvj420p"
        for number, frame in enumerate(frames):
            data = io.BytesIO()
            Image.fromarray(frame).save(data, "JPEG", exif=exif, quality=90)
            packet = av.Packet(data.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 25)
            packet.is_keyframe = True
            container.mux(packet)
    return path


@pytest.mark.parametrize("ending", ["mov", "mkv", "avi"])
def test_motion_jpeg_with_exif_is_read(tmp_path, ending):
    path = write_motion_jpeg(tmp_path / f"a.{ending}", number_frames(6, 96, 192))
    info = probe(path)
    assert (info.width, info.height, info.frame_count) == (192, 96, 6)
    frames, ok, reasons = read_all(path, range(6))
    assert ok.all(), reasons
    assert [read_number(frame) for frame in frames] == list(range(6))
