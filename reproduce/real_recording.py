"""Measure the shipped lifter on a real recording, a camera at a time, beside a pose that never changes.

    python -m reproduce.real_recording ../shared/data/pose2sim

FOLDER is Pose2Sim's recording: one person who balances, four calibrated cameras, 100 frames each. Makes two stores of
it, with BlazePose's joints and with the true ones in the picture, and writes `docs/results/real_recording.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from auglift.lifters.evaluation.evaluate import evaluate
from auglift.lifters.metrics import measure
from auglift.lifters.zoo.shipped import Shipped
from auglift.stores.reading.store import FeatureStore

from .experiment import ROOT, Failed
from .run import timed

OUT = ROOT / "runs" / "reproduce" / "real_recording"
RESULT = ROOT / "docs" / "results" / "real_recording.json"
MEASURES = ("mpjpe", "p_mpjpe", "n_mpjpe")
JOINTS = {"blazepose": ["--detector", "blazepose", "--pose", "blazepose"], "true": ["--pose", "ground-truth"]}


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(folder: Path) -> None:
    videos = sorted(str(path) for path in (folder / "single").glob("cam*.mp4"))
    if not videos:
        raise Failed(f"{folder}/single holds no cam*.mp4; give the folder of Pose2Sim's recording")
    OUT.mkdir(parents=True, exist_ok=True)
    lifter = Shipped()
    rows = []
    for joints, networks in JOINTS.items():
        store = OUT / f"{joints}.zarr"
        call = ["-m", "auglift.cli.prep.main", "calibrated", *videos, *networks, "--depth", "none", "--out", str(store)]
        call += ["--calibration", str(folder / "Calib_qualisys.toml")]
        timed(OUT, joints, [*call, "--markers", str(folder / "balancing_0-100.trc"), "--threads", "1"])
        opened = FeatureStore.open(store)
        (found,) = evaluate(lifter, [str(store)])
        rows.append({"camera": "all", "predicted": f"lifted from {joints} joints", **_kept(found.measures)})
        for camera, measures in found.by["sequence"].items():
            rows.append({"camera": camera, "predicted": f"lifted from {joints} joints", **_kept(measures)})
    rows += list(_constant(opened, np.array(lifter.about["mean_pose"])))
    RESULT.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    click.echo("| predicted | camera | MPJPE, mm | P-MPJPE, mm | N-MPJPE, mm |\n|---|---|---|---|---|")
    for row in rows:
        figures = " | ".join(f"{row[name]:.1f}" for name in MEASURES)
        click.echo(f"| {row['predicted']} | {row['camera']} | {figures} |")
    click.echo(f"{RESULT.relative_to(ROOT)} written")


def _constant(store: FeatureStore, pose: np.ndarray) -> list[dict[str, Any]]:
    """The mean pose of the training set (17, 3), m, for every frame."""
    rows = []
    truth = store.read("target/pose3d", 0, store.frames)
    spans = {"all": slice(0, store.frames)}
    spans |= {row.id: slice(row.start, row.start + row.length) for row in store.sequences}
    for camera, span in spans.items():
        target = truth[span]
        measures = measure(np.tile(pose.astype(np.float32), (len(target), 1, 1)), target)
        rows.append({"camera": camera, "predicted": "the training set's mean pose", **_kept(measures)})
    return rows


def _kept(measures: Any) -> dict[str, float]:
    return {name: round(float(measures[name]), 2) for name in MEASURES}


if __name__ == "__main__":
    main()
