"""Every command as an ordinary user in a container: read-only packages, a home that cannot be written or is none."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..fakes.datasets import write
from ..fakes.ordinary_user import ROOT, run_as_user
from ..fakes.video import number_frames, write_video

NO_HOME = {"HOME": "/nonexistent"}
TINY = ("--detector", "tiny", "--pose", "tiny", "--depth", "tiny", "--threads", "1")
GROUND_TRUTH = ("--pose", "ground-truth", "--depth", "ground-truth", "--threads", "1")
RAY = ("--executor", "ray", "--gpus", "0", "--workers", "2")
LIFTER = ("--lifter", "simple_baseline", "--epochs", "1", "--held-out", "0.5")
SYNTH = ("synth", "--domain", "studio", "--clips", "2", "--frames", "40", "--size", "64")

GRID = """
out = "sweep"
[sources]
studio = "synth.zarr"
[targets]
studio = "synth.zarr"
[grid]
lifter = "simple_baseline"
inputs = ["xy"]
seed = [0]
[training]
epochs = 1
batch = 16
"""

# Module of cli/, arguments, exit codes: each as it needs what those before it made.
EVERY = [
    ("prep.main", ("video", "walk.mp4", "--out", "walk.zarr", *TINY, "--dry-run"), (0,)),
    ("prep.main", ("video", "walk.mp4", "--out", "walk.zarr", *TINY), (0,)),
    (
        "prep.main",
        ("video", "walk.mp4", "--out", "ray.zarr", *TINY, "--executor", "ray", "--gpus", "0", "--workers", "2"),
        (0,),
    ),
    ("prep.main", (*SYNTH, "--out", "synth.zarr", *GROUND_TRUTH), (0,)),
    ("prep.main", ("h36m", "--root", "h36m", "--check"), (0, 1, 2)),
    ("prep.main", ("datasets",), (0,)),
    *(("store", (name, "walk.zarr"), (0,)) for name in ("info", "verify", "sequences", "report", "card")),
    ("store", ("verify", "--deep", "walk.zarr"), (0,)),
    ("store", ("picture", "walk.zarr", "--out", "walk.png", "--no-depth"), (0,)),
    *(
        ("store", ("export", "synth.zarr", "--format", kind, "--out", f"as-{kind}"), (0,))
        for kind in ("videopose3d", "mmpose", "parquet")
    ),
    (
        "train",
        ("synth.zarr", "--lifter", "simple_baseline", "--out", "run", "--epochs", "1", "--held-out", "0.5"),
        (0,),
    ),
    ("evaluate", ("run", "synth.zarr", "--split", "all"), (0,)),
    ("sweep", ("grid.toml", "--workers", "1"), (0,)),
    ("tiny", ("--help",), (0,)),
]


@pytest.fixture
def folder(tmp_path) -> Path:
    write_video(tmp_path / "walk.mp4", number_frames(12, 96, 128), fps=30)
    (tmp_path / "grid.toml").write_text(GRID)
    return tmp_path


@pytest.fixture
def temporary() -> Iterator[dict[str, str]]:
    """A folder for temporary files that everybody may use; its name is short, as those of Ray's sockets must be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o1777)
        yield {"TMPDIR": name}


CAN_WRITE = f"""
import os, pathlib, sys
try:
    pathlib.Path({str(ROOT / "pipeline" / "written")!r}).touch()
except OSError:
    sys.exit(0)
sys.exit(1)
"""


def test_the_user_of_these_tests_cannot_write_the_package(tmp_path):
    assert run_as_user(tmp_path, ["-c", CAN_WRITE], NO_HOME).returncode == 0


@pytest.mark.parametrize(("environment", "user"), [(NO_HOME, 65534), ({}, 54321)])
def test_a_dry_run_needs_no_home(folder, temporary, environment, user):
    module, arguments, _ = EVERY[0]
    done = run_as_user(folder, ["-m", f"auglift.cli.{module}", *arguments], {**temporary, **environment}, user)
    assert done.returncode == 0, done.stderr
    assert "12 frames in 1 shards" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    ("environment", "user"), [(NO_HOME, 65534), ({"HOME": "/"}, 54321), ({}, 54321)], ids=["none", "root's", "unknown"]
)
def test_every_command_works_without_a_home(folder, temporary, environment, user):
    write.write_h36m(folder / "h36m", ("S9",), frames=3)
    for module, arguments, codes in EVERY:
        done = run_as_user(folder, ["-m", f"auglift.cli.{module}", *arguments], {**temporary, **environment}, user)
        said = f"{module} {' '.join(arguments)}: {done.returncode}\n{done.stderr}"
        assert done.returncode in codes, said
        assert "Traceback" not in done.stderr, said
        assert "MPLCONFIGDIR" not in done.stderr, said
