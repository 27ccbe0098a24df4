"""examples/: each runs as its first lines say, and what it trains is better than what it began with."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from auglift.cli import evaluate, train
from auglift.lifters.losses import combined
from auglift.lifters.training.log import read_log
from auglift.lifters.training.setup import Setup
from tests.fakes.people import people

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LIFTER = ["--lifter", f"{EXAMPLES / 'own_lifter.py'}:JointsThenFrames", "--set", "width=64", "--set", "depth=2"]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("examples")
    return people(folder / "train.zarr").url, people(folder / "test.zarr", lengths=(40,), split="test", seed=9).url


@pytest.fixture(scope="module")
def loop(stores: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What own_loop.py says, and the weights that it saves."""
    weights = tmp_path_factory.mktemp("loop") / "own_loop.pt"
    options = ["--epochs", "3", "--window", "5", "--batch", "32", "--out", str(weights)]
    command = [sys.executable, str(EXAMPLES / "own_loop.py"), *stores, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, weights


def test_own_loop_learns(loop: tuple[str, Path]):
    figures = [float(text) for text in re.findall(r"MPJPE on the test ([\d.]+) mm", loop[0])]
    assert len(figures) == 3
    assert figures[2] < 0.7 * figures[0]


def test_own_lifter_trains_is_measured_and_begins_with_the_weights_of_own_loop(
    stores: tuple[str, str], loop: tuple[str, Path], tmp_path: Path
):
    small = ["--window", "5", "--epochs", "1", "--device", "cpu", "--threads", "1"]
    for name, more in (("new", []), ("begun", ["--init", str(loop[1])])):
        out = ["--out", str(tmp_path / name)]
        done = CliRunner().invoke(train.main, [stores[0], *LIFTER, *small, *more, *out])
        assert done.exit_code == 0, done.output
    assert "56 of its 56 tensors are taken" in done.stderr
    new, begun = (read_log(tmp_path / name / "log.jsonl")[0]["held_out_mpjpe"] for name in ("new", "begun"))
    assert begun < 0.7 * new
    tested = CliRunner().invoke(evaluate.main, [str(tmp_path / "begun"), stores[1], "--json", "--device", "cpu"])
    assert json.loads(tested.stdout)[0]["frames"] == 40


def test_the_examples_are_as_short_as_the_documentation_says():
    for name, most in (("own_lifter.py", 65), ("own_loop.py", 75)):
        assert len((EXAMPLES / name).read_text().splitlines()) <= most
    assert "auglift" not in re.sub(r'""".*?"""', "", (EXAMPLES / "own_lifter.py").read_text(), flags=re.S)


def test_the_settings_in_the_documentation_are_settings_of_the_example(tmp_path: Path):
    text = (EXAMPLES.parent / "docs" / "own-lifter.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, flags=re.S)
    (tmp_path / "settings.toml").write_text(block)
    setup = Setup(("a.zarr",), LIFTER[1], config=tmp_path / "settings.toml")
    assert (setup.epochs, setup.hyperparameters.loss) == (60, {"own": 1.0})


def test_the_loss_of_own_lifter_is_what_its_docstring_says():
    sys.path.insert(0, str(EXAMPLES))
    try:
        from own_lifter import JointsThenFrames  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(EXAMPLES))
    torch.manual_seed(0)
    model = JointsThenFrames(2, 5, width=8, depth=1, heads=2)
    predicted, target, mask = torch.randn(4, 5, 17, 3), torch.randn(4, 5, 17, 3), torch.rand(4, 5, 17) > 0.3
    ours = combined({"mpjpe": 1, "velocity": model.velocity})(predicted, target, mask)
    torch.testing.assert_close(model.loss(predicted, target, mask), ours)
