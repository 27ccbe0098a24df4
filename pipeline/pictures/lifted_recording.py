"""A recording of a lifted clip for the rerun viewer: frames, joints by confidence, 3D skeletons; written headless."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...stores.errors import MissingExtraError, StoreWriteError
from ...stores.format.skeleton import H36M_17
from ..frames.sources import read
from .overlay import Person
from .picture import CONFIDENCE
from .turning import side_colour

_LONGEST = 960  # px: the longer side of a frame, which is kept no larger
_QUALITY = 85  # of JPEG
_BONES = np.array(H36M_17.bones)


def require_rerun() -> None:
    """Raise MissingExtraError where rerun is not installed."""
    try:
        import rerun  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("--rrd needs rerun: pip install 'auglift[viz]', or leave it out") from error


def record(source: Path, source_frames: np.ndarray, fps: float, people: Sequence[Person], out: Path) -> None:
    """Write a recording (.rrd). Timelines: `frame` of the source, and `time` in seconds since the clip began.

    Raises MissingExtraError without rerun, StoreWriteError where the file cannot be written.
    """
    require_rerun()
    import rerun as rr

    temporary = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise StoreWriteError(f"{out} cannot be written ({error.strerror or error}); choose another --out") from error
    stream: Any = rr.RecordingStream("auglift", recording_id=out.stem)
    stream.save(str(temporary))
    stream.log("world", rr.ViewCoordinates.RDF, static=True)  # the camera's axes: x right, y down, z away
    colours = np.array([side_colour(joint) for joint in range(len(H36M_17))], np.uint8)
    row = 0
    for batch in read(source, source_frames, 8, 1):
        for image, number in zip(batch.frames, batch.indices.tolist(), strict=True):
            stream.set_time("frame", sequence=number)
            stream.set_time("time", duration=row / fps)
            scale = min(_LONGEST / max(image.shape[:2]), 1.0)
            stream.log("camera/image", rr.EncodedImage(contents=_jpeg(image, scale), media_type="image/jpeg"))
            for person in people:
                _log_person(rr, stream, person, row, scale, colours)
            row += 1
    stream.flush()
    stream.disconnect()
    temporary.replace(out)


def _log_person(rr: Any, stream: Any, person: Person, row: int, scale: float, colours: np.ndarray) -> None:
    from matplotlib import colormaps

    flat, solid = f"camera/image/{person.name}", f"world/{person.name}"
    at, pose = person.keypoints[row] * scale, person.pose[row]
    if not np.isfinite(at).all():
        for place in (flat, solid):
            stream.log(place, rr.Clear(recursive=True))
        return
    confidence = np.clip(np.nan_to_num(person.score[row]), 0, 1)
    by_confidence = np.rint(colormaps[CONFIDENCE](confidence)[:, :3] * 255).astype(np.uint8)
    stream.log(f"{flat}/bones", rr.LineStrips2D(at[_BONES], colors=[255, 255, 255], radii=1.0))
    stream.log(f"{flat}/joints", rr.Points2D(at, colors=by_confidence, radii=4.0))
    if np.isfinite(pose).all():
        stream.log(f"{solid}/bones", rr.LineStrips3D(pose[_BONES], colors=colours[_BONES[:, 1]], radii=0.012))
        stream.log(f"{solid}/joints", rr.Points3D(pose, colors=colours, radii=0.02))


def _jpeg(image: np.ndarray, scale: float) -> bytes:
    size = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    small = image if scale == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
