"""Figure 3: poses of two runs against the truth, from the camera and from the side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auglift.lifters.analysis.style import COLOURS, INK, figure, save
from auglift.lifters.metrics import position_error
from auglift.stores.format.skeleton import H36M_17

VIEWS = {"from the camera": (0, 1), "from the side": (2, 1)}


def draw_poses(
    stem: Path, images: Sequence[np.ndarray], true: np.ndarray, poses: Mapping[str, np.ndarray]
) -> list[Path]:
    """Draw a row a frame: the picture, then each run over the truth.

    images   (H, W, 3), one a frame; true (F, 17, 3) m; poses by run, (F, 17, 3) m
    """
    columns = 1 + len(poses) * len(VIEWS)
    true = true - true[:, :1]
    with figure(2.1 * columns, 2.3 * len(images) + 0.4) as picture:
        axes = picture.subplots(len(images), columns, squeeze=False)
        for at, (line, image) in enumerate(zip(axes, images, strict=True)):
            line[0].imshow(image)
            line[0].set(xticks=[], yticks=[])
            line[0].spines[:].set_visible(False)
            column = 1
            for number, (run, pose) in enumerate(poses.items()):
                moved = pose[at] - pose[at, :1]
                error = float(position_error(moved[None], true[at][None]).nanmean())
                for name, plane in VIEWS.items():
                    axis = line[column]
                    _skeleton(axis, true[at], plane, INK, "--", "truth")
                    _skeleton(axis, moved, plane, COLOURS[1 + number], "-", run)
                    axis.set(xlim=(-1.1, 1.1), ylim=(1.1, -1.1), aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
                    axis.tick_params(labelsize=6, length=2, labelbottom=at == len(images) - 1)
                    said = "" if plane[0] else f"{run}: {error:.0f} mm"
                    axis.set_title(", ".join(filter(None, [said, name if at == 0 else ""])), fontsize=7.5)
                    if at == len(images) - 1:
                        axis.set_xlabel(f"{'xyz'[plane[0]]}, m", fontsize=7)
                    column += 1
        handles = {}
        for axis in axes.flat:
            handles |= dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
        picture.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=3)
        return save(picture, stem)


def _skeleton(axis: Any, pose: np.ndarray, plane: tuple[int, int], colour: str, line: str, label: str) -> None:
    for bone in H36M_17.bones:
        axis.plot(*pose[list(bone)][:, list(plane)].T, line, color=colour, linewidth=1.4, label=label)
