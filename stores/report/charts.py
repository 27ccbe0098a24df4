"""The charts of the page: ridges, dots, points and bars, each a function from arrays to SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .marks import WIDTH, Axis, axis_of, drawing, line, scale_below, scale_left, short, text

NAMES = 104  # px for the names of rows
_RIGHT = WIDTH - 12
_MOST_POINTS = 3000

Row = tuple[str, float, float, float]  # name, value, and a range about it (NaN: none)


def ridges(title: str, rows: Sequence[tuple[str, np.ndarray]], label: str, caption: str = "", low: float | None = None,
           high: float | None = None) -> str:  # fmt: skip
    """Draw the distribution of each row's values as a hill, with its median. NaN does not count."""
    step, tall = 19.0, 17.0
    top, bottom = 20.0, 20.0 + step * len(rows)
    everything = np.concatenate([values.ravel() for _, values in rows]) if rows else np.zeros(0)
    axis = axis_of(everything, NAMES, _RIGHT, low, high)
    parts = [scale_below(axis, top - 12, bottom, label)]
    for number, (name, values) in enumerate(rows):
        base = top + step * (number + 1) - 4
        parts.append(text(NAMES - 8, base - 1, name, "end", longest=17))
        known = values[np.isfinite(values)]
        if not len(known):
            parts.append(text(NAMES + 4, base - 1, "none", "start", "tick"))
            continue
        held = np.clip(known, axis.low, axis.high)
        counts, edges = np.histogram(held, bins=60, range=(axis.low, axis.high))
        hill = base - tall * np.sqrt(counts / counts.max())  # the root: small tails are seen too
        xs = axis.at((edges[:-1] + edges[1:]) / 2)
        path = "".join(f"L{x:.1f} {y:.1f}" for x, y in zip(xs, hill, strict=True))
        parts.append(f'<path class=hill d="M{xs[0]:.1f} {base:.1f}{path}L{xs[-1]:.1f} {base:.1f}Z"/>')
        x = float(axis.at(np.median(known)))
        parts.append(line(x, base - tall * 0.8, x, base + 2, "median"))
    return drawing(bottom + 34, title, "".join(parts), caption)


def dots(title: str, rows: Sequence[Row], label: str, caption: str = "", low: float | None = None,
         high: float | None = None, marks: Sequence[float] = (), words: Callable[[float], str] = short) -> str:  # fmt: skip
    """Draw a value a row as a dot, and the range about it as a bar. `marks`: values that a line stands at."""
    step = 17.0 if len(rows) <= 24 else 13.0
    top, bottom = 12.0, 12.0 + step * len(rows)
    everything = np.array([value for row in rows for value in row[1:]] + list(marks))
    axis = axis_of(everything, NAMES, _RIGHT, low, high)
    parts = [scale_below(axis, top - 4, bottom, label, words)]
    parts += [line(float(axis.at(mark)), top - 4, float(axis.at(mark)), bottom, "mark") for mark in marks]
    for number, (name, value, least, most) in enumerate(rows):
        y = top + step * (number + 0.5)
        parts.append(text(NAMES - 8, y + 3.5, name, "end", longest=17))
        if np.isfinite(least) and np.isfinite(most):
            parts.append(line(float(axis.at(least)), y, float(axis.at(most)), y, "range"))
        if np.isfinite(value):
            tip = f"<title>{short(round(value, 4))}</title>"
            parts.append(f'<circle class=dot cx="{float(axis.at(value)):.1f}" cy="{y:.1f}" r="3.6">{tip}</circle>')
        else:
            parts.append(text(NAMES + 4, y + 3.5, "none", "start", "tick"))
    return drawing(bottom + 34, title, "".join(parts), caption)


def points(title: str, x: np.ndarray, y: np.ndarray, labels: tuple[str, str], caption: str = "", *, same: bool = False,
           x_ends: tuple[float | None, float | None] = (None, None), seed: int = 0) -> str:  # fmt: skip
    """Draw pairs of values, at most 3,000 of them, chosen by the seed. `same`: both in one unit; y = x is drawn."""
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if len(known) > _MOST_POINTS:
        known = np.sort(np.random.default_rng(seed).choice(known, _MOST_POINTS, replace=False))
    x, y = x[known], y[known]
    left, right, top, bottom = 44.0, _RIGHT, 22.0, 250.0
    across = axis_of(x, left, right, *x_ends)
    up = axis_of(y, bottom, top)
    parts = [scale_below(across, top, bottom, labels[0]), scale_left(up, left, right, labels[1])]
    px, py = across.at(x), up.at(y)
    path = "".join(f"M{a:.0f} {b:.0f}h0" for a, b in zip(px, py, strict=True))
    parts.append(f'<path class=points d="{path}"/>')
    if same:
        low, high = max(across.low, up.low), min(across.high, up.high)
        if low < high:
            ends = [float(axis.at(end)) for end in (low, high) for axis in (across, up)]
            parts.append(line(*ends, "equal"))  # type: ignore[arg-type]
    return drawing(bottom + 34, title, "".join(parts), caption)


def histogram(title: str, values: np.ndarray, label: str, caption: str = "", low: float | None = None,
              high: float | None = None, bins: int = 40) -> str:  # fmt: skip
    """Draw how many values lie where."""
    left, right, top, bottom = 44.0, _RIGHT, 22.0, 170.0
    across = axis_of(values, left, right, low, high)
    known = np.clip(values[np.isfinite(values)], across.low, across.high)
    counts, edges = np.histogram(known, bins=bins, range=(across.low, across.high))
    up = Axis(0, float(max(counts.max(), 1)), bottom, top)
    parts = [scale_below(across, top, bottom, label), scale_left(up, left, right, "count")]
    xs = across.at(edges)
    for number in np.flatnonzero(counts).tolist():
        y = float(up.at(counts[number]))
        wide = max(float(xs[number + 1] - xs[number]) - 1, 1)
        parts.append(f'<rect class=bar x="{xs[number]:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{bottom - y:.1f}"/>')
    return drawing(bottom + 34, title, "".join(parts), caption)


def bars(title: str, rows: Sequence[tuple[str, float, str]], caption: str = "") -> str:
    """Draw a share of 1 a row as a bar, with words at its end."""
    step = 22.0
    axis = Axis(0, max([value for _, value, _ in rows], default=1.0), NAMES, _RIGHT - 84)
    parts = []
    for number, (name, value, words) in enumerate(rows):
        y = 4 + step * number
        x = float(axis.at(value))
        parts.append(text(NAMES - 8, y + 13, name, "end", longest=17))
        parts.append(
            f'<rect class=bar x="{NAMES}" y="{y + 3:.1f}" width="{max(x - NAMES, 1):.1f}" height="13" rx="2"/>'
        )
        parts.append(text(x + 6, y + 13, words, "start", "tick"))
    return drawing(step * len(rows) + 8, title, "".join(parts), caption)
