"""cli/prep/extend.py: new fields as a user asks for them; what cannot be is one line, before anything is computed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from auglift.cli.prep.main import main
from auglift.stores.derived.job import derive
from auglift.stores.derived.select import Selection, select_plan
from auglift.stores.reading.store import FeatureStore

from ...fakes.folders import digest_of_folder

TRUE = ["--pose", "ground-truth", "--depth", "ground-truth", "--threads", "1", "--device", "cpu", "--uadd", "paper"]
SMALL = ["--domain", "studio", "--clips", "2", "--frames", "3", "--size", "64"]


def prep(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a store, with new fields `base`, and the cache it was made from; and a simulated store."""
    folder = tmp_path_factory.mktemp("made")
    done = prep("synth", *SMALL, "--renderers", 1, *TRUE, "--cache", folder / "cache", "--out", folder / "x.zarr")
    assert done.exit_code == 0, done.output
    extra = ["--depth", "tiny", "--uadd", "fixed", "--threads", 1, "--device", "cpu"]
    done = prep("extend", folder / "x.zarr", "--root", folder / "cache", "--name", "base", *extra)
    assert done.exit_code == 0, done.output
    simulated = ["--sensor", "simulated", "--size", 256, "--noise", "standard:map=64", "--threads", 1]
    done = prep("synth", *SMALL, *simulated, "--out", folder / "simulated.zarr")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def there(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "made")


def without_boxes(there: Path) -> None:
    shutil.move(there / "x.zarr", there / "whole.zarr")
    derive(select_plan(there / "whole.zarr", Selection(fields=("keypoints", "score"))), there / "x.zarr")


def still_written(there: Path) -> None:
    group = there / "x.zarr" / "zarr.json"
    group.write_text(group.read_text().replace('"status": "complete"', '"status": "building"'))


def changed_video(there: Path) -> None:
    with next((there / "cache").rglob("video.mp4")).open("ab") as file:
        file.write(b"more")


CASES = {
    "a name that is taken": (lambda there: None, "cache", "base", "choose another --name"),
    "no name": (lambda there: None, "cache", "A B", "is no name for new fields"),
    "another's option": (lambda there: None, "cache", "centred", "--inputs has an option @centred"),
    "no videos": (lambda there: shutil.rmtree(there / "cache"), None, "new", "name the folder they lie in with --root"),
    "videos elsewhere": (lambda there: (there / "none").mkdir(), "none", "new", "give another --root"),
    "a changed video": (changed_video, "cache", "new", "1 of 2 sources changed since the store was made"),
    "no boxes": (without_boxes, "cache", "new", "has no bbox, which new fields are computed from"),
    "still being written": (still_written, "cache", "new", "is not complete"),
}


@pytest.mark.parametrize("case", CASES)
def test_new_fields_that_cannot_be_are_one_line_and_leave_nothing(there, case, monkeypatch):
    change, root, name, says = CASES[case]
    change(there)
    monkeypatch.chdir(there)
    before = digest_of_folder(there / "x.zarr")
    where = ["--root", root] if root else []
    done = prep("extend", "x.zarr", *where, "--depth", "tiny", "--uadd", "paper", "--name", name, "--device", "cpu")
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert digest_of_folder(there / "x.zarr") == before


def test_a_simulated_store_has_no_pictures_and_says_so(made):
    for depth in ([], ["--depth", "tiny"]):
        done = prep("extend", made / "simulated.zarr", "--name", "new", *depth)
        assert done.exit_code == 2
        assert "was made by a simulated sensor, without pictures" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_selected_store_is_extended_with_the_values_of_the_whole(made, tmp_path):
    part = tmp_path / "part.zarr"
    derive(select_plan(made / "x.zarr", Selection(where='split == "test" or start == 0')), part)
    extra = ["--depth", "tiny", "--uadd", "fixed", "--threads", 1, "--device", "cpu"]
    done = prep("extend", part, "--root", made / "cache", "--name", "again", *extra)
    assert done.exit_code == 0, done.output
    store = FeatureStore.open(part)
    assert store.read("uadd/fixed@again").tobytes() == store.read("uadd/fixed@base").tobytes()
