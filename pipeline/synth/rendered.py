"""Rendered clips on disk: an H.264 video, its ground truth and, where wanted, its depth; written whole or not at all.

<folder>/<clip>/video.mp4     H.264, yuv420p; the same bytes whenever it is drawn by the same versions
<folder>/<clip>/truth.npz     pose3d (n, 17, 3) m and keypoints (n, 17, 2) px of H36M-17, visible (n, 17), bbox
                              (n, 4) px, hidden (n,) share of the person that something covers, intrinsics (4,) px
<folder>/<clip>/depth.zarr    (n, H, W) uint16, millimetres along the optical axis
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from fractions import Fraction
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import zarr
from zarr.codecs import BloscCodec

from ...stores.errors import StoreWriteError
from .clip import Clip
from .motion.mocap import MocapArchive
from .video import render_clip

VIDEO, TRUTH, DEPTH = "video.mp4", "truth.npz", "depth.zarr"
MILLIMETRE = 1e-3
_FARTHEST = 65535  # mm
_CHUNK = 8  # frames of a chunk of depth, and of a batch that is drawn at once

# One thread and nothing that depends on the machine's speed: the same frames give the same bytes. Quality is high,
# because the pixels are what the networks see; a keyframe a second lets a worker begin anywhere.
_X264 = {"preset": "veryfast", "crf": "16", "threads": "1", "x264-params": "sliced-threads=0:sync-lookahead=0"}


def render_clips(
    clips: Sequence[Clip],
    folder: Path,
    depth: bool,
    archive: MocapArchive | None = None,
    workers: int = 1,
    on_frames: Callable[[int], None] = lambda count: None,
) -> int:
    """Draw what is missing of clips into a folder; returns how many clips that were.

    depth      keep the exact depth of every pixel too
    workers    processes, of one thread each; they change no byte
    on_frames  called with the number of frames of each clip that is done, those that were there already first
    Each clip appears whole, under its name, when it is done: whenever this is stopped, the next call goes on.
    Raises StoreWriteError where the folder cannot be written or the disk is full; nothing half-written is left.
    """
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
    missing = [clip for clip in clips if not is_drawn(clip, folder, depth)]
    on_frames(sum(clip.frames for clip in clips) - sum(clip.frames for clip in missing))
    workers = min(workers, len(missing))
    if workers <= 1:
        for clip in missing:
            write_clip(clip, folder, depth, archive)
            on_frames(clip.frames)
        return len(missing)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_begin_worker, initargs=(archive,)) as pool:
        try:
            for done in as_completed([pool.submit(_write, clip, folder, depth) for clip in missing]):
                on_frames(done.result())
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return len(missing)


def is_drawn(clip: Clip, folder: Path, depth: bool) -> bool:
    """Whether all that is wanted of a clip is there."""
    return all((folder / clip.id / name).exists() for name in (VIDEO, TRUTH, *([DEPTH] if depth else [])))


def write_clip(clip: Clip, folder: Path, depth: bool, archive: MocapArchive | None = None) -> None:
    """Draw a clip into `folder`, under its id. What is there of it already stays; see `render_clips` for errors."""
    target = folder / clip.id
    part = folder / f".{clip.id}.{os.getpid()}.part"
    with _writing(folder):
        try:
            part.mkdir(parents=True)
            _draw(clip, part, depth, archive)
            try:
                part.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
                # Drawn before without depth, or by another process meanwhile: the files are the same.
                for name in (VIDEO, TRUTH, DEPTH):
                    if (part / name).exists() and not (target / name).exists():
                        (part / name).rename(target / name)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _draw(clip: Clip, part: Path, depth: bool, archive: MocapArchive | None) -> None:
    known: dict[str, list[np.ndarray]] = {}
    maps = _DepthWriter(part / DEPTH, clip) if depth else None
    encoded = io.BytesIO()
    # In memory: libav says of a full disk only that it failed.
    with _encoder(encoded, clip) as encode:
        for batch in render_clip(clip, archive, batch=_CHUNK):
            encode(batch.image.numpy())
            if maps is not None:
                maps.append(batch.depth.numpy())
            of_subject = {
                "pose3d": batch.joints_h36m,
                "keypoints": batch.keypoints_h36m,
                "visible": batch.visible_h36m,
                "bbox": batch.boxes[:, 0],
                "hidden": batch.hidden[:, 0],
            }
            for name, values in of_subject.items():
                known.setdefault(name, []).append(values.numpy())
            intrinsics = batch.intrinsics.numpy()
    if maps is not None:
        maps.close()
    _write_file(part / VIDEO, encoded.getvalue())
    truth = io.BytesIO()
    arrays: dict[str, Any] = {name: np.concatenate(parts) for name, parts in known.items()}
    np.savez(truth, intrinsics=intrinsics, **arrays)
    _write_file(part / TRUTH, truth.getvalue())


@contextlib.contextmanager
def _encoder(file: io.BytesIO, clip: Clip) -> Iterator[Callable[[np.ndarray], None]]:
    """A function that takes (B, H, W, 3) uint8 RGB frames."""
    rate = Fraction(clip.fps).limit_denominator(1000)
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("libx264", rate=rate, options=_X264)
        stream.width = stream.height = clip.size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = max(round(clip.fps), 1)
        stream.codec_context.max_b_frames = 0

        def encode(images: np.ndarray) -> None:
            for image in images:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                # With more threads it is not always the same to the byte.
                container.mux(stream.encode(frame.reformat(format="yuv420p", threads=1)))

        yield encode
        container.mux(stream.encode(None))


class _DepthWriter:
    """Depth maps as they are drawn, `_CHUNK` frames at a time."""

    def __init__(self, path: Path, clip: Clip) -> None:
        shape = (clip.frames, clip.size, clip.size)
        self._array = zarr.create_array(
            path,
            shape=shape,
            chunks=(_CHUNK, *shape[1:]),
            dtype="uint16",
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
            dimension_names=("frame", "y", "x"),
            attributes={"unit": "mm"},
        )
        self._digest = hashlib.sha256()
        self._row = 0

    def append(self, depth: np.ndarray) -> None:
        """(B, H, W) metres."""
        millimetres = np.clip(np.rint(depth / MILLIMETRE), 0, _FARTHEST).astype("<u2")
        self._array[self._row : self._row + len(depth)] = millimetres
        self._row += len(depth)
        self._digest.update(millimetres.tobytes())

    def close(self) -> None:
        self._array.attrs["sha256"] = self._digest.hexdigest()


def _write_file(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except StoreWriteError:
        raise
    except OSError as error:
        if error.errno is None:
            raise
        raise StoreWriteError(
            f"clips cannot be written to {folder}: {error.strerror}; make room, or name another folder with --cache. "
            f"The clips that are finished stay"
        ) from error


def _sweep(folder: Path) -> None:
    """Take away what processes that are no more left unfinished."""
    for part in folder.glob(".*.part"):
        owner = part.name.rsplit(".", 2)[1]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(part, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# In a worker ----------------------------------------------------------------------------------------------------------

_archive: MocapArchive | None = None


def _begin_worker(archive: MocapArchive | None) -> None:
    global _archive
    _archive = archive
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """A worker whose parent was killed would wait for work for ever."""
    wait([sentinel])
    os._exit(1)


def _write(clip: Clip, folder: Path, depth: bool) -> int:
    write_clip(clip, folder, depth, _archive)
    return clip.frames
