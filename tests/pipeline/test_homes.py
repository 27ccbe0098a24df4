"""pipeline/homes.py: a place for what libraries keep, and never one that another user prepared."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from auglift.pipeline import homes
from auglift.pipeline.homes import can_be_written, settle, temporary_folder


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """Where this user's own folder would be."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"auglift-{os.getuid()}"


def test_the_temporary_folder_is_made_for_one_user_alone(temporary):
    assert temporary_folder() == temporary
    assert stat.S_IMODE(temporary.stat().st_mode) == 0o700
    assert temporary_folder() == temporary


def test_a_folder_that_others_can_write_is_not_taken(temporary):
    temporary.mkdir()
    temporary.chmod(0o770)
    assert temporary_folder() is None


def test_a_link_to_a_folder_and_a_file_are_not_taken(temporary, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    temporary.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert temporary_folder() is None
    temporary.unlink()
    temporary.touch()
    assert temporary_folder() is None


def test_where_there_is_no_temporary_folder_at_all_there_is_none(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nothing")
    assert temporary_folder() is None


def test_what_can_be_made_can_be_written_and_nothing_is_made(tmp_path):
    assert can_be_written(tmp_path / "a" / "b" / "c")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    assert not can_be_written(tmp_path / "file" / "a")


def test_only_what_has_no_place_gets_one(temporary, tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / ".cache" / "torch").mkdir(parents=True)
    for variable in (*homes._KEPT, "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, "")  # so that it is put back afterwards
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("HF_HOME", "mine")
    settle()
    assert not set(homes._KEPT) - {"HF_HOME"} & set(os.environ)
    monkeypatch.setattr(homes, "can_be_written", lambda folder: False)
    settle()
    assert os.environ["HF_HOME"] == "mine"
    assert "TORCH_HOME" not in os.environ  # what is there can be read
    assert os.environ["AUGLIFT_CACHE"] == str(temporary / "auglift")
    assert os.environ["MPLCONFIGDIR"] == str(temporary / "matplotlib")
