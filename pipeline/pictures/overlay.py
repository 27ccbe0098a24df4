"""A video of a clip and what was lifted from it: joints by confidence, the depth map, a slowly turning 3D skeleton."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from ...stores.errors import StoreWriteError
from ...stores.format.skeleton import H36M_17
from ..frames.sources import read
from .panels import DepthMap
from .picture import CONFIDENCE, DEPTH
from .turning import INK, LEFT, PAPER, RIGHT, TurningView, put_text

# px. The frame keeps its aspect, within this width.
HEIGHT, WIDEST, LEGEND = 540, 960, 40
_BATCH = 8
_DARK = (28, 24, 20)
# No looking ahead: what x264 then sees of a picture is not the same to the byte in every process.
_X264 = {
    "preset": "veryfast",
    "crf": "20",
    "threads": "1",
    "x264-params": "sliced-threads=0:sync-lookahead=0:rc-lookahead=0:mbtree=0:bframes=0:weightp=0:scenecut=0",
}
_BLOCK = 16  # px: H.264's


@dataclass(frozen=True)
class Person:
    """One person by frame: keypoints (T, 17, 2) px, score (T, 17), pose (T, 17, 3) m; NaN where not found."""

    name: str
    keypoints: np.ndarray
    score: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True)
class Maps:
    """Depth maps of the frames: how to make them, the range of their colours, in which unit."""

    of: DepthMap
    low: float
    high: float
    unit: str = "m"


def overlay(
    source: Path,
    source_frames: np.ndarray,
    fps: float,
    people: Sequence[Person],
    out: Path,
    maps: Maps | None = None,
    on_frames: Callable[[int], None] = lambda count: None,
) -> None:
    """Draw a video of these frames of a source, H.264; the same input gives the same bytes.

    on_frames   called with the number of frames that are done
    A frame that cannot be read is black. StoreWriteError where the file cannot be written.
    """
    view = TurningView([person.pose for person in people], [person.name for person in people], fps, HEIGHT)
    drawn = 0
    with _encoder(out, fps) as encode:
        for batch in read(source, source_frames, _BATCH, 1):
            for image, ok, number in zip(batch.frames, batch.ok.tolist(), batch.indices.tolist(), strict=True):
                scale = min(HEIGHT / image.shape[0], WIDEST / image.shape[1])
                size = max(round(image.shape[1] * scale), 2), max(round(image.shape[0] * scale), 2)
                panels = [_frame(image, size, scale, people, drawn)]
                if maps is not None:
                    depth = maps.of(source, number, image) if ok else np.full((2, 2), np.nan)
                    panels.append(_depth(depth, size, scale, people, drawn, maps))
                panels.append(view.draw(drawn))
                canvas = _beside(panels)
                encode(np.concatenate([canvas, _legend(canvas.shape[1], number, maps)]))
                drawn += 1
            on_frames(drawn)


def _frame(image: np.ndarray, size: tuple[int, int], scale: float, people: Sequence[Person], row: int) -> np.ndarray:
    picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    for person in people:
        at = _pixels(person.keypoints[row], scale)
        colours = _colours(CONFIDENCE, np.clip(np.nan_to_num(person.score[row]), 0, 1))
        for first, last in ((at[a], at[b]) for a, b in H36M_17.bones):
            if first is not None and last is not None:
                cv2.line(picture, first, last, _DARK, 4, cv2.LINE_AA)
                cv2.line(picture, first, last, (255, 255, 255), 2, cv2.LINE_AA)
        for place, colour in zip(at, colours.tolist(), strict=True):
            if place is not None:
                cv2.circle(picture, place, 5, _DARK, -1, cv2.LINE_AA)
                cv2.circle(picture, place, 4, colour, -1, cv2.LINE_AA)
        head = at[H36M_17.index("head")]
        if len(people) > 1 and head is not None:
            put_text(picture, person.name, (head[0] - 30, max(head[1] - 14, 14)), (255, 255, 255), halo=_DARK)
    return picture


def _depth(
    depth: np.ndarray, size: tuple[int, int], scale: float, people: Sequence[Person], row: int, maps: Maps
) -> np.ndarray:
    share = (depth - maps.low) / max(maps.high - maps.low, 1e-6)
    colours = _colours(DEPTH, np.clip(np.nan_to_num(share), 0, 1)).astype(np.uint8)
    picture = cv2.resize(colours, size, interpolation=cv2.INTER_LINEAR)
    for person in people:
        for place in _pixels(person.keypoints[row], scale):
            if place is not None:
                cv2.circle(picture, place, 3, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def _pixels(keypoints: np.ndarray, scale: float) -> list[tuple[int, int] | None]:
    # The centre of the first pixel is (0, 0) in both pictures.
    places = (keypoints + 0.5) * scale - 0.5
    return [(round(x), round(y)) if np.isfinite(x + y) and abs(x) + abs(y) < 1e5 else None for x, y in places.tolist()]


def _colours(name: str, values: np.ndarray) -> np.ndarray:
    from matplotlib import colormaps

    return np.rint(colormaps[name](values)[..., :3] * 255)


def _beside(panels: Sequence[np.ndarray]) -> np.ndarray:
    high = max(panel.shape[0] for panel in panels)
    padded = []
    for panel in panels:
        above = (high - panel.shape[0]) // 2
        padded.append(cv2.copyMakeBorder(panel, above, high - panel.shape[0] - above, 0, 0, 0, value=PAPER))
    canvas = np.concatenate(padded, axis=1)
    # Whole blocks, with the legend below, so that no encoder has to make up what lies beyond.
    below, beside = -(canvas.shape[0] + LEGEND) % _BLOCK, -canvas.shape[1] % _BLOCK
    return cv2.copyMakeBorder(canvas, 0, below, 0, beside, 0, value=PAPER)


def _legend(width: int, number: int, maps: Maps | None) -> np.ndarray:
    bar = np.full((LEGEND, width, 3), PAPER, np.uint8)
    x = _scale(bar, 10, "confidence 0", CONFIDENCE, "1")
    if maps is not None:
        x = _scale(bar, x, f"depth {maps.low:.1f}", DEPTH, f"{maps.high:.1f} {maps.unit}")
    for name, colour in (("left", LEFT), ("right", RIGHT)):
        cv2.line(bar, (x, LEGEND // 2), (x + 22, LEGEND // 2), colour, 4, cv2.LINE_AA)
        x = put_text(bar, name, (x + 28, LEGEND // 2 + 5), INK) + 16
    put_text(bar, f"frame {number}", (x, LEGEND // 2 + 5), INK)
    return bar


def _scale(bar: np.ndarray, x: int, before: str, colours: str, after: str) -> int:
    x = put_text(bar, before, (x, LEGEND // 2 + 5), INK) + 6
    ramp = _colours(colours, np.linspace(0, 1, 90)[None]).astype(np.uint8)
    stop = min(x + 90, bar.shape[1])
    bar[LEGEND // 2 - 6 : LEGEND // 2 + 6, x:stop] = ramp[:, : max(stop - x, 0)]
    return put_text(bar, after, (x + 96, LEGEND // 2 + 5), INK) + 20


@contextmanager
def _encoder(out: Path, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that takes frames (H, W, 3) uint8 RGB; the file has its name when all is well."""
    temporary = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with av.open(
            str(temporary), "w", format="mp4", options={"fflags": "+bitexact", "movflags": "faststart"}
        ) as file:
            rate = Fraction(fps).limit_denominator(1000)
            stream: Any = None
            count = 0

            def encode(image: np.ndarray) -> None:
                nonlocal stream, count
                if stream is None:
                    stream = file.add_stream("libx264", rate=rate, options=_X264)
                    stream.width, stream.height, stream.pix_fmt = image.shape[1], image.shape[0], "yuv420p"
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                frame = frame.reformat(format="yuv420p", threads=1)  # with more it is not always the same to the byte
                frame.time_base, frame.pts = 1 / rate, count
                count += 1
                file.mux(stream.encode(frame))

            yield encode
            if stream is not None:
                file.mux(stream.encode(None))
        temporary.replace(out)
    except OSError as error:
        raise StoreWriteError(f"{out} cannot be written ({error.strerror or error}); choose another --out") from error
    finally:
        temporary.unlink(missing_ok=True)
