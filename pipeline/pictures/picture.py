"""Draws what a store holds: frames with joints and their disks, the depth map below, descriptors as bars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...stores.errors import InvalidValueError, MissingExtraError, StoreWriteError
from ...stores.format.skeleton import H36M_17
from .panels import Panel

# Metres behind the person: all that is farther has one colour, and bars to it leave the axes.
BEHIND = 2.5
INK, PAPER = "#1b2430", "#ffffff"
CONFIDENCE, DEPTH = "RdYlGn", "magma_r"
# With a fixed salt and no date, the same store gives the same file.
_STYLE: Any = {
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#c8ced6",
    "svg.hashsalt": "auglift",
    "text.parse_math": False,  # a sequence may be called `$1`
}
_NO_DATE = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def draw(panels: Sequence[Panel], out: Path, preset: str) -> None:
    """Draw one column for each frame. The ending of the file's name decides its format.

    Raises MissingExtraError without matplotlib, InvalidValueError if the ending is not .png, .svg or .pdf,
    StoreWriteError if the file cannot be written.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("a picture needs matplotlib: pip install matplotlib") from error
    if out.suffix.lower() not in _NO_DATE:
        raise InvalidValueError(f"--out {out}: a picture ends in {', '.join(_NO_DATE)}")
    with rc_context(_STYLE):
        figure = Figure(figsize=(3.1 * len(panels) + 1.1, 9.4), layout="constrained", facecolor=PAPER)
        there = {"frame": True, "depth": any(panel.depth is not None for panel in panels)}
        there["bars"] = any(panel.stats is not None for panel in panels)
        rows = [row for row, is_there in there.items() if is_there]
        heights = [1.0 if row != "bars" else 0.8 for row in rows]
        grid = figure.subplots(len(rows), len(panels), squeeze=False, height_ratios=heights)
        figure.set_size_inches(3.1 * len(panels) + 1.1, 3.15 * sum(heights))
        low, high = _depth_range(panels)
        for column, panel in enumerate(panels):
            axes = dict(zip(rows, grid[:, column], strict=True))
            confidence = _frame(axes["frame"], panel)
            if "depth" in axes:
                depth = _depth(axes["depth"], panel, low, high)
            if "bars" in axes:
                _bars(axes["bars"], panel, low, high, column == 0)
        figure.colorbar(confidence, ax=grid[0], label="confidence", pad=0.01, aspect=25).outline.set_visible(False)
        if "depth" in rows:
            bar = figure.colorbar(
                depth, ax=grid[1], label=f"depth, {panels[0].unit}", pad=0.01, aspect=25, extend="max"
            )
            bar.outline.set_visible(False)
            bar.ax.invert_yaxis()
        if "bars" in rows:
            _legend(grid[-1, -1], panels, preset)
        try:
            figure.savefig(out, dpi=125, metadata=_NO_DATE[out.suffix.lower()])
        except OSError as error:
            raise StoreWriteError(f"{out} cannot be written: {error.strerror}") from error


def view(panel: Panel) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom px of a square about the person and the disks, inside the frame if it fits."""
    height, width = panel.image.shape[:2]
    radius = np.nan_to_num(panel.radius)[:, None]
    low, high = np.nanmin(panel.keypoints - radius, axis=0), np.nanmax(panel.keypoints + radius, axis=0)
    low, high = np.fmin(low, panel.bbox[:2]), np.fmax(high, panel.bbox[2:])
    low, high = np.clip(low, 0, (width, height)), np.clip(high, 0, (width, height))
    side = min(1.12 * float((high - low).max()), max(width, height))
    centre = (low + high) / 2
    corner = [
        float(np.clip(middle - side / 2, 0, length - side)) if side <= length else (length - side) / 2
        for middle, length in zip(centre, (width, height), strict=True)
    ]
    return corner[0], corner[1], corner[0] + side, corner[1] + side


def _depth_range(panels: Sequence[Panel]) -> tuple[float, float]:
    """Return the range of colours and bars: from the nearest depth to a little behind the farthest person."""
    known = [panel.stats for panel in panels if panel.stats is not None]
    if not known:
        return 0.0, 1.0
    nearest = min(float(np.nanmin(stats)) for stats in known)
    person = max(float(np.nanmedian(stats[:, 0])) for stats in known)
    farthest = max(float(np.nanmax(stats)) for stats in known)
    low, high = nearest - 0.15, min(farthest + 0.15, person + BEHIND)
    return low, max(high, low + 0.5)


def _bare(axes: Any, panel: Panel) -> None:
    left, top, right, bottom = view(panel)
    axes.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="equal", facecolor="#e9edf1")
    axes.spines[:].set_visible(False)


def _colours(panel: Panel) -> np.ndarray:
    from matplotlib import colormaps

    return colormaps[CONFIDENCE](np.clip(np.nan_to_num(panel.score), 0, 1))


def _edges(width: int, height: int, across: int = 0, down: int = 0) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of what is drawn over a frame: its own pixels, or a map's of so many."""
    x, y = ((side - 1) / max(own - 1, 1) / 2 if own else 0.5 for side, own in ((width, across), (height, down)))
    return -x, width - 1 + x, height - 1 + y, -y


def _frame(axes: Any, panel: Panel) -> Any:
    from matplotlib.collections import LineCollection, PatchCollection
    from matplotlib.patches import Circle

    height, width = panel.image.shape[:2]
    axes.imshow(panel.image, extent=_edges(width, height), interpolation="bilinear")
    axes.add_collection(
        LineCollection(
            [panel.keypoints[list(bone)] for bone in H36M_17.bones], colors="white", linewidths=1.2, alpha=0.8
        )
    )
    disks = [Circle(tuple(xy), r) for xy, r in zip(panel.keypoints, panel.radius, strict=True) if np.isfinite(r)]
    finite = np.isfinite(panel.radius)
    colours = _colours(panel)[finite]
    axes.add_collection(
        PatchCollection(disks, facecolors=np.c_[colours[:, :3], np.full(len(colours), 0.22)], edgecolors=colours)
    )
    points = axes.scatter(
        *panel.keypoints.T, c=np.clip(panel.score, 0, 1), cmap=CONFIDENCE, vmin=0, vmax=1, s=26,
        edgecolors=INK, linewidths=0.7, zorder=3,
    )  # fmt: skip
    _bare(axes, panel)
    axes.set_title(panel.title, fontsize=9.5, loc="left")
    return points


def _depth(axes: Any, panel: Panel, low: float, high: float) -> Any:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Circle

    height, width = panel.image.shape[:2]
    depth = np.full((1, 1), np.nan) if panel.depth is None else panel.depth
    # The corners of map and frame are aligned, as for the descriptor.
    edges = _edges(width, height, depth.shape[1], depth.shape[0])
    shown = axes.imshow(depth, extent=edges, cmap=DEPTH, vmin=low, vmax=high, interpolation="bilinear")
    disks = [Circle(tuple(xy), r) for xy, r in zip(panel.keypoints, panel.radius, strict=True) if np.isfinite(r)]
    axes.add_collection(PatchCollection(disks, facecolors="none", edgecolors="white", linewidths=0.9))
    _bare(axes, panel)
    return shown


def _bars(axes: Any, panel: Panel, low: float, high: float, first: bool) -> None:
    """Draw for every joint a bar from d_min to d_max, with d as a line across it; nearer is lower."""
    if panel.stats is None:
        axes.set_axis_off()
        return
    place = np.arange(len(H36M_17.joints))
    d, d_min, d_max = panel.stats.T
    axes.bar(place, np.minimum(d_max, high + 1) - d_min, bottom=d_min, width=0.72, color=_colours(panel), alpha=0.85)
    axes.hlines(d, place - 0.36, place + 0.36, color=INK, linewidth=1.8)
    if panel.depth_of_joints is not None:
        axes.plot(place, panel.depth_of_joints, "o", markersize=3.2, color="white", markeredgecolor=INK)
    axes.set_xticks(place, [_short(joint) for joint in H36M_17.joints], rotation=90, fontsize=7.5)
    axes.set(xlim=(-0.7, len(place) - 0.3), ylim=(low, high))
    axes.tick_params(length=0)
    axes.grid(axis="y", color="#e3e7ec")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    if first:
        axes.set_ylabel(f"depth, {panel.unit}")
    else:
        axes.tick_params(labelleft=False)


def _legend(axes: Any, panels: Sequence[Panel], preset: str) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(color="#b9c4cf", label=f"d_min to d_max in the disk (`{preset}`)"),
        Line2D([], [], color=INK, linewidth=1.8, label="d"),
    ]
    if any(panel.depth_of_joints is not None for panel in panels):
        marker = Line2D(
            [], [], marker="o", markersize=4, color="white", markeredgecolor=INK, label="true depth of joint"
        )
        handles.append(marker)
    axes.figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)


def _short(joint: str) -> str:
    return joint.replace("right_", "r ").replace("left_", "l ")
