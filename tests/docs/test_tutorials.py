"""docs/tutorials: each script runs to its end as it stands, and the site shows what it runs."""

from __future__ import annotations

import runpy
import subprocess
import sys
import types
from pathlib import Path

import pytest

from auglift.stores.reading.store import FeatureStore

from ..fakes.documented import Reader

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "tutorials"
ORDER = ("first_store", "read_in_xarray", "train_and_compare", "own_lifter")
ONE_THREAD: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("auglift-prep", "auglift-train"), ("--threads", "1", "--device", "cpu")
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Where they run, as in the repository's root; what one has made, the next ones find."""
    folder = tmp_path_factory.mktemp("tutorials")
    (folder / "examples").symlink_to(ROOT / "examples")
    return folder


@pytest.fixture
def printed(place, monkeypatch, capsys):
    """A function that runs a tutorial and returns what its commands and its Python printed."""
    monkeypatch.chdir(place)

    def run(name: str) -> tuple[list[str], str]:
        reader, said = Reader(ONE_THREAD), []
        shell = types.ModuleType("_shell")
        shell.sh = lambda command: said.append(reader.command(command))  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "_shell", shell)  # commands in this process: a new one imports torch
        runpy.run_path(str(FOLDER / f"{name}.py"))
        return said, capsys.readouterr().out

    return run


def test_there_is_a_test_for_every_tutorial():
    assert {path.stem for path in FOLDER.glob("[!_]*.py")} == set(ORDER)


def test_first_store(printed, place):
    said, out = printed("first_store")
    assert "nothing wrong (every byte was read)" in said[3]
    assert out.count("found 1") == FeatureStore.open(place / "build/tutorial/first.zarr").frames == 8


def test_read_in_xarray(printed):
    pytest.importorskip("xarray")
    out = printed("read_in_xarray")[1]
    assert "left_wrist" in out
    assert "it lasts 1.56 s" in out
    assert "'source_software': 'auglift'" in out


def test_train_and_compare(printed, place):
    said, out = printed("train_and_compare")
    assert "160 frames of 8 sequences" in said[4]
    assert [line.split()[0] for line in out.splitlines()] == ["xy", "uadd"]
    for name in ("xy", "uadd"):
        assert (place / "build/tutorial" / name / "best.pt").is_file()


def test_own_lifter(printed, place):
    said, _ = printed("own_lifter")
    assert "160 frames of 8 sequences" in said[3]
    assert (place / "build/tutorial/attention/best.pt").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", ORDER)
def test_a_tutorial_runs_as_a_reader_runs_it(name, place):
    subprocess.run([sys.executable, str(FOLDER / f"{name}.py")], cwd=place, check=True)
