"""Kill a merge inside each of its writes, run it again, compare: python -m tests.fakes.killed_merge FOLDER."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from auglift.stores.derived.job import derive
from auglift.stores.derived.merge import merge_plan
from auglift.stores.locations.base import Location

from .derived import Part
from .families import MadeFamily
from .killed import in_a_fork, kill_in_every_write

# The second store moves by a frame, so that the merged one has shards that are copied, and others that are not.
PARTS = tuple(
    Part(lengths=lengths, shard_frames=6, prefix=prefix, seed=seed, only=("keypoints", "valid"), unreadable=(2,))
    for seed, (prefix, lengths) in enumerate([("a", (7, 6)), ("b", (4,))])
)


def write_parts(folder: Path) -> list[Path]:
    """The stores that are merged, finished; no job here changes them."""
    paths = [folder / f"part {number}" for number in range(len(PARTS))]
    for part, path in zip(PARTS, paths, strict=True):
        part.run(path)
        MadeFamily(fields=("radius/paper",)).run(path)
    return paths


def merge(paths: Sequence[str | Path], out: Path | Location) -> None:
    derive(merge_plan(paths), out)


def main(folder: Path) -> None:
    paths = [folder / f"part {number}" for number in range(len(PARTS))]
    assert in_a_fork(lambda: write_parts(folder)) == 0
    kill_in_every_write(lambda out: merge(paths, out), folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
