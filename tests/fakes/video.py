"""Small real videos and image folders whose frames say their own number, and ways to damage them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from auglift.pipeline.frames.sources import read

BITS = 12


def number_frames(count: int, height: int = 96, width: int = 128, first: int = 0, seed: int = 0) -> np.ndarray:
    """(count, height, width, 3) uint8 RGB frames that carry first, first + 1, ... in their picture.

    The upper half is twelve bars, white for a set bit (most significant left), wide enough to survive any codec that
    is not hopeless; the lower half is texture that moves, so that frames are predicted from one another.
    At least 48 pixels wide and 16 high.
    """
    if width < 4 * BITS or height < 16:
        raise ValueError(f"{width} x {height} is too small for {BITS} legible bars")
    texture = np.random.default_rng(seed).integers(40, 216, (height, width, 3), dtype=np.uint8)
    texture = np.asarray(Image.fromarray(texture).resize((width // 4, height // 4)).resize((width, height)))
    frames = np.empty((count, height, width, 3), np.uint8)
    for i in range(count):
        number = first + i
        frames[i] = np.roll(texture, (number % 7, 3 * number), axis=(0, 1))
        for bit in range(BITS):
            left, right = bit * width // BITS, (bit + 1) * width // BITS
            frames[i, : height // 2, left:right] = 235 if number >> (BITS - 1 - bit) & 1 else 20
    return frames


def read_number(frame: np.ndarray) -> int:
    """The number `number_frames` wrote into an (H, W, 3) frame, from the middle of each bar."""
    height, width = frame.shape[:2]
    number = 0
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        quarter = max((right - left) // 4, 1)
        number = number << 1 | int(frame[height // 8 : 3 * height // 8, left + quarter : right - quarter].mean() > 128)
    return number


def write_video(
    path: Path | str,
    frames: np.ndarray,
    fps: float | Fraction = 25,
    codec: str = "libx264",
    gop: int = 12,
    bframes: int = 0,
    *,
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    first_pts: int = 0,
    rotation: int = 0,
) -> Path:
    """Encode (N, H, W, 3) uint8 RGB frames with FFmpeg; the container follows the file's name.

    times       display times of the frames in ticks of 1 / (100 fps), for a variable frame rate; else regular
    first_pts   ticks added to every time: a stream that does not begin at zero
    rotation    degrees counterclockwise that a player turns the picture, as a telephone writes it
    options, container_options: FFmpeg's own for the encoder and the container.
    Keyframes come every `gop` frames and nowhere else.
    """
    path = Path(path)
    options = ({"sc_threshold": "0"} if codec == "libx264" else {}) | (options or {})
    rate = Fraction(fps).limit_denominator(100_000)
    tick = 1 / (100 * rate)
    with av.open(str(path), "w", container_options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], pix_fmt
        context = stream.codec_context
        context.gop_size, context.max_b_frames, context.thread_count = gop, bframes, 1
        if times is not None or first_pts:
            context.time_base = tick
        if rotation:
            stream.set_display_rotation(rotation)
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(format=pix_fmt, threads=1)  # with more it is not always the same to the byte
            if times is not None or first_pts:
                frame.time_base, frame.pts = tick, first_pts + (100 * i if times is None else times[i])
            else:
                frame.time_base, frame.pts = 1 / rate, i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_images(folder: Path | str, frames: np.ndarray, suffix: str = "png", name: str = "{:d}") -> Path:
    """One image file a frame, numbered from 1 by `name` (unpadded by default, so that only a natural sort is right)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in enumerate(frames):
        Image.fromarray(picture).save(folder / f"{name.format(i + 1)}.{suffix}", quality=95)
    return folder


def truncate(path: Path | str, keep: float) -> Path:
    """Cut a file off after the share `keep` of its bytes, in place."""
    path = Path(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def packet_places(path: Path | str) -> list[tuple[int, int]]:
    """(offset, size) in the file of every video packet's payload, in the order they are stored.

    Not for MPEG-TS and MPEG-PS, which cut payloads into pieces.
    """
    data = Path(path).read_bytes()
    places = []
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                # Matroska and AVI give the place of the block's header, a few bytes before.
                offset = data.find(bytes(packet), packet.pos or 0, (packet.pos or 0) + packet.size + 64)
                assert offset >= 0, f"{path} does not hold its packets in one piece"
                places.append((offset, packet.size))
    return places


def corrupt_packet(path: Path | str, packet: int, share: float = 1.0, seed: int = 0) -> Path:
    """Overwrite the last `share` of one packet's payload with noise, in place; `packet` counts in stored order."""
    path = Path(path)
    offset, size = packet_places(path)[packet]
    count = max(int(size * share), 1)
    data = bytearray(path.read_bytes())
    start = offset + size - count
    data[start : start + count] = np.random.default_rng(seed).integers(0, 256, count, dtype=np.uint8).tobytes()
    path.write_bytes(data)
    return path


def trim_start(source: Path | str, target: Path | str, frames: int) -> Path:
    """Copy an MP4's packets so that an edit list hides its first `frames` frames, as a cut without re-encoding does."""
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as reader, av.open(str(target), "w", container_options=options) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        assert stream.average_rate
        assert stream.time_base
        copy.time_base = stream.time_base
        hidden = round(frames / (stream.average_rate * stream.time_base))
        for packet in reader.demux(stream):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts, packet.stream = packet.pts - hidden, packet.dts - hidden, copy
                writer.mux(packet)
    return Path(target)


def read_all(path: Path, indices: Iterable[int], batch: int = 7, threads: int = 2):
    batches = list(read(path, list(indices), batch, threads))
    frames, ok, numbers = (np.concatenate([getattr(b, f) for b in batches]) for f in ("frames", "ok", "indices"))
    assert numbers.tolist() == list(indices)
    return frames, ok, [reason for b in batches for reason in b.reasons]
