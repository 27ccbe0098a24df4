"""`h36m`: Human3.6M as its site ships it, videos and CDF files, or with images extracted by H36M-Toolbox."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ...stores.errors import InvalidValueError
from .archive import Found, Known, Part, fit_intrinsics, gather, require_folder
from .joints import H36M_32
from .table import subjects_of

CAMERAS = ("54138969", "55011271", "58860488", "60457274")
SIZES: Mapping[str, tuple[int, int]] = dict(
    zip(CAMERAS, ((1000, 1002), (1000, 1000), (1000, 1000), (1000, 1002)), strict=True)
)
FPS = 50.0
# (subject, action, camera or "*", why): left out unless wanted.
BAD: tuple[tuple[str, str, str, str], ...] = (
    ("S11", "Directions", "54138969", "its video is damaged"),
    ("S9", "Greeting", "*", "drifted ground truth"),
    ("S9", "SittingDown", "*", "drifted ground truth"),
    ("S9", "Waiting 1", "*", "drifted ground truth"),
)


def h36m(
    root: Path, split: str = "all", fps: float | None = None, limit: int | None = None, keep_bad: bool = False
) -> Found:
    """A clip an action and camera; what is known to be bad is left out and named, unless `keep_bad`."""
    require_folder(root, "subject of Human3.6M", "S*/MyPoseFeatures")
    images = _image_folders(root)
    parts, notes = [], []
    for subject, part in subjects_of("h36m", split, root):
        truths = sorted((root / subject / "MyPoseFeatures" / "D3_Positions_mono").glob("*.cdf"))
        videos = sorted((root / subject / "Videos").glob("*.mp4"))
        stems = {path.stem for path in (*truths, *videos) if not path.stem.startswith("_ALL")}
        stems = {stem for stem in stems if stem.rpartition(".")[2] in CAMERAS}
        # An action that one camera has, all four should have.
        actions = sorted({stem.rpartition(".")[0] for stem in stems})
        if not actions:
            actions = ["(all)"]
        for action in actions:
            for camera in CAMERAS:
                why = None if keep_bad else _bad(subject, action, camera)
                if why:
                    notes.append(f"{subject} {action} {camera} left out: {why} (--keep-bad takes it)")
                    continue
                features, stem = root / subject / "MyPoseFeatures", f"{action}.{camera}"
                source = images.get((subject, action, camera), root / subject / "Videos" / f"{stem}.mp4")
                files = (features / "D3_Positions_mono" / f"{stem}.cdf", features / "D2_Positions" / f"{stem}.cdf")
                parts.append(
                    Part(f"{subject}/{stem}", subject, action, camera, part, source, files, _load, camera, FPS)
                )
    found = gather("h36m", root, parts, fps, limit)
    found.notes[:0] = notes
    return found


def _bad(subject: str, action: str, camera: str) -> str | None:
    return next((why for s, a, c, why in BAD if (s, a) == (subject, action) and c in ("*", camera)), None)


def _load(files: tuple[Path, ...], camera: str) -> Known:
    solid, flat = (_pose(path, width) for path, width in zip(files, (96, 64), strict=True))
    pose = solid.reshape(-1, 32, 3)[:, H36M_32] / 1000
    keypoints = flat.reshape(-1, 32, 2)[:, H36M_32]
    rows = min(len(pose), len(keypoints))
    pose, keypoints = pose[:rows], keypoints[:rows]
    # The archive's 2D joints are distorted by the lens, a pinhole comes within a px or two.
    return Known(pose, keypoints, fit_intrinsics(pose, keypoints), SIZES[camera])


def _pose(path: Path, width: int) -> np.ndarray:
    """(T, width) of a CDF's variable `Pose`, (1, T, width)."""
    import cdflib

    try:
        values = np.asarray(cdflib.CDF(path).varget("Pose"), np.float64)
    except Exception as error:
        raise InvalidValueError(f"{path.name} is no CDF with a variable Pose; fetch it again") from error
    if values.shape[-1] != width:
        raise InvalidValueError(f"{path.name} holds a Pose of {values.shape}, not of (1, T, {width})")
    return values.reshape(-1, width)


def _image_folders(root: Path) -> dict[tuple[str, str, str], Path]:
    """(subject, action, camera) to its folder of extracted images; metadata.xml says which action has which number."""
    folders = sorted((root / "images").glob("s_*_act_*_subact_*_ca_*"))
    if not folders:
        return {}
    names = _action_names(root)
    found = {}
    for folder in folders:
        match = re.fullmatch(r"s_(\d+)_act_(\d+)_subact_(\d+)_ca_(\d+)", folder.name)
        if match is None:
            continue
        subject, act, part, camera = (int(number) for number in match.groups())
        name = names.get((f"S{subject}", act, part))
        if name is not None and 1 <= camera <= 4:
            found[f"S{subject}", name, CAMERAS[camera - 1]] = folder
    return found


def _action_names(root: Path) -> dict[tuple[str, int, int], str]:
    """(subject, act, subact) to the action's name, from the table `mapping` of metadata.xml."""
    path = root / "metadata.xml"
    if not path.is_file():
        raise InvalidValueError(
            f"{root}/images needs metadata.xml beside it, which names the actions; copy it to {root}"
        )
    try:
        rows = [[cell.text or "" for cell in row] for row in ElementTree.parse(path).getroot().iterfind("mapping/tr")]
        subjects = rows[0][2:]
        return {
            (subject, int(act), int(part)): name
            for act, part, *names in rows[1:]
            if act.isdigit() and part.isdigit()
            for subject, name in zip(subjects, names, strict=False)
        }
    except (ElementTree.ParseError, IndexError, ValueError) as error:
        raise InvalidValueError(f"{path} has no table `mapping` of actions; fetch it again") from error
