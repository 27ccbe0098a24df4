"""OpenMMLab's checkpoints as they are published: colour statistics of before September 2022, logs of their training."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from auglift.pipeline.networks import openmmlab
from auglift.pipeline.networks.detect import build_detector
from auglift.pipeline.networks.models import MODELS
from auglift.pipeline.networks.pose import build_pose
from auglift.pipeline.networks.weights.load import fit_state, read_state
from auglift.stores.errors import InvalidValueError

MEAN, STD = "data_preprocessor.mean", "data_preprocessor.std"


def statistics(name: str) -> dict[str, Tensor]:
    """As OpenMMLab's files have them: (3, 1, 1), in the order that the network sees."""
    settings = openmmlab.read_config(MODELS[name].config).model.data_preprocessor
    return {MEAN: torch.tensor(settings["mean"]).view(3, 1, 1), STD: torch.tensor(settings["std"]).view(3, 1, 1)}


def random_network(name: str) -> Any:
    package = "mmdet" if MODELS[name].kind == "detector" else "mmpose"
    return openmmlab.build(openmmlab.read_config(MODELS[name].config), package, seed=3)


def write_published(path: Path, state: dict[str, Tensor]) -> Path:
    """A checkpoint with everything that is in a published RTMDet's, by the names that NumPy 1 gave its own.

    The weights, their moving average, a HistoryBuffer a logged quantity with the statistics it can compute (each read
    from the class by `getattr`), NumPy numbers, the optimiser's and the schedules' states.
    """
    HistoryBuffer = openmmlab.load("mmengine.logging").HistoryBuffer
    logs = {f"train/{name}": HistoryBuffer([1.0, 2.0], [1, 1]) for name in ("loss", "loss_cls", "loss_bbox")}
    checkpoint = {
        "meta": {"epoch": 300, "iter": 10, "cfg": "model = dict()", "dataset_meta": {"CLASSES": ("person",)}},
        "state_dict": OrderedDict(state),
        "ema_state_dict": OrderedDict({f"module.{key}": value + 1 for key, value in state.items()}),
        "message_hub": {
            "log_scalars": OrderedDict(logs),
            "runtime_info": OrderedDict(iter=np.int64(3), loss=np.float64(0.5)),
            "resumed_keys": OrderedDict(iter=True),
        },
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
        "param_schedulers": [{"begin": 0, "end": 300, "by_epoch": True, "_global_step": 3}],
    }
    written = path.with_suffix(".numpy2")
    torch.save(checkpoint, written)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(path, "w") as target:
        for item in source.infolist():
            content = source.read(item)
            if item.filename.endswith("/data.pkl"):
                assert b"c__builtin__\ngetattr\n" in content
                content = content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
                assert b"cnumpy.core.multiarray\nscalar\n" in content
                assert b"cnumpy.core.multiarray\n_reconstruct\n" in content
            target.writestr(item, content)
    written.unlink()
    return path


def test_a_published_detectors_file_is_loaded_with_its_old_statistics_and_its_logs(tmp_path):
    state = random_network("rtmdet-nano").state_dict()
    write_published(tmp_path / "rtmdet-nano.pth", {**state, **statistics("rtmdet-nano")})
    loaded = build_detector("rtmdet-nano", tmp_path)._model.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


@pytest.mark.parametrize("name", ["rtmdet-tiny", "rtmdet-s", "rtmdet-m", "rtmdet-l", "rtmdet-m-person", "rtmpose-t"])
def test_the_statistics_of_every_networks_configuration_are_known_in_its_file(name):
    network = unfilled(name)
    assert not {MEAN, STD} & network.state_dict().keys()
    with pytest.raises(InvalidValueError) as error:  # of a file that has nothing else, they are not what is wrong
        fit_state(network, statistics(name), name)
    assert "missing " in str(error.value)
    assert "data_preprocessor" not in str(error.value)


def unfilled(name: str) -> Any:
    package = "mmdet" if MODELS[name].kind == "detector" else "mmpose"
    return openmmlab.build(openmmlab.read_config(MODELS[name].config), package)


@pytest.mark.parametrize(
    ("key", "change"),
    [(MEAN, lambda value: value.flip(0)), (MEAN, lambda value: value + 1), (STD, lambda value: value[:1])],
    ids=["another order", "another value", "one channel"],
)
def test_statistics_that_are_not_the_configurations_are_refused(tmp_path, key, change):
    network = random_network("rtmpose-t")
    found = statistics("rtmpose-t")
    found[key] = change(found[key])
    torch.save({"state_dict": {**network.state_dict(), **found}}, tmp_path / "rtmpose-t.pth")
    with pytest.raises(InvalidValueError, match=rf"not those of rtmpose-t: their {key} is [\d.]+.* configuration's "):
        build_pose("rtmpose-t", tmp_path)


def test_statistics_rounded_to_half_precision_are_the_same(tmp_path):
    network = random_network("rtmpose-t")
    found = {key: value.half() for key, value in statistics("rtmpose-t").items()}
    torch.save({"state_dict": {**network.state_dict(), **found}}, tmp_path / "rtmpose-t.pth")
    build_pose("rtmpose-t", tmp_path)


def test_what_else_a_file_calls_its_preprocessors_is_not_passed_over(tmp_path):
    network = random_network("rtmpose-t")
    torch.save(
        {"state_dict": {**network.state_dict(), "data_preprocessor.x": torch.ones(1)}}, tmp_path / "rtmpose-t.pth"
    )
    with pytest.raises(InvalidValueError, match=r"unexpected data_preprocessor\.x"):
        build_pose("rtmpose-t", tmp_path)


def test_of_a_files_two_copies_the_one_that_inference_uses_is_taken(tmp_path):
    """mmengine's hook swaps them when it saves: `state_dict` is the average."""
    read = read_state(write_published(tmp_path / "c.pth", {"x": torch.ones(2)}))
    assert list(read) == ["x"]
    assert read["x"].tolist() == [1, 1]
