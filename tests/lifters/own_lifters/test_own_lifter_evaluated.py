"""lifters/training/checkpoint.py: a run of the user's own lifter runs the code it was trained with, or none."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from auglift.lifters.inputs import Inputs
from auglift.lifters.own_lifters.find import find_lifter
from auglift.lifters.own_lifters.own_lifter import OwnLifter
from auglift.lifters.training.checkpoint import BEST, RUN, Run, load
from auglift.lifters.training.setup import Setup
from auglift.lifters.training.train import train
from auglift.stores.errors import AugliftError, InvalidValueError, MissingFileError
from tests.fakes.own import EVERY_FRAME, PARTS, TOY, write
from tests.fakes.people import people


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run; beside it its lifter, which imports a part of itself, and the store."""
    write(tmp_path, "parts.py", PARTS)
    store = people(tmp_path / "people.zarr", lengths=(40,) * 4).url
    lifter = f"{write(tmp_path, 'every.py', EVERY_FRAME)}:EveryFrame"
    train(Setup((store,), lifter, Inputs("uadd"), 3, 32, 1, device="cpu", limit=64), tmp_path / "run")
    return tmp_path / "run"


def mark(file: Path) -> Path:
    """From now on this file leaves a mark when it is run."""
    file.write_text(f"open({str(file) + '.ran'!r}, 'w')\n{file.read_text()}")
    return file.with_name(file.name + ".ran")


@pytest.mark.parametrize("name", ["every.py", "parts.py"])
def test_a_changed_file_is_refused_without_being_run_unless_the_user_says_so(run: Path, name: str):
    ran = mark(run.with_name(name))
    with pytest.raises(InvalidValueError, match=rf"changed: .*{name}.*--allow-changed-lifter"):
        Run(run).model()
    assert not ran.exists()
    assert Run(run, allow_changed_lifter=True).model().many_to_many
    assert ran.exists()


def test_a_checkpoint_holds_no_code_and_names_none(run: Path):
    for name in (BEST, "last.pt"):
        content = load(run / name)  # weights_only
        assert "every" not in str(content["description"])
        assert content["description"]["lifter"].keys() == {"class", "sha256"}


def test_code_that_lies_in_the_run_itself_is_not_run(run: Path):
    """A run's folder may come from anybody: who made it also made its digests."""
    for name in ("every.py", "parts.py"):
        shutil.copy(run.with_name(name), run / name)
    text = (run / RUN).read_text()
    (run / RUN).write_text(text.replace(str(run.with_name("every.py")), str(run / "every.py")))
    assert json.loads((run / RUN).read_text())["setup"]["own"]["file"] == str(run / "every.py")
    with pytest.raises(InvalidValueError, match=r"code that comes with a checkpoint is not run"):
        Run(run).model()
    assert Run(run, lifter=f"{run}/every.py:EveryFrame").model().window == 3  # named by the user


def test_a_file_that_has_moved_is_missed_and_found_where_the_user_says(run: Path, tmp_path: Path):
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("every.py", "parts.py"):
        shutil.move(run.with_name(name), moved / name)
    with pytest.raises(MissingFileError, match=r"no longer in .*every\.py; say where: --lifter FILE\.py:EveryFrame"):
        Run(run).model()
    assert Run(run, lifter=f"{moved}/every.py:EveryFrame").model().window == 3
    with (moved / "parts.py").open("a") as file:
        file.write("# other\n")
    with pytest.raises(InvalidValueError, match=r"changed: parts\.py"):
        Run(run, lifter=f"{moved}/every.py:EveryFrame").model()


def test_a_run_can_be_read_where_its_lifter_is_not(run: Path):
    run.with_name("every.py").unlink()
    assert Run(run).setup.lifter == "every.py:EveryFrame"
    assert Run(run).setup.hyperparameters.model == {"width": 8}


def test_another_lifter_than_that_of_the_run_is_refused(run: Path, tmp_path: Path):
    toy = f"{write(tmp_path, source=TOY)}:Toy"
    with pytest.raises(InvalidValueError, match=r"is a every\.py:EveryFrame, not a poseformer"):
        Run(run, lifter="poseformer")
    with pytest.raises(InvalidValueError, match="Toy is not EveryFrame"):
        Run(run, lifter=toy).model()
    store = str(tmp_path / "people.zarr")
    train(Setup((store,), "simple_baseline", Inputs("xy"), 1, 32, 1, {"model": {"width": 8}}, limit=64), tmp_path / "b")
    with pytest.raises(InvalidValueError, match=r"is a simple_baseline, not a toy\.py:Toy"):
        Run(tmp_path / "b", lifter=toy)


def test_changed_code_that_does_not_fit_the_weights_says_so(run: Path):
    every = run.with_name("every.py")
    every.write_text(every.read_text().replace("nn.Linear(width, 3)", "nn.Linear(width, 3, bias=False)"))
    with pytest.raises(AugliftError, match="do not fit this"):
        Run(run, allow_changed_lifter=True).model()


def test_a_run_does_not_go_on_with_changed_code(run: Path, tmp_path: Path):
    def setup() -> Setup:
        lifter = f"{tmp_path}/every.py:EveryFrame"
        return Setup((str(tmp_path / "people.zarr"),), lifter, Inputs("uadd"), 3, 32, 2, device="cpu", limit=64)

    stop = iter([False, False, True])
    train(setup(), tmp_path / "more", stop=lambda: next(stop))
    made_before = setup()
    with (tmp_path / "parts.py").open("a") as file:
        file.write("# another\n")
    with pytest.raises(
        InvalidValueError, match=r"as it was before, and parts\.py has changed since: undo that, or give"
    ):
        train(setup(), tmp_path / "more")
    with pytest.raises(InvalidValueError, match=r"has changed since this training was set up \(parts\.py\)"):
        train(made_before, tmp_path / "new")


def test_a_run_is_of_the_same_code_however_its_file_is_named_and_wherever_one_stands(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """`torchrun -m` has the folder one is in on the search path, `auglift-train` has not."""
    own = Run(run).setup.own
    assert own is not None
    monkeypatch.chdir(tmp_path)
    by_module = find_lifter("every:EveryFrame")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    again, by_module_again = find_lifter("every.py:EveryFrame"), find_lifter("every:EveryFrame")
    for found in (by_module, again, by_module_again):
        assert isinstance(found, OwnLifter)
        assert (found.file, found.sha256, found.imports) == (own.file, own.sha256, own.imports)
        assert Run(run, lifter=found).model().window == 3
