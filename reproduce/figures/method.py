"""Figures 1 and 2: from a frame to the descriptor of every joint; a sure joint and an unsure one beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from auglift.lifters.analysis.style import COLOURS, INK, figure, save
from auglift.pipeline.pictures.panels import Panel
from auglift.pipeline.pictures.picture import view
from auglift.stores.format.skeleton import H36M_17

DEPTH, SCORE = "cividis_r", "cividis"


def draw_method(stem: Path, panel: Panel) -> list[Path]:
    """Draw figure 1: the frame with disks, the depth map under them, and d between d_min and d_max of every joint."""
    with figure(11, 3.6) as picture:
        axes = picture.subplots(1, 3, width_ratios=(1, 1, 1.35))
        axes[0].imshow(panel.image)
        for a, b in H36M_17.bones:
            axes[0].plot(*panel.keypoints[[a, b]].T, color="white", linewidth=1.2)
        points = axes[0].scatter(
            *panel.keypoints.T, c=np.clip(panel.score, 0, 1), cmap=SCORE, vmin=0, vmax=1, s=22, edgecolors=INK, zorder=3
        )
        picture.colorbar(points, ax=axes[0], label="confidence c", shrink=0.8)
        _map(picture, axes[1], panel)
        for axis in axes[:2]:
            _disks(axis, panel)
            _crop(axis, panel)
        axes[0].set_title("(a) joints, confidence, disks")
        axes[1].set_title("(b) depth in the disks")
        assert panel.stats is not None
        d, low, high = panel.stats.T
        at = np.arange(len(d))
        axes[2].vlines(at, low, high, color=COLOURS[1], linewidth=4, alpha=0.5, label="d_min to d_max")
        axes[2].plot(at, d, "_", color=INK, markersize=9, markeredgewidth=2, label="d")
        if panel.depth_of_joints is not None:
            axes[2].plot(at, panel.depth_of_joints, "o", markersize=4, color="white", markeredgecolor=INK, label="true")
        axes[2].set_ylim(*_limits(panel))
        axes[2].set_xticks(at, [joint.replace("_", " ") for joint in H36M_17.joints], rotation=90, fontsize=7)
        axes[2].set(ylabel="depth, m", title="(c) the descriptor of each joint")
        axes[2].legend(loc="upper left", ncols=3, fontsize=7)
        return save(picture, stem)


def draw_descriptor(stem: Path, panel: Panel) -> list[Path]:
    """Draw figure 2: the surest and the least sure joint, the disk of each on the depth map, and the depths in it."""
    assert panel.depth is not None
    assert panel.stats is not None
    known = np.isfinite(panel.radius) & np.isfinite(panel.stats).all(1)
    score = np.where(known, panel.score, np.nan)
    with figure(8, 5.4) as picture:
        axes = picture.subplots(2, 2, width_ratios=(1, 1.3))
        for (left, right), joint in zip(axes, (int(np.nanargmax(score)), int(np.nanargmin(score))), strict=True):
            (x, y), radius = panel.keypoints[joint], panel.radius[joint]
            _map(picture, left, panel)
            _disks(left, panel, [joint])
            wide = max(3 * np.nanmax(panel.radius), 12)
            left.set(xlim=(x - wide, x + wide), ylim=(y + wide, y - wide), xticks=[], yticks=[])
            name = H36M_17.joints[joint].replace("_", " ")
            left.set_title(f"{name}: c = {np.clip(panel.score[joint], 0, 1):.2f}, radius {radius:.1f} px", fontsize=9)
            # At every pixel of the frame, as the descriptor is computed.
            whole = torch.from_numpy(np.asarray(panel.depth, np.float32))[None, None]
            depth = functional.interpolate(whole, panel.image.shape[:2], mode="bilinear", align_corners=True)[0, 0]
            rows, columns = np.indices(panel.image.shape[:2])
            inside = np.hypot(columns - x, rows - y) <= radius
            right.hist(depth.numpy()[inside], bins=24, color=COLOURS[3], edgecolor=COLOURS[1], linewidth=0.5)
            for value, line, word in zip(panel.stats[joint], ("-", ":", "--"), ("d", "d_min", "d_max"), strict=True):
                right.axvline(value, color=INK, linestyle=line, linewidth=1.6, label=f"{word} {value:.2f} m")
            right.set(xlabel="depth in the disk, m", ylabel="pixels")
            right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8)
        return save(picture, stem)


def _map(picture: Any, axis: Any, panel: Panel) -> None:
    assert panel.depth is not None
    height, width = panel.image.shape[:2]
    low, high = _limits(panel)
    shown = axis.imshow(panel.depth, extent=(-0.5, width - 0.5, height - 0.5, -0.5), cmap=DEPTH, vmin=low, vmax=high)
    picture.colorbar(shown, ax=axis, label="depth, m", shrink=0.8, extend="max")


def _limits(panel: Panel) -> tuple[float, float]:
    assert panel.stats is not None
    low = float(np.nanmin(panel.stats)) - 0.15
    return low, max(low + 0.5, min(float(np.nanmax(panel.stats)) + 0.3, float(np.nanmedian(panel.stats[:, 0])) + 1.5))


def _disks(axis: Any, panel: Panel, joints: list[int] | None = None) -> None:
    from matplotlib.patches import Circle

    for joint in range(len(H36M_17)) if joints is None else joints:
        if np.isfinite(panel.radius[joint]):
            for colour, width in ((INK, 2.2), ("white", 1.1)):
                axis.add_patch(
                    Circle(tuple(panel.keypoints[joint]), panel.radius[joint], fill=False, color=colour, lw=width)
                )


def _crop(axis: Any, panel: Panel) -> None:
    left, top, right, bottom = view(panel)
    axis.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
