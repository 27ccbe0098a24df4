"""first_weights.py, start.py: weights of other code as a beginning, widened, and what does not fit listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from auglift.lifters.inputs import Inputs
from auglift.lifters.models import build
from auglift.lifters.training.checkpoint import Run
from auglift.lifters.training.setup import Setup
from auglift.lifters.training.start import starting_model
from auglift.lifters.training.train import NoWatcher, train
from auglift.lifters.widening.first_weights import begin_with
from auglift.stores.errors import InvalidValueError, MissingFileError
from auglift.stores.reading.store import FeatureStore
from tests.fakes.own import EVERY_FRAME, PARTS, TOY, write
from tests.fakes.people import people

UADD = ["x", "y", "c", "d", "below", "above"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return people(tmp_path_factory.mktemp("weights") / "people.zarr", lengths=(40,) * 4).url


class TwoFirst(nn.Module):
    """Sees the joints twice, once as frequencies: as PoseFormerV2 does."""

    def __init__(self, channels: int):
        super().__init__()
        self.joint = nn.Linear(channels, 8)
        self.frequency = nn.Linear(17 * channels, 8)
        self.head = nn.Linear(16, 51)

    def forward(self, inputs: Tensor) -> Tensor:
        frequencies = torch.fft.rfft(inputs, dim=1).real[:, :1].flatten(2)
        both = torch.cat([self.joint(inputs).mean((1, 2)), self.frequency(frequencies)[:, 0]], dim=-1)
        return self.head(both.relu()).view(-1, 1, 17, 3)


class ChannelsFirst(nn.Module):
    """All joints of a channel side by side, after a scale: where a first layer's layout cannot be seen."""

    def __init__(self, channels: int):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.layer = nn.Linear(17 * channels, 51)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer((inputs * self.scale)[:, 1].transpose(-1, -2).flatten(1)).view(-1, 1, 17, 3)


@pytest.mark.parametrize("kind", [TwoFirst, ChannelsFirst])
@pytest.mark.parametrize(("old", "kept"), [(2, None), (3, None), (2, (0, 1)), (3, (0, 1, 3))])
def test_the_first_layer_is_widened_so_that_the_output_is_what_it_was(
    kind: type[nn.Module], old: int, kept: tuple[int, ...] | None
):
    torch.manual_seed(old)
    narrow, wide = kind(old).eval(), kind(6).eval()
    said: list[str] = []
    begin_with(wide, narrow.state_dict(), torch.rand(2, 3, 17, 6), "w.pth", UADD, kept, said.append)
    inputs = torch.randn(4, 3, 17, 6)
    torch.testing.assert_close(wide(inputs), narrow(inputs[..., list(kept or range(old))]))
    names = ", ".join(UADD[place] for place in kept or range(old))
    assert f"widened from {old} channels to 6; those of the file are taken to be {names}, the others" in said[-1]


@pytest.mark.parametrize("name", ["poseformer", "dstformer", "video_pose3d", "simple_baseline"])
def test_auglifts_own_lifters_begin_with_a_file_of_weights_too(name: str):
    small: dict[str, Any] = {
        "poseformer": {"joint_width": 8, "spatial_depth": 1, "temporal_depth": 1},
        "dstformer": {"width": 16, "representation_width": 16, "depth": 1},
        "video_pose3d": {"width": 8},
        "simple_baseline": {"width": 8},
    }[name]
    torch.manual_seed(0)
    narrow, wide = build(name, 2, 9, **small).eval(), build(name, 6, 9, **small).eval()
    begin_with(wide, narrow.state_dict(), torch.rand(2, 9, 17, 6), "w.pth", UADD)
    inputs = torch.randn(4, 9, 17, 6)
    torch.testing.assert_close(wide(inputs), narrow(inputs[..., :2]))


def test_new_channels_that_do_change_the_output_are_said():
    class Normed(nn.Module):
        def __init__(self, channels: int):
            super().__init__()
            self.layer = nn.Linear(channels, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            return self.layer(inputs / inputs.norm(dim=-1, keepdim=True))

    said: list[str] = []
    begin_with(Normed(6), Normed(2).state_dict(), torch.rand(2, 3, 17, 6), "w.pth", UADD, None, said.append)
    assert "the new channels change the output from the first step on" in said[-1]


def test_what_does_not_fit_is_listed(tmp_path: Path, store: str):
    write(tmp_path, "parts.py", PARTS)
    every = f"{write(tmp_path, 'every.py', EVERY_FRAME)}:EveryFrame"
    own = starting_model(Setup((store,), every, Inputs("uadd"), 9), [FeatureStore.open(store)])
    state = {f"module.{name}": torch.full_like(value, 0.5) for name, value in own.state_dict().items()}
    state["module.position"] = torch.zeros(1, 27, 17, 8)  # of another window
    state["module.embed.weight"] = torch.ones(8, 3)
    del state["module.head.bias"]
    state |= {"module.old.a.weight": torch.zeros(2), "module.old.b.weight": torch.zeros(2)}
    torch.save({"model": state}, tmp_path / "weights.pth")
    said: list[str] = []
    setup = Setup((store,), every, Inputs("uadd"), 9, init=str(tmp_path / "weights.pth"), rename=("module.=",))
    model = starting_model(setup, [FeatureStore.open(store)], say=said.append)
    text = "\n".join(line.removeprefix(f"{tmp_path}/weights.pth: ") for line in said)
    assert text.splitlines() == [
        "3 of its 6 tensors are taken for 3 of this lifter's 5",
        "2 not taken, for this lifter has none of that name: old.*",
        "1 not taken, for the shape is another: position 1x27x17x8 for 1x9x17x8",
        "1 new, for the file has none of that name: head.bias",
        "embed.weight widened from 3 channels to 6; those of the file are taken to be x, y, c, "
        "the others begin at zero",
    ]
    weights = model.state_dict()
    assert weights["embed.weight"].tolist() == [[1, 1, 1, 0, 0, 0]] * 8
    assert (weights["head.weight"] == 0.5).all()


@pytest.mark.parametrize(
    ("inputs", "renames", "words"),
    [
        ("uadd", (), r"nothing of .*weights\.pth fits: .*; try --rename 'module\.='"),
        ("xy", ("module.=",), r"is of 3 channels a joint \(embed\.weight is 8x3\), these inputs have 2 \(x, y\)"),
    ],
)
def test_weights_that_cannot_be_a_beginning_are_refused(
    tmp_path: Path, store: str, inputs: str, renames: tuple[str, ...], words: str
):
    write(tmp_path, "parts.py", PARTS)
    every = f"{write(tmp_path, 'every.py', EVERY_FRAME)}:EveryFrame"
    state = {"module.embed.weight": torch.zeros(8, 3), "module.head.bias": torch.zeros(3)}
    torch.save(state, tmp_path / "weights.pth")
    setup = Setup((store,), every, Inputs(inputs), 3, init=str(tmp_path / "weights.pth"), rename=renames, epochs=1)
    with pytest.raises(InvalidValueError, match=words):
        train(setup, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_wider_run_of_the_users_own_begins_with_the_output_of_the_narrow_one(tmp_path: Path, store: str):
    toy = f"{write(tmp_path)}:Toy"
    options = {"window": 3, "batch": 32, "epochs": 1, "device": "cpu"}
    train(Setup((store,), toy, Inputs("xycd"), **options), tmp_path / "narrow")
    (tmp_path / "toy.py").write_text(TOY + "# a line that changes nothing\n")  # its weights need none of its code
    setup = Setup((store,), toy, Inputs("xycd"), init=str(tmp_path / "narrow"), **options)
    assert starting_model(setup, [FeatureStore.open(store)]).channels == 4
    with pytest.raises(InvalidValueError, match="does not have"):
        starting_model(
            Setup((store,), toy, Inputs("uadd"), init=str(tmp_path / "narrow"), **options), [FeatureStore.open(store)]
        )
    train(Setup((store,), toy, Inputs("xyc"), **options), tmp_path / "xyc")
    wide = starting_model(
        Setup((store,), toy, Inputs("uadd"), init=str(tmp_path / "xyc"), **options), [FeatureStore.open(store)]
    ).eval()
    inputs = torch.randn(5, 3, 17, 6)
    torch.testing.assert_close(wide(inputs), Run(tmp_path / "xyc").model()(inputs[..., :3]))


def test_a_run_of_another_lifter_is_no_beginning_but_its_weights_may_be(tmp_path: Path, store: str):
    toy = f"{write(tmp_path)}:Toy"
    options = {"window": 1, "batch": 32, "epochs": 1, "device": "cpu"}
    changes = {"model": {"width": 8, "blocks": 1}}
    train(Setup((store,), "simple_baseline", Inputs("xy"), changes=changes, **options), tmp_path / "other")
    stores = [FeatureStore.open(store)]
    with pytest.raises(InvalidValueError, match=r"is a simple_baseline, not a Toy; to take what fits.*best\.pt"):
        starting_model(Setup((store,), toy, Inputs("uadd"), init=str(tmp_path / "other"), **options), stores)
    said: list[str] = []
    best = str(tmp_path / "other" / "best.pt")
    starting_model(Setup((store,), toy, Inputs("uadd"), init=best, **options), stores, say=said.append)
    assert "expand.weight, " not in said[0]
    assert "expand.weight widened from 2 channels to 6" in said[-1]
    with pytest.raises(MissingFileError, match=r"is no run .* and no file of weights"):
        starting_model(Setup((store,), toy, Inputs("uadd"), init="nowhere", **options), stores)


def test_a_training_goes_on_though_the_weights_it_began_with_are_gone(tmp_path: Path, store: str):
    torch.save({"head.bias": torch.ones(51)}, tmp_path / "weights.pth")
    toy = f"{write(tmp_path)}:Toy"
    setup = Setup((store,), toy, Inputs("xy"), 3, 16, 3, device="cpu", init=str(tmp_path / "weights.pth"))
    stop = iter([False, False, False, True])
    assert not train(setup, tmp_path / "run", stop=lambda: next(stop)).finished
    train(setup, tmp_path / "undisturbed")
    (tmp_path / "weights.pth").unlink()
    assert train(setup, tmp_path / "run", NoWatcher()).finished
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("run", "undisturbed")]
    losses = [[json.loads(line)["loss"] for line in log.splitlines()] for log in logs]
    assert losses[0] == losses[1]
