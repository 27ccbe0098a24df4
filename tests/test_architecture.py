"""The arrows between the rooms run one way, and a trainer needs neither ray nor mmpose: read off the imports."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# room -> the rooms it may import, and packages it may not.
DEPTH_PASS = {"ray", "mmcv", "mmdet", "mmpose", "mmengine", "transformers", "av", "cv2", "numba"}
ROOMS: dict[str, tuple[set[str], set[str]]] = {
    "stores": (set(), DEPTH_PASS | {"torch", "click", "rich", "pandas", "scipy", "matplotlib"}),
    "pipeline": ({"stores"}, {"click"}),
    "lifters": ({"stores"}, DEPTH_PASS | {"click"}),
    "cli": ({"stores", "pipeline", "lifters"}, set()),
}


# Inside a folder: its files and sub-folders in the order of the arrows. Each may import those before it, none after.
# Folders that are not here hold files alone; for those, and for all, there is no import cycle.
ORDER: dict[str, str] = {
    "stores": "surface errors format locations ledger attributes families reading writing summaries report export "
    "derived comparison",
    "pipeline": "homes joint_rows device frames features plan uadd networks extract computing build synth datasets "
    "licences keypoints extension execution embedded pictures",
    "pipeline/datasets": "formats table joints letterbox sanity listing video archive calibrated h36m mpi_inf_3dhp "
    "fit3d threedpw synth",
    "pipeline/synth": "seeding domains motion clip planned scene rendering stage truth video rendered simulated",
    "pipeline/synth/simulated": "noise raster sensor truth",
    "pipeline/networks": "tiny model_spec models weights hugging_face openmmlab boxes detect people pose depth_models "
    "depth compiled blazepose own_networks families substitutes",
    "pipeline/networks/depth_models": "decoder_map depth_meaning transformers_depth openvino_depth",
    "pipeline/networks/blazepose": "litert regions people landmarks estimators",
    "pipeline/keypoints": "detections skeletons formats mapping checks matching person given",
    "pipeline/execution": "batch_memory overlap results shard_job calibration worker scheduling resources address "
    "authentication ray_cluster ray_executor serial",
    "lifters": "losses metrics plane raw representations standard inputs models widening own_lifters data training "
    "evaluation analysis poses zoo sweeps",
    "lifters/analysis": "style tiers novelty occlusion detection sequence_length analyse plots report",
    "cli": "common prep picture derive compare info look store train analysis evaluate sweep lift tiny",
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


def modules() -> dict[str, Path]:
    """Every file of the four rooms by its dotted name, a package by its `__init__`."""
    found = {}
    for room in ROOMS:
        for path in sources(room):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def inner_imports() -> dict[str, set[str]]:
    """File -> the files of the rooms that it imports, also in functions and for types alone."""
    there = modules()
    found: dict[str, set[str]] = {name: set() for name in there}
    for name, path in there.items():
        for _, imported in imports(path):
            parts = imported.split(".")[1:] if imported.startswith("auglift.") else []
            while parts and ".".join(parts) not in there:
                parts = parts[:-1]
            if parts and ".".join(parts) != name:
                found[name].add(".".join(parts))
    return found


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


def test_an_installed_package_has_every_folder_of_the_rooms():
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    there = {
        "auglift." + ".".join(path.parent.relative_to(ROOT).parts): str(path.parent.relative_to(ROOT))
        for room in ROOMS
        for path in sources(room)
        if path.name == "__init__.py"
    }
    assert set(named["packages"]) == set(there)
    assert {name: folder for name, folder in named["package-dir"].items() if name in there} == there


def wrong_arrows(graph: dict[str, set[str]], folder: str, order: list[str]) -> list[str]:
    prefix = folder.replace("/", ".") + "."
    found = []
    for name, imported in sorted(graph.items()):
        for other in sorted(imported):
            if name.startswith(prefix) and other.startswith(prefix):
                ours, theirs = (n.removeprefix(prefix).split(".")[0] for n in (name, other))
                if order.index(theirs) > order.index(ours):
                    found.append(f"{name} imports {other}")
    return found


@pytest.mark.parametrize("folder", ORDER)
def test_inside_a_folder_the_arrows_follow_its_order(folder):
    order = ORDER[folder].split()
    there = {
        path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert set(order) == there - {"__init__"}, "the order must name every file and folder"
    assert wrong_arrows(inner_imports(), folder, order) == []


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """What is left when files that import nothing that is left are taken away, again and again."""
    left = dict(graph)
    while free := [name for name, imported in left.items() if not imported & left.keys()]:
        for name in free:
            del left[name]
    return sorted([name, *sorted(imported & left.keys())] for name, imported in left.items())


def test_no_file_imports_itself_by_way_of_others():
    # A package's `__init__` names its public files, which they in turn never import.
    graph = {name: set(imported) for name, imported in inner_imports().items()}
    assert cycles(graph) == []


def test_the_reading_of_arrows_sees_what_it_must():
    graph = {"stores.format.a": {"stores.reading.b"}, "stores.reading.b": {"stores.format.a"}, "stores.errors": set()}
    assert wrong_arrows(graph, "stores", ["errors", "format", "reading"]) == [
        "stores.format.a imports stores.reading.b"
    ]
    assert [cycle[0] for cycle in cycles(graph)] == ["stores.format.a", "stores.reading.b"]


@pytest.mark.parametrize("room", ROOMS)
def test_no_folder_holds_more_files_than_one_can_look_over(room):
    crowded = {
        str(folder.relative_to(ROOT)): len(files)
        for folder in [ROOT / room, *(ROOT / room).rglob("*/")]
        if len(files := [path for path in folder.glob("*.py") if path.name != "__init__.py"]) > 13
    }
    assert crowded == {}


def test_no_file_is_longer_than_one_can_read():
    files = [path for top in (*ROOMS, "tests", "benchmarks", "reproduce") for path in sources(top)]
    assert {str(path.relative_to(ROOT)): n for path in files if (n := path.read_text().count("\n")) > 350} == {}


PUBLIC = {
    "stores": "FeatureStore WindowLoader",
    "lifters": "WindowDataset Inputs widen build",
    "pipeline": "PRESETS compute",
}


@pytest.mark.parametrize("room", PUBLIC)
def test_the_public_names_of_a_room_are_there_and_cost_nothing_until_used(room):
    heavy = [*DEPTH_PASS, "torch", "zarr", "numpy", "pyarrow"]
    code = (
        f"import sys, auglift.{room} as room\n"
        f"loaded = [name for name in {heavy} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
        "assert set(room.__all__) <= set(dir(room))\n"
        "print(*(name for name in room.__all__ if getattr(room, name) is not None))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert set(PUBLIC[room].split()) <= set(done.stdout.split())


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
        "lifters/models/bad.py:1 imports auglift.pipeline.uadd.kernel",
        "lifters/models/bad.py:5 imports auglift.cli.prep",
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
