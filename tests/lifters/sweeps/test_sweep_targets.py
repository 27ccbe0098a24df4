"""sweep.py: a target that will not do is found before anything is trained, a damaged one costs only itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auglift.lifters.inputs import Inputs
from auglift.lifters.sweeps.grid import Job
from auglift.lifters.sweeps.sweep import finished, run_job
from auglift.lifters.training.setup import Setup, parse_changes
from auglift.stores.format.layout import array_key
from tests.fakes.people import PeopleStore, people


class Blind(PeopleStore):
    """Nothing of its truth is known but the pelvis."""

    def values(self, spec):
        values = super().values(spec)
        if spec.name == "target/pose3d":
            values[:, 1:] = np.nan
        return values


def job_of(folder: Path, **targets: str) -> Job:
    url = people(folder / "home.zarr").url
    changes = parse_changes("simple_baseline", ["width=8", "blocks=1"])
    setup = Setup((url,), "simple_baseline", Inputs("xy"), 1, 64, 1, changes, device="cpu")
    return Job("job", "home", setup, {"home": url, **targets})


def test_a_target_without_truth_is_found_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Blind(split="test").run(tmp_path / "blind.zarr")
    monkeypatch.setattr("auglift.lifters.sweeps.sweep.train", lambda *_: pytest.fail("trained"))
    done = run_job(job_of(tmp_path, blind=str(tmp_path / "blind.zarr")), str(tmp_path / "runs"))
    assert done is not None
    assert "blind.zarr has no ground truth in any of the 240 frames" in (done.error or "")


def test_a_damaged_target_is_named_and_the_others_have_their_rows(tmp_path: Path):
    away = people(tmp_path / "away.zarr", split="test", lengths=(30,))
    path = tmp_path / "away.zarr" / array_key(away.fields["keypoints"], 0)
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    job = job_of(tmp_path, away=away.url)
    done = run_job(job, str(tmp_path / "runs"))
    assert done is not None
    assert [row["target"] for row in done.rows] == ["home"]
    assert (done.error or "").startswith("away: ")
    assert "\n" not in (done.error or "")
    assert finished(job, str(tmp_path / "runs")) is None  # so the same grid measures it again
    path.write_bytes(whole)
    again = run_job(job, str(tmp_path / "runs"))
    assert again is not None
    assert [row["target"] for row in again.rows] == ["home", "away"]
    assert again.rows[0] == done.rows[0]
    assert again.error is None
