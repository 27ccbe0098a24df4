"""The charts of the page: ridges, dots, points and bars, each a function from arrays to SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .marks import WIDTH, Axis, axis_of, drawing, line, scale_below, scale_left, shared_beginning, short, text

# px for the names of rows, and letters that fit.
NAMES, LONG_NAMES = (104, 17), (158, 21)
_LEFT, _RIGHT = 44.0, WIDTH - 12.0
_MOST_POINTS = 3000

Row = tuple[str, float, float, float]  # name, value, and a range about it (NaN: none)
Words = Callable[[float], str]


def ridges(
    title: str,
    rows: Sequence[tuple[str, np.ndarray]],
    label: str,
    caption: str = "",
    shares: tuple[float, float] = (0.5, 99.5),
) -> str:
    """Draw the distribution of each row's values as a hill, with its median. NaN does not count.

    shares   percentiles of all values between which the axis lies; what is beyond is at its ends
    """
    step, tall = 19.0, 17.0
    top, bottom = 20.0, 20.0 + step * len(rows)
    names, longest = NAMES
    everything = np.concatenate([values.ravel() for _, values in rows]) if rows else np.zeros(0)
    axis = axis_of(everything, names, _RIGHT, shares=shares)
    parts = [scale_below(axis, top - 12, bottom, label)]
    for number, (name, values) in enumerate(rows):
        base = top + step * (number + 1) - 4
        parts.append(text(names - 8, base - 1, name, "end", longest=longest))
        known = values[np.isfinite(values)]
        if not len(known):
            parts.append(text(names + 4, base - 1, "none", "start", "tick"))
            continue
        # As many steps as the values bear: with a few frames, a comb says nothing.
        bins = int(np.clip(len(known) ** 0.5 * 2, 8, 60))
        held = np.clip(known, axis.low, axis.high)
        counts, edges = np.histogram(held, bins=bins, range=(axis.low, axis.high))
        hill = base - tall * np.sqrt(counts / counts.max())  # the root: small tails are seen too
        xs = axis.at((edges[:-1] + edges[1:]) / 2)
        path = "".join(f"L{x:.1f} {y:.1f}" for x, y in zip(xs, hill, strict=True))
        parts.append(f'<path class=hill d="M{xs[0]:.1f} {base:.1f}{path}L{xs[-1]:.1f} {base:.1f}Z"/>')
        x = float(axis.at(np.median(known)))
        parts.append(line(x, base - tall * 0.8, x, base + 2, "median"))
    return drawing(bottom + 34, title, "".join(parts), caption)


def dots(
    title: str,
    rows: Sequence[Row],
    label: str,
    caption: str = "",
    low: float | None = None,
    high: float | None = None,
    marks: Sequence[float] = (),
    words: Words = short,
    names: tuple[int, int] = NAMES,
) -> str:
    """Draw a value a row as a dot, and the range about it as a bar. `marks`: values that a line stands at."""
    step = 17.0
    top, bottom = 12.0, 12.0 + step * len(rows)
    left, longest = names
    same = shared_beginning([name for name, *_ in rows]) if names is LONG_NAMES else 0
    everything = np.array([value for row in rows for value in row[1:]] + list(marks))
    axis = axis_of(everything, left, _RIGHT, low, high)
    parts = [scale_below(axis, top - 4, bottom, label, words)]
    parts += [line(float(axis.at(mark)), top - 4, float(axis.at(mark)), bottom, "mark") for mark in marks]
    for number, (name, value, least, most) in enumerate(rows):
        y = top + step * (number + 0.5)
        shown = f"…{name[same:]}" if same else name
        parts.append(text(left - 8, y + 3.5, shown, "end", longest=longest, full=name if shown != name else ""))
        if np.isfinite(least) and np.isfinite(most):
            parts.append(line(float(axis.at(least)), y, float(axis.at(most)), y, "range"))
        if np.isfinite(value):
            tip = f"<title>{words(round(value, 4))}</title>"
            parts.append(f'<circle class=dot cx="{float(axis.at(value)):.1f}" cy="{y:.1f}" r="3.6">{tip}</circle>')
        else:
            parts.append(text(left + 4, y + 3.5, "none", "start", "tick"))
    return drawing(bottom + 34, title, "".join(parts), caption)


def points(
    title: str,
    x: np.ndarray,
    y: np.ndarray,
    labels: tuple[str, str],
    caption: str = "",
    *,
    same: bool = False,
    seed: int = 0,
) -> str:
    """Draw pairs of values, at most 3,000 of them, chosen by the seed.

    same   both in one unit: y = x is drawn, and the upright axis is not much longer than the other; what is beyond it
           lies on its end
    """
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if len(known) > _MOST_POINTS:
        known = np.sort(np.random.default_rng(seed).choice(known, _MOST_POINTS, replace=False))
    x, y = x[known], y[known]
    top, bottom = 22.0, 250.0
    across, up = axis_of(x, _LEFT, _RIGHT), axis_of(y, bottom, top)
    if same:
        more = 0.6 * (across.high - across.low)
        up = Axis(max(up.low, across.low - more), min(up.high, across.high + more), bottom, top)
        if not up.low < up.high:  # nowhere near the truth
            up = axis_of(y, bottom, top)
    parts = [scale_below(across, top, bottom, labels[0]), scale_left(up, _LEFT, _RIGHT, labels[1])]
    path = "".join(f"M{a:.0f} {b:.0f}h0" for a, b in zip(across.at(x), up.at(y), strict=True))
    parts.append(f'<path class=points d="{path}"/>')
    low, high = max(across.low, up.low), min(across.high, up.high)
    if same and low < high:
        a, b, c, d = (float(axis.at(end)) for end in (low, high) for axis in (across, up))
        parts.append(line(a, b, c, d, "equal"))
    return drawing(bottom + 34, title, "".join(parts), caption)


def histogram(
    title: str,
    values: np.ndarray,
    label: str,
    caption: str = "",
    low: float | None = None,
    high: float | None = None,
    words: Words = short,
) -> str:
    """Draw how many values lie where."""
    top, bottom = 22.0, 250.0
    across = axis_of(values, _LEFT, _RIGHT, low, high)
    known = np.clip(values[np.isfinite(values)], across.low, across.high)
    counts, edges = np.histogram(known, bins=40, range=(across.low, across.high))
    up = Axis(0, float(max(counts.max(), 1)), bottom, top)
    parts = [scale_below(across, top, bottom, label, words), scale_left(up, _LEFT, _RIGHT, "count")]
    xs = across.at(edges)
    for number in np.flatnonzero(counts).tolist():
        y = float(up.at(counts[number]))
        wide = max(float(xs[number + 1] - xs[number]) - 1, 1)
        parts.append(f'<rect class=bar x="{xs[number]:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{bottom - y:.1f}"/>')
    return drawing(bottom + 34, title, "".join(parts), caption)


def bars(title: str, rows: Sequence[tuple[str, float, str]], caption: str = "") -> str:
    """Draw a share of 1 a row as a bar, with words at its end."""
    step = 22.0
    left, longest = NAMES
    axis = Axis(0, max([value for _, value, _ in rows], default=1.0) or 1.0, left, _RIGHT - 120)
    parts = []
    for number, (name, value, words) in enumerate(rows):
        y = 4 + step * number
        x = float(axis.at(value))
        parts.append(text(left - 8, y + 13, name, "end", longest=longest))
        parts.append(f'<rect class=bar x="{left}" y="{y + 3:.1f}" width="{max(x - left, 1):.1f}" height="13" rx="2"/>')
        parts.append(text(x + 6, y + 13, words, "start", "tick"))
    return drawing(step * len(rows) + 8, title, "".join(parts), caption)
