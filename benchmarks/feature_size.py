"""What does compression do to learned features: how small do they get, how fast do they come back, what is lost?

Features of the tiny pose and depth networks, which are trained, at the joints of rendered people: what noise says of
compression says nothing of these. Each way is tried on chunks of 64 frames, as a store has them. int8 has a scale and
an offset for each channel of a chunk, from its smallest to its largest value; its error is the root of the mean square,
as a share of the channel's standard deviation. Speed is of decoding, on one core, in GB/s of float16.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numcodecs import Blosc

from auglift.stores.format.schema import FEATURES, WIDE_CHUNK_FRAMES
from auglift.stores.reading.store import FeatureStore

from .harness import Row, main, measure

Codec = tuple[Callable[[np.ndarray], bytes], Callable[[bytes], object]]


def blosc(name: str, level: int, shuffle: int) -> Codec:
    codec = Blosc(cname=name, clevel=level, shuffle=shuffle)
    return lambda values: codec.encode(np.ascontiguousarray(values)), codec.decode


CODECS: dict[str, Codec] = {
    "zstd, shuffle": blosc("zstd", 3, Blosc.SHUFFLE),
    "zstd, bitshuffle": blosc("zstd", 3, Blosc.BITSHUFFLE),
    "zstd 9, bitshuffle": blosc("zstd", 9, Blosc.BITSHUFFLE),
    "lz4, bitshuffle": blosc("lz4", 5, Blosc.BITSHUFFLE),
}


def to_int8(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(frames, joints, channels) as uint8 with low and step (channels,) of each channel."""
    rows = values.reshape(-1, values.shape[-1]).astype(np.float32)
    low, high = rows.min(axis=0), rows.max(axis=0)
    step = np.where(high > low, (high - low) / 255, 1).astype(np.float32)
    return np.rint((rows - low) / step).astype(np.uint8), low, step


def from_int8(codes: np.ndarray, low: np.ndarray, step: np.ndarray) -> np.ndarray:
    return (codes * step + low).astype(np.float16)


def stream_rows(stream: str, chunks: list[np.ndarray]) -> list[Row]:
    raw = sum(chunk.nbytes for chunk in chunks)
    found = []
    for name, (encode, decode) in CODECS.items():
        encoded = [encode(chunk) for chunk in chunks]
        seconds = measure(lambda: [decode(each) for each in encoded], 0.3)  # noqa: B023
        share = sum(map(len, encoded)) / raw
        found.append(Row(f"{stream}, {name}: size", share, "of float16", f"decoded at {raw / seconds / 1e9:.2g} GB/s"))
    made = [to_int8(chunk) for chunk in chunks]
    encode, decode = CODECS["zstd, shuffle"]
    encoded = [encode(codes) for codes, _, _ in made]

    def back() -> list[np.ndarray]:
        values = []
        for data, (codes, low, step) in zip(encoded, made, strict=True):
            read = np.frombuffer(decode(data), np.uint8).reshape(codes.shape)  # type: ignore[call-overload]
            values.append(from_int8(read, low, step))
        return values

    seconds = measure(back, 0.3)
    rows = np.concatenate([chunk.reshape(-1, chunk.shape[-1]) for chunk in chunks]).astype(np.float64)
    spread = rows.std(axis=0)
    error = np.sqrt(np.square(np.concatenate(back()) - rows).mean(axis=0))[spread > 0] / spread[spread > 0]
    plain = sum(codes.nbytes + low.nbytes + step.nbytes for codes, low, step in made) / raw
    small = (sum(map(len, encoded)) + sum(low.nbytes + step.nbytes for _, low, step in made)) / raw
    text = f"decoded at {raw / seconds / 1e9:.2g} GB/s"
    return [
        *found,
        Row(f"{stream}, int8: size", plain, "of float16"),
        Row(f"{stream}, int8 and zstd: size", small, "of float16", text),
        Row(f"{stream}, int8: error, median channel", 100 * float(np.median(error)), "% of its deviation"),
        Row(f"{stream}, int8: error, worst channel", 100 * float(error.max()), "% of its deviation"),
    ]


def chunks_of(store: FeatureStore, field: str) -> list[np.ndarray]:
    """Chunks of frames that show somebody."""
    values = store.read(field)[store.read("valid") > 0]
    values = values[np.isfinite(values).all(axis=(1, 2))]
    return [values[at : at + WIDE_CHUNK_FRAMES] for at in range(0, len(values) - WIDE_CHUNK_FRAMES, WIDE_CHUNK_FRAMES)]


def rows(quick: bool) -> list[Row]:
    folder = Path(tempfile.mkdtemp(prefix="auglift-features-"))
    try:
        clips, frames = ("4", "40") if quick else ("12", "80")
        size = ["--clips", clips, "--frames", frames, "--cache", str(folder / "cache")]
        call = ["synth", "--domain", "studio", *size, "--features", ",".join(FEATURES), "--out", str(folder / "s.zarr")]
        subprocess.run([sys.executable, "-m", "auglift.cli.prep.main", *call], check=True, stdout=subprocess.DEVNULL)
        store = FeatureStore.open(folder / "s.zarr")
        return [row for stream, field in FEATURES.items() for row in stream_rows(stream, chunks_of(store, field))]
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(rows, __doc__)
