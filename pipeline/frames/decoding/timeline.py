"""Read the times of a video's packets: where time falls back, how far frames lie apart, and at which rate."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

# Stands for a time that the container does not tell.
NONE = np.iinfo(np.int64).min

# Frame rates that cameras and programs write, which rounded times are taken to mean.
_RATES = [Fraction(n) for n in (10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 72, 75, 90, 100, 120, 144, 200, 240)]
_RATES += [Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120, 240)]


def segments(pts: np.ndarray, dts: np.ndarray, key: np.ndarray, steps: int = 1) -> list[int]:
    """Return the first packet of each segment: of each part of the file that has a clock of its own.

    A segment begins where the time of decoding falls back: at a keyframe that is not shown after what came before, or
    where time stays back. One packet out of step is none.

    pts, dts   (P,)   times of display and of decoding; NONE where they are not told
    key        (P,)   bool, the packet begins with a keyframe
    steps      for how many more packets time must stay back
    """
    known = np.flatnonzero(dts != NONE)
    times = dts[known]
    latest = np.maximum.accumulate(pts)
    starts = [0]
    for place in (np.flatnonzero(np.diff(times) <= 0) + 1).tolist():
        now, before, following = times[place], times[place - 1], times[place + 1 : place + 1 + steps]
        start = int(known[place])
        shown_before = key[start] and NONE < pts[start] <= latest[start - 1]
        # At the end of the file, a leap of more than a packet.
        stays_back = now < before and (following < before).all()
        stays_back &= len(following) == steps or (place > 1 and now < times[place - 2])
        if shown_before or stays_back:
            starts.append(start)
            latest[start:] = np.maximum.accumulate(pts[start:])
    return starts


def behind_the_cut(shown: np.ndarray, decoded: np.ndarray) -> float:
    """Return the display time after which frames of a cut-off file lie behind missing ones; infinite: none do.

    What is missing would be decoded later than the last packet and so be shown later than that: only a gap after this
    time can hide it.
    """
    times = np.sort(shown)
    spacing = np.diff(times)
    decoded = decoded[decoded != NONE]
    if not len(spacing) or not len(decoded):
        return np.inf
    gap = (times[1:] > decoded.max()) & (spacing > 1.5 * np.median(spacing))
    return float(times[1:][gap][0]) if gap.any() else np.inf


def since_first(times: np.ndarray, segment: np.ndarray) -> np.ndarray:
    """Return times from 0 on, ascending: a segment follows the one before after the usual time.

    times, segment   (N,)   of frames, in order of display
    """
    if not len(times):
        return times
    step = np.diff(times)
    within = np.diff(segment) == 0
    step[~within] = np.median(step[within]) if within.any() else 0
    return np.concatenate([[0], np.cumsum(step)])


def is_uneven(times: np.ndarray, tick: float) -> bool:
    """Return whether frames lie apart by other than the usual time, by more than rounding to ticks and a tenth."""
    spacing = np.diff(times)
    if len(spacing) < 2:
        return False
    usual = float(np.median(spacing))
    return bool((np.abs(spacing - usual) > max(1.5 * tick, 0.1 * usual)).any())


def frame_rate(header: Fraction | None, times: np.ndarray, tick: float, uneven: bool) -> float | None:
    """Return the frames a second: the header's where the frames' times agree with it, else the mean of these.

    times   (N,)   seconds, ascending; empty where they are not known
    tick    seconds of the clock that they are rounded to
    uneven  they are of a variable rate; else a usual rate is taken that they can be rounded from
    """
    spans, span = len(times) - 1, float(times[-1] - times[0]) if len(times) else 0.0
    if spans < 1 or span <= 0:
        return float(header) if header else None
    if header and abs(float(header) * span - spans) <= max(1.5, 0.01 * spans):
        return float(header)
    rate = spans / span
    near = [usual for usual in _RATES if abs(spans / float(usual) - span) <= tick + 1e-9]
    return rate if uneven or not near else float(min(near, key=lambda usual: abs(usual - rate)))
