"""What a store is made of: its keys, how the frame axis is cut into shards, and a shard into chunks."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InvalidValueError
from .families import array_path
from .schema import Field

SHARD_FRAMES = 8192
SMALLEST_CHUNK = 16

GROUP, SEQUENCES, PLAN, STATISTICS = "zarr.json", "sequences.parquet", "plan.json", "statistics.json"
# sha256 of everything but the shards, whose hashes the ledger has; in the form that `sha256sum --check` takes.
CHECKSUMS = "SHA256SUMS"
LEDGER = "ledger/"
# The dataset card, for people and for machines.
CARD, CROISSANT = "README.md", "croissant.json"


@dataclass(frozen=True)
class StoreLayout:
    """What fixes the shape of a store before a frame is seen.

    fields         the arrays it will hold
    frames         length of the frame axis
    shard_frames   frames a shard, the last one excepted
    Raises InvalidValueError where there is no frame, or shards cannot be cut into chunks of a sensible size.
    """

    fields: tuple[Field, ...]
    frames: int
    shard_frames: int = SHARD_FRAMES

    def __post_init__(self):
        if self.frames < 1:
            raise InvalidValueError("the store would hold no frame; give at least one readable source")
        if self.shard_frames < 1:
            raise InvalidValueError(f"a shard holds at least one frame, not {self.shard_frames}")
        for field in self.fields:
            if self.chunk_frames(field) < min(SMALLEST_CHUNK, self.shard_frames):
                multiple = max(1, round(self.shard_frames / field.chunk_frames)) * field.chunk_frames
                raise InvalidValueError(
                    f"shards of {self.shard_frames} frames cannot be cut into equal chunks; "
                    f"take --shard-frames {multiple}"
                )

    @property
    def shards(self) -> int:
        return -(-self.frames // self.shard_frames)

    def bounds(self, shard: int) -> tuple[int, int]:
        """Return the first frame of a shard, and one past its last."""
        return shard * self.shard_frames, min((shard + 1) * self.shard_frames, self.frames)

    def chunk_frames(self, field: Field) -> int:
        """Return the frames of a chunk: as many as the field prefers, or less where they must divide a shard."""
        wish = min(field.chunk_frames, self.shard_frames)
        if self.shards == 1:
            return wish
        return next(size for size in range(wish, 0, -1) if self.shard_frames % size == 0)

    def stored_shard_frames(self, field: Field) -> int:
        """Return the frames of a shard as Zarr counts them, in whole chunks. The last may be partly empty."""
        chunk = self.chunk_frames(field)
        return -(-self.shard_frames // chunk) * chunk

    @property
    def bytes(self) -> int:
        """Return the size of all arrays, uncompressed."""
        return self.frames * sum(f.frame_bytes for f in self.fields)


def ledger_key(shard: int) -> str:
    return f"{LEDGER}{shard:08d}.json"


def array_key(field: Field, shard: int) -> str:
    """Return the key of a shard of an array, also of a family's field as the store calls it (`uadd/paper@base`)."""
    return "/".join([array_path(field.name), "c", str(shard), *("0" for _ in field.shape)])


def array_metadata_keys(fields: tuple[Field, ...]) -> list[str]:
    """Zarr's metadata of every array and of the groups they are in, the store's own group excepted."""
    paths = {field.name for field in fields}
    for field in fields:
        parts = field.name.split("/")
        paths |= {"/".join(parts[:depth]) for depth in range(1, len(parts))}
    return sorted(f"{path}/{GROUP}" for path in paths)
