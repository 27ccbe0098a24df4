"""Find what a video promises before it is decoded: size, number of frames, frame rate, and what to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from .demux import header_frames
from .packets import begins_whole, packet_index
from .pictures import picture_reader
from .pixels import picture_of
from .streams import choice_of_stream, cut_off, open_video
from .timeline import frame_rate, is_uneven


@dataclass(frozen=True)
class Promise:
    """The facts of a video.

    width, height   px as displayed
    fps             frames a second, the mean where the rate varies; None: not known
    frame_count     frames that the header promises, or that the file holds
    variable_rate   frames are not evenly spaced in time
    warnings        what a user should know, a line each
    """

    width: int
    height: int
    fps: float | None
    frame_count: int
    variable_rate: bool
    warnings: tuple[str, ...]


def promise_of(path: Path) -> Promise:
    """Return the facts of a video, from its header where that can be believed, else from its packets.

    Raises MissingFileError, InvalidValueError.
    """
    container, stream = open_video(path)
    warnings = []
    with container:
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        tick, aspect, note = float(stream.time_base or 0), stream.sample_aspect_ratio, choice_of_stream(path, container)
        is_avi = container.format.name == "avi"
        broken = cut_off(path, container.format.name)
        listed = _listed(path, container, stream)
    if listed:
        count, times = listed
    else:
        index = packet_index(path)
        count, times, broken = index.promised, index.times, index.is_cut_off
        if index.unplaced:
            warnings.append(f"cut off: its last {index.unplaced} frames belong behind missing ones and are left out")
        if len(index.segment_start) > 1:
            warnings.append(f"time falls back: it seems to be {len(index.segment_start)} files glued together")
    if broken:
        warnings.insert(0, "the file is cut off: its own headers say that there is more of it")
    uneven = is_uneven(times, 0.0 if is_avi else tick)  # AVI counts in frames, and rounds nothing
    if uneven:
        spacing = 1000 * np.diff(times)
        warnings.append(
            f"variable frame rate: frames lie {spacing.min():.0f} to {spacing.max():.0f} ms apart; "
            "frame numbers count frames"
        )
    if note:
        warnings.append(note)
    if aspect and aspect != 1:
        warnings.append(f"its pixels are not square (aspect {aspect}); frames are read as they are stored")
    width, height = picture_of(path).displayed
    return Promise(width, height, frame_rate(rate, times, tick, uneven), count, uneven, tuple(warnings))


def _listed(path: Path, container: InputContainer, stream: VideoStream) -> tuple[int, np.ndarray] | None:
    """Frames and their times from the header's list of packets; None where that does not tell what is a frame.

    Times are those of decoding, which lie as far apart as those of display. AVI does not list empty chunks.
    """
    count = header_frames(container, stream)
    if count is None or not picture_reader(stream).trusts_header:
        return None
    if container.format.name == "avi" and (stream.codec_context.codec.reorder or cut_off(path, "avi")):
        return None
    if not begins_whole(path):
        return None
    times = np.sort([e.timestamp for e in stream.index_entries if not e.is_discard]) * float(stream.time_base or 0)
    return count, times - times[0]
