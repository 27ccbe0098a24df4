"""The order of windows in an epoch: a pure function of (seed, epoch, rank, world size), the same on every machine.

Random numbers are a hash of counters (splitmix64), not NumPy's generators: those may change with a version of NumPy,
and a training must be resumable on another machine.

With a pool, blocks of frames are read in random order and `pool` of them lie in memory at any time. The windows of a
block are spread at random over the `pool` steps that it is there for, so a step has windows of every block in the pool:

    step t draws from blocks t, t + 1, ... t + pool - 1 (in the order in which they are read), then block t leaves
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# What a stream of random numbers is for; part of its seed.
_DRAW, _SHUFFLE, _BLOCKS, _PART, _STEP = range(5)


@dataclass(frozen=True)
class Order:
    """One rank's epoch.

    windows  (n,) int64: indices of windows, in order
    steps    (s + 1,) int64: step t is windows[steps[t] : steps[t + 1]]
    blocks   (k,) int64: blocks in the order in which they are read; step t needs blocks[t : t + pool] and no other.
             Empty without a pool: everything is in memory
    """

    windows: np.ndarray
    steps: np.ndarray
    blocks: np.ndarray
    pool: int


def random_keys(count: int, *seed: int) -> np.ndarray:
    """Return (count,) uint64, uniform: splitmix64 of the counters from a state that the seeds make."""
    state = 0
    for part in seed:
        state = int(_mix(np.array([(state ^ part) & _MASK], dtype=np.uint64) * _GOLDEN + _GOLDEN)[0])
    counters = np.arange(1, count + 1, dtype=np.uint64)
    counters *= _GOLDEN
    counters += np.uint64(state)
    return _mix(counters)


def permutation(count: int, *seed: int) -> np.ndarray:
    """Return (count,) int64: a permutation of 0 ... count - 1 that the seeds choose."""
    keys = random_keys(count, *seed)
    # The index in the lowest bits makes keys distinct, and sorting them is several times faster than an argsort.
    bits = np.uint64(max(count - 1, 1).bit_length())
    keys >>= bits
    keys <<= bits
    keys |= np.arange(count, dtype=np.uint64)
    keys.sort()
    keys &= (np.uint64(1) << bits) - np.uint64(1)
    return keys.view(np.int64)


def draw(counts: Sequence[int], weights: Sequence[float], seed: int, epoch: int) -> np.ndarray:
    """Return (m,) int64, ascending: an epoch's windows. Those of group g are counts[0] + ... + counts[g - 1] onwards.

    A weight is how often an epoch goes through its group: 1 once, 2.5 twice and through a random half, 0.1 through a
    random tenth, another one each epoch.
    """
    if all(weight == 1 for weight in weights):
        return np.arange(sum(counts))
    drawn, first = [], 0
    for group, (count, weight) in enumerate(zip(counts, weights, strict=True)):
        whole = int(weight)
        some = permutation(count, seed, epoch, _DRAW, group)[: round((weight - whole) * count)]
        drawn.append(np.sort(np.concatenate([np.tile(np.arange(count), whole), some])) + first)
        first += count
    return np.concatenate(drawn)


def drawn_windows(counts: Sequence[int], weights: Sequence[float]) -> int:
    """Return how many windows `draw` gives, in every epoch."""
    return sum(
        int(weight) * count + round((weight - int(weight)) * count)
        for count, weight in zip(counts, weights, strict=True)
    )


def share(count: int, rank: int, world_size: int, unit: int = 1) -> tuple[int, int]:
    """Return the first and one past the last of a rank's part of `count`: nearly equal, longer parts first.

    unit   parts are multiples of it; what is more than a multiple in `count` is nobody's
    """
    each, longer = divmod(count // unit, world_size)
    first = rank * each + min(rank, longer)
    return unit * first, unit * (first + each + (rank < longer))


def sequential_order(
    windows: np.ndarray, block: np.ndarray | None, rank: int = 0, world_size: int = 1, unit: int = 1
) -> Order:
    """Return windows as they are given (ascending, and so are their blocks), one block at a time.

    windows  (m,) indices; block (N,) the block of every window, None where everything is in memory
    unit     as for `share`
    """
    mine = windows[slice(*share(len(windows), rank, world_size, unit))]
    if block is None or not len(mine):
        return _whole(mine)
    of = block[mine]
    edges = np.flatnonzero(np.diff(of, prepend=of[0] - 1))
    return Order(mine, np.append(edges, len(mine)), of[edges].astype(np.int64), 1)


def shuffled_order(
    windows: np.ndarray,
    block: np.ndarray | None,
    pool: int,
    seed: int,
    epoch: int,
    rank: int = 0,
    world_size: int = 1,
    unit: int = 1,
) -> Order:
    """Return windows in random order; with blocks, as random as `pool` blocks in memory allow.

    windows  (m,) indices, ascending; block (N,) the block of every window, None where everything is in memory
    Ranks are disjoint and together have every window exactly as often as it is given.
    unit     as for `share`
    """
    shuffled = windows[permutation(len(windows), seed, epoch, _SHUFFLE)]
    first, last = share(len(windows), rank, world_size, unit)
    if block is None or first == last:
        return _whole(shuffled[first:last])
    place = np.empty(int(block.max()) + 1, dtype=_smallest(int(block.max()) + 1))
    place[permutation(len(place), seed, epoch, _BLOCKS)] = np.arange(len(place))
    by_block = np.argsort(place[block[shuffled]], kind="stable")[first:last]
    mine = shuffled[by_block]
    of = block[mine]
    edges = np.flatnonzero(np.diff(of, prepend=of[0] - 1))
    blocks = of[edges].astype(np.int64)
    pool = min(pool, len(blocks))
    # Its block's turn, and a random part of the steps that block is there for. What would come before the pool is full
    # comes at once when it is; what would come after the last block was read comes with it.
    part = random_keys(len(windows), seed, epoch, _PART)[first:last] % np.uint64(pool)
    step = np.repeat(np.arange(len(blocks)), np.diff(edges, append=len(mine))) + part.astype(np.int64)
    step = np.clip(step, pool - 1, len(blocks) - 1) - (pool - 1)
    mix = permutation(len(mine), seed, epoch, _STEP, rank, world_size)
    step = step[mix].astype(_smallest(len(blocks)))
    order = np.argsort(step, kind="stable")
    steps = np.concatenate([[0], np.cumsum(np.bincount(step, minlength=len(blocks) - pool + 1))])
    return Order(mine[mix[order]], steps, blocks, pool)


def _whole(windows: np.ndarray) -> Order:
    return Order(windows, np.array([0, len(windows)]), np.zeros(0, dtype=np.int64), 0)


def _smallest(count: int) -> np.dtype:
    """The smallest integer that counts so far: NumPy sorts up to 16 bits by radix, ten times faster."""
    return np.min_scalar_type(count)


_MASK = (1 << 64) - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(z: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z
