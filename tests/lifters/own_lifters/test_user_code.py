"""user_code.py: code of several folders side by side, the bytes that were run, and what of them has changed."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from auglift.lifters.own_lifters.adapter import adapt
from auglift.lifters.own_lifters.find import find_lifter
from auglift.lifters.own_lifters.own_lifter import OwnLifter
from auglift.lifters.own_lifters.user_code import load_file
from tests.fakes.own import EVERY_FRAME, PARTS, TOY, write


def own(lifter: str) -> OwnLifter:
    found = find_lifter(lifter)
    assert isinstance(found, OwnLifter)
    return found


def repository(folder: Path, width: int) -> str:
    """A research repository as most are: a package `common` without __init__.py, imported by that name, and late."""
    write(folder / "common", "sizes.py", f"WIDTH = {width}\n")
    write(folder / "common", "late.py", f"WIDTH = {width}\n")
    source = "from common.sizes import WIDTH\n" + TOY.replace("width=8", "width=WIDTH").replace(
        "    def forward(self, inputs):\n", "    def forward(self, inputs):\n        import common.late as late\n"
    ).replace("return self.head", f"assert late.WIDTH == {width}\n        return self.head")
    return write(folder, "lifter.py", source)


def test_two_repositories_with_a_package_of_one_name_are_loaded_side_by_side(tmp_path: Path):
    lifters = [own(f"{repository(tmp_path / str(width), width)}:Toy") for width in (8, 16)]
    for lifter in (*lifters, *reversed(lifters)):
        width = int(Path(lifter.file).parent.name)
        module: Any = adapt(lifter, 6, 3, lifter.hyperparameters().model).module
        assert module.head.in_features == width
        assert set(lifter.imports) == {"common/sizes.py"}


def test_a_search_path_and_modules_that_were_there_stay(tmp_path: Path):
    own(f"{write(tmp_path / 'first')}:Toy")
    before = [path for path in sys.path if not path.startswith(str(tmp_path))], dict(sys.modules)
    write(tmp_path, "parts.py", PARTS)
    own(f"{write(tmp_path, 'every.py', EVERY_FRAME)}:EveryFrame")
    own(f"{write(tmp_path / 'other')}:Toy")
    assert [path for path in sys.path if not path.startswith(str(tmp_path))] == before[0]
    assert [name for name, module in before[1].items() if sys.modules.get(name) is not module] == []
    assert "parts" not in sys.modules  # the next folder's would be another


def test_the_digest_is_of_the_bytes_that_were_run_whatever_their_time_says(tmp_path: Path):
    """Python's own cache of a module goes by time and size: a file changed within a second would be the old one."""
    file = Path(write(tmp_path, source=TOY))
    first = own(f"{file}:Toy")
    assert first.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    status = file.stat()
    file.write_text(TOY.replace("width=8", "width=9"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert first.changed() == [str(file)]
    second = own(f"{file}:Toy")
    assert (second.defaults, second.changed()) == ({"width": 9}, [])
    assert not list(tmp_path.rglob("*.pyc"))


def test_a_file_is_run_once_and_again_only_where_it_or_what_it_imports_has_changed(tmp_path: Path):
    parts = Path(write(tmp_path, "parts.py", PARTS))
    file = Path(write(tmp_path, "every.py", EVERY_FRAME))
    first = load_file(file)
    assert load_file(file).module is first.module
    assert first.imports == {"parts.py": hashlib.sha256(parts.read_bytes()).hexdigest()}
    lifter = own(f"{file}:EveryFrame")
    parts.write_text(PARTS.replace("nn.Linear(channels, width)", "nn.Linear(channels, width, bias=False)"))
    assert lifter.changed() == ["parts.py"]
    assert load_file(file).module is not first.module
    made: Any = lifter.load()(6, 3)
    assert made.embed.bias is None
    parts.unlink()
    assert lifter.changed() == ["parts.py"]


def test_a_module_in_the_folder_one_is_in_is_found_and_what_it_imports_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path / "models", "parts.py", PARTS)
    write(tmp_path / "models", "every.py", EVERY_FRAME.replace("from parts", "from .parts"))
    monkeypatch.chdir(tmp_path)
    lifter = own("models.every:EveryFrame")
    assert (lifter.module, lifter.folder) == ("models.every", tmp_path)
    assert set(lifter.imports) == {"models/parts.py"}
    monkeypatch.chdir("/")
    made: Any = lifter.load()(6, 3)
    assert made.embed.out_features == 8  # from where it was, wherever one is
