"""checkpoint.py: a run whose files were damaged is refused in one line, whatever is wrong with them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.lifters.inputs import Inputs
from auglift.lifters.training.checkpoint import BEST, LAST, RUN, Run, load, save
from auglift.lifters.training.log import Log, read_log
from auglift.lifters.training.setup import Setup, parse_changes
from auglift.lifters.training.train import train
from auglift.stores.errors import AugliftError, CorruptStoreError, InvalidValueError, StoreWriteError
from tests.fakes.people import people


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "good.pt"
    save(path, {"description": {"lifter": "a"}, "weights": {"w": torch.randn(20, 20)}, "epoch": 1})
    return path


def refused(path: Path) -> str:
    with pytest.raises(CorruptStoreError) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_empty_checkpoint_is_refused_in_one_line(tmp_path: Path):
    (tmp_path / BEST).write_bytes(b"")
    assert "is empty" in refused(tmp_path / BEST)


@settings(max_examples=60)
@given(data=st.data())
def test_a_checkpoint_cut_off_anywhere_is_refused(checkpoint: Path, data):
    whole = checkpoint.read_bytes()
    cut = checkpoint.with_name("cut.pt")
    cut.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert "cannot be read as a checkpoint" in refused(cut)


@settings(max_examples=150)
@given(data=st.data())
def test_a_checkpoint_with_a_changed_bit_is_refused_or_means_the_same(checkpoint: Path, data):
    damaged = bytearray(checkpoint.read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = checkpoint.with_name("flipped.pt")
    path.write_bytes(damaged)
    try:
        found = load(path)
    except AugliftError:
        return
    # The bit was of padding, or of a time that nobody reads.
    good = load(checkpoint)
    assert found.keys() == good.keys()
    assert found["description"] == good["description"]
    assert torch.equal(found["weights"]["w"], good["weights"]["w"])


@pytest.mark.parametrize("content", [[1, 2], {"weights": {}}, {"format": 1}, {"format": 2, "weights": {}}])
def test_a_torch_file_that_is_no_checkpoint_of_ours_is_refused(tmp_path: Path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises((CorruptStoreError, InvalidValueError)) as caught:
        load(tmp_path / "other.pt", needed=["weights"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data"),
    [(LAST, b""), (LAST, b"PK"), (RUN, b""), (RUN, b"[]"), (RUN, b"{}"), (RUN, b'{"setup": 3}'), (RUN, b"\xff\xfe")],
)
def test_a_training_whose_files_were_damaged_says_which_and_changes_nothing(tmp_path: Path, name: str, data: bytes):
    url = people(tmp_path / "people.zarr", lengths=(20, 20)).url
    changes = parse_changes("simple_baseline", ["width=8", "blocks=1"])
    setup = Setup((url,), "simple_baseline", Inputs("xy"), 1, 16, 1, changes, device="cpu")
    train(setup, tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(data)
    with pytest.raises(AugliftError, match=name) as caught:
        train(setup, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "run" / name).read_bytes() == data
    if name == RUN:
        with pytest.raises(AugliftError, match=name):
            Run(tmp_path / "run")


@pytest.mark.parametrize("rest", [b'{"epoch": 1, "lo', b"\xff\xfe\x00", b"3\n", b"null\n"])
def test_a_log_is_read_up_to_what_is_no_line_of_it(tmp_path: Path, rest: bytes):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"epoch": 0, "loss": 2.0}\n' + rest)
    assert read_log(path) == [{"epoch": 0, "loss": 2.0}]


def test_a_figure_that_is_no_number_is_null_in_the_log(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    log = Log(path, 0)
    log.write({"epoch": 0, "loss": math.nan, "mpjpe": math.inf, "best_epoch": 0})
    log.close()
    assert path.read_text() == '{"epoch": 0, "loss": null, "mpjpe": null, "best_epoch": 0}\n'


def test_a_log_on_a_full_disk_is_an_error_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = Log(tmp_path / "log.jsonl", 0)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StoreWriteError, match=r"log\.jsonl cannot be written \(No space left on device\)"):
        log.write({"epoch": 0})
