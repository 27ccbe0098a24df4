"""Randomness that is a pure function of names and numbers, and smooth randomness in continuous time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
Rng = np.random.Generator


def seeded(*parts: str | int) -> Rng:
    """Return a generator that depends on `parts` alone: the same in every process and on every machine."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest())))


@dataclass(frozen=True)
class Wobble:
    """A smooth random function of time: a few sinusoids, so that any frame rate samples the same curve.

    frequency, phase, weight  (channels, waves): Hz, radians, and weights whose squares sum to 2 (unit variance)
    """

    frequency: Array
    phase: Array
    weight: Array

    @classmethod
    def draw(cls, rng: Rng, channels: int, slowest: float = 0.1, fastest: float = 0.6, waves: int = 4) -> Wobble:
        """Draw `channels` independent curves of mean zero and unit variance with frequencies between the two, in Hz."""
        shape = (channels, waves)
        weight = rng.uniform(0.4, 1.0, shape)
        weight *= np.sqrt(2 / (weight**2).sum(axis=1, keepdims=True))
        return cls(rng.uniform(slowest, fastest, shape), rng.uniform(0, 2 * np.pi, shape), weight)

    def __call__(self, seconds: Array) -> Array:
        """(T,) seconds to (T, channels)."""
        angle = 2 * np.pi * seconds[:, None, None] * self.frequency + self.phase
        return (self.weight * np.sin(angle)).sum(axis=-1)


def between(rng: Rng, limits: tuple[float, float]) -> float:
    """Draw one uniform number between two limits."""
    return float(rng.uniform(*limits))
