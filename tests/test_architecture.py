"""The arrows between the rooms run one way, and a trainer needs neither ray nor mmpose: read off the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# room -> the rooms it may import, and packages it may not.
DEPTH_PASS = {"ray", "mmcv", "mmdet", "mmpose", "mmengine", "transformers", "av", "cv2", "numba"}
ROOMS: dict[str, tuple[set[str], set[str]]] = {
    "stores": (set(), DEPTH_PASS | {"torch", "click", "rich", "pandas", "scipy", "matplotlib", "xarray"}),
    "pipeline": ({"stores"}, {"click"}),
    "lifters": ({"stores"}, DEPTH_PASS | {"click"}),
    "cli": ({"stores", "pipeline", "lifters"}, set()),
}


def sources(room: str) -> list[Path]:
    found = sorted((ROOT / room).rglob("*.py"))
    assert found, f"no Python in {room}/"
    return found


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute name) of every import in a file, also of those in functions."""
    package = ["auglift", *path.relative_to(ROOT).with_suffix("").parts][:-1]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{name}.{alias.name}") for alias in node.names)


def complaints(room: str) -> list[str]:
    rooms, packages = ROOMS[room]
    found = []
    for path in sources(room):
        for line, name in imports(path):
            parts = name.split(".")
            foreign = parts[0] == "auglift" and len(parts) > 1 and parts[1] in ROOMS and parts[1] not in {room, *rooms}
            if foreign or parts[0] in packages or parts[0] in ROOMS:
                found.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_its_arrows_allow(room):
    assert complaints(room) == []


@pytest.mark.parametrize("room", ROOMS)
def test_inside_a_room_imports_are_relative(room):
    absolute = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources(room)
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "auglift")
        or (isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "auglift" for alias in node.names))
    ]
    assert absolute == []


def test_the_reading_of_imports_sees_what_it_must(tmp_path, monkeypatch):
    """Were it blind, the tests above would hold anything."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "lifters" / "models").mkdir(parents=True)
    (tmp_path / "lifters" / "models" / "bad.py").write_text(
        "from ...pipeline.uadd import kernel\n"
        "from ...stores import schema\n"
        "def late():\n"
        "    import mmpose.apis\n"
        "from auglift.cli import prep\n"
    )
    assert complaints("lifters") == [
        "lifters/models/bad.py:1 imports auglift.pipeline.uadd.descriptor.kernel",
        "lifters/models/bad.py:5 imports auglift.cli.prep.main",
        "lifters/models/bad.py:4 imports mmpose.apis",
    ]


WITHOUT = """
import importlib, pkgutil, sys
room, *refused = sys.argv[1:]
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in refused:
            raise ImportError(f"{name} must not be needed")
sys.meta_path.insert(0, Refuse())
package = importlib.import_module(f"auglift.{room}")
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
print(" ".join(sorted(name for name in sys.modules if name.split(".")[0] in refused)))
"""


@pytest.mark.parametrize(
    ("room", "refused"),
    [("stores", {*DEPTH_PASS, "torch", "obstore", "pandas", "xarray"}), ("lifters", DEPTH_PASS)],
)
def test_a_room_is_imported_whole_where_the_depth_pass_is_not_installed(room, refused):
    command = [sys.executable, "-c", WITHOUT, room, *sorted(refused)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
