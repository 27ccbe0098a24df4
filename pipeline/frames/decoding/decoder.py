"""Use FFmpeg's decoder: open it with care, feed it packets by number, and notice when it fails."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from .streams import open_video

# `explode`, stopping at the first error, only where each frame stands alone: elsewhere FFmpeg flags the frame anyway,
# and with `explode` what else it drops depends on the number of threads.
_ERROR_DETECTION = {"mjpeg": "crccheck+bitstream+buffer+explode"}
_ERROR_DETECTION_OF_OTHERS = "crccheck+bitstream+buffer"
# A thread of the H.264 decoder may give out a frame before another has found it damaged, so that it is not flagged.
# With `explode` there is an error as well. It is for an attempt that is given up at the first error.
_ERROR_DETECTION_OF_THREADS = {"h264": "crccheck+bitstream+buffer+explode"}
# With frame threads, FFmpeg's FFV1 decoder lets a damaged frame spoil the one before it, and its MPEG-4 decoder may
# forget that a frame is damaged when another thread gives it out.
_THREAD_TYPE = {"ffv1": "SLICE", "mpeg4": "SLICE", "vp8": "SLICE"}
# Its VP8 decoder notices a damaged frame only with several threads to a frame.
_FEWEST_THREADS = {"vp8": 2}
# Where a stream does not say how far it reorders pictures, FFmpeg's H.264 decoder guesses, and drops a frame each time
# it finds that it has guessed too low. This makes it wait as long as the standard allows instead.
_OPTIONS = {"h264": {"strict": "strict"}}
# An access unit delimiter (ITU-T H.264, section 7.3.2.4): a NAL unit without a picture.
_DELIMITER = b"\x09\xf0"


class Fed(NamedTuple):
    """The result of feeding one packet: frames, each with the number of its own packet, and whether decoding failed.

    With one thread it is this packet that failed; with more, it or one shortly before.
    """

    frames: list[tuple[int, av.VideoFrame]]
    failed: bool


def open_decoder(path: Path, threads: int, *, strict: bool = False) -> tuple[InputContainer, VideoStream]:
    """Open the container and the stream that is read, with its decoder set up. Raises as `open_video`.

    threads   FFmpeg's; 0: as many as it likes
    strict    report an error rather than miss damage
    """
    container, stream = open_video(path)
    context = stream.codec_context
    context.thread_type = _THREAD_TYPE.get(context.name, "AUTO")
    context.thread_count = max(threads, _FEWEST_THREADS.get(context.name, 0))
    detection = _ERROR_DETECTION.get(context.name, _ERROR_DETECTION_OF_OTHERS)
    if strict and threads != 1:
        detection = _ERROR_DETECTION_OF_THREADS.get(context.name, detection)
    context.options = {"err_detect": detection} | _OPTIONS.get(context.name, {})
    return container, stream


def feed(packet: av.Packet | None, ordinal: int, stream: VideoStream) -> Fed:
    """Feed packet number `ordinal` (None: the end of what belongs together).

    The number travels through the decoder as the display time, which decoders hand on unread. (PyAV's `opaque` would
    be the field for this, but a decoder that is closed while its threads work then waits for ever: they need the
    interpreter's lock to let go of it.)
    """
    if packet is not None:
        packet.pts, packet.dts = ordinal, None
    try:
        frames = stream.codec_context.decode(packet)
    except av.error.FFmpegError:
        return Fed([], True)
    return Fed([(-1 if frame.pts is None else frame.pts, frame) for frame in frames], False)


def finish(stream: VideoStream) -> Fed:
    """Return what the decoder still holds; afterwards it knows of no frame that it was fed."""
    settled = _settle(stream)
    rest = feed(None, -1, stream)
    stream.codec_context.flush_buffers()
    return Fed(settled.frames + rest.frames, settled.failed or rest.failed)


def _settle(stream: VideoStream) -> Fed:
    """Wait until no thread of an H.264 decoder has a packet in hand.

    If it is flushed earlier, it may give one out before the thread at work on it has found it damaged. A packet
    without a picture in it for each thread makes the decoder wait for all before.
    """
    context = stream.codec_context
    frames: list[tuple[int, av.VideoFrame]] = []
    failed = False
    if context.name == "h264" and context.is_open and context.thread_count > 1:
        sizes = (bytes(context.extradata or b"\0")[:5] + bytes(5))[:5]
        prefix = len(_DELIMITER).to_bytes((sizes[4] & 3) + 1) if sizes[0] == 1 else b"\0\0\0\1"
        usual, context.skip_frame = context.skip_frame, "NONREF"  # else no picture is an error
        for _ in range(context.thread_count):
            came = feed(av.Packet(prefix + _DELIMITER), -1, stream)
            frames, failed = frames + came.frames, failed or came.failed
        context.skip_frame = usual
    return Fed(frames, failed)
