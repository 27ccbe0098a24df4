"""lifters/training/checkpoint.py: what is read runs no code, and what is written is whole."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from auglift.lifters.training.checkpoint import Run, load, save
from auglift.stores.errors import CorruptStoreError, MissingFileError, StoreWriteError
from tests.fakes.hostile import Hostile


def test_a_checkpoint_that_would_run_code_is_refused_and_none_of_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hostile = Hostile(os.mkdir, "evil")
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "weights": hostile}, "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(hostile))
    (tmp_path / "cut.pt").write_bytes((tmp_path / "evil.pt").read_bytes()[:100])
    for name in ("evil.pt", "plain.pt", "cut.pt"):
        with pytest.raises(CorruptStoreError, match="cannot be read as a checkpoint"):
            load(tmp_path / name)
    assert not (tmp_path / "evil").exists()


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "last.pt"
    save(path, {"step": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreWriteError, match="No space left"):
        save(path, {"step": 2})
    assert load(path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(MissingFileError, match=r"no run.*auglift-train"):
        Run(tmp_path)
    (tmp_path / "run.json").write_text('{"setup": {}}')
    with pytest.raises(CorruptStoreError, match="cannot be read"):
        Run(tmp_path)
