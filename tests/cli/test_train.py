"""cli/train.py: `auglift-train` as a user calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from auglift.cli.train import main
from auglift.lifters.training.log import read_log
from tests.fakes.people import PeopleStore, people

SMALL = ["--lifter", "simple_baseline", "--window", "3", "--batch", "64", "--device", "cpu", "--threads", "1"]
SMALL += ["--set", "width=16", "--set", "lr=2e-3"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return people(tmp_path_factory.mktemp("train") / "people.zarr").url


def call(*arguments: str):
    return CliRunner().invoke(main, [*arguments])


def test_it_trains_says_what_it_held_out_and_does_nothing_twice(store: str, tmp_path: Path):
    arguments = [store, *SMALL, "--inputs", "xyc", "--epochs", "2", "--out", str(tmp_path / "run")]
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    assert "held-out subjects S4" in done.stderr
    assert "epoch 2/2: MPJPE" in done.stderr
    assert "2 epochs, best is" in done.stdout
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["setup"]["inputs"]["name"] == "xyc"
    assert run["setup"]["changes"] == {"model": {"width": 16}, "optimiser": {"learning_rate": 2e-3}}
    again = call(*arguments)
    assert again.exit_code == 0
    assert again.stdout == done.stdout
    assert "epoch 2/2" not in again.stderr


def test_json_is_an_event_a_line(store: str, tmp_path: Path):
    done = call(store, *SMALL, "--epochs", "2", "--limit", "64", "--out", str(tmp_path / "run"), "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [e["event"] for e in events if e["event"] != "note"] == ["begin", "epoch", "epoch", "end"]
    assert events[-1]["finished"] is True
    assert events[-1]["best_mpjpe"] == min(e["held_out_mpjpe"] for e in events if e["event"] == "epoch")


@pytest.mark.parametrize("more", [["--json"], []])
def test_of_processes_that_train_together_one_says_the_end(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
):
    from auglift.lifters.training.train import Outcome

    def other_rank(setup, out, watcher, stop):
        return Outcome(Path(out), 1, 0, 5.0, finished=False, leads=False)

    monkeypatch.setattr("auglift.lifters.training.train.train", other_rank)
    done = call(store, *SMALL, "--out", str(tmp_path / "run"), *more)
    assert (done.stdout, done.stderr, done.exit_code) == ("", "", 130)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "widht=3"], "no 'widht'"),
        (["--inputs", "uad"], "did you mean 'uadd'"),
        (["--inputs", "spatial"], "has no uadd/spatial"),
        (["--window", "4"], "no centre"),
        (["--device", "cuda:77"], "--device cpu"),
        (["--lifter", "posformer"], "did you mean 'poseformer'"),
        (["--init", "nowhere"], "no run"),
        (["--set", "lr=1e30"], "the loss became"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(store: str, tmp_path: Path, arguments: list[str], words: str):
    done = call(store, *SMALL, "--epochs", "1", "--out", str(tmp_path / "run"), *arguments)
    assert done.exit_code == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert words in line
    assert "Traceback" not in done.output


def test_a_store_still_being_written_is_one_line_and_exit_code_2(tmp_path: Path):
    PeopleStore(shard_frames=64).run(tmp_path / "half.zarr", shards=2)
    done = call(str(tmp_path / "half.zarr"), *SMALL, "--out", str(tmp_path / "run"))
    assert done.exit_code == 2
    assert "not complete" in done.stderr


def test_ctrl_c_saves_and_the_same_command_goes_on(store: str, tmp_path: Path):
    arguments = [store, *SMALL, "--epochs", "40", "--out", str(tmp_path / "run"), "--json"]
    command = [sys.executable, "-m", "auglift.cli.train", *arguments]
    # A shell gives background jobs SIGINT ignored; here it must arrive.
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert child.stdout
    for line in child.stdout:
        if json.loads(line)["event"] == "epoch":
            child.send_signal(signal.SIGINT)
            break
    rest = child.stdout.read().splitlines()
    assert child.wait(60) == 130
    assert json.loads(rest[-1])["finished"] is False
    before = read_log(tmp_path / "run" / "log.jsonl")
    assert 1 <= len(before) < 40
    assert call(*arguments).exit_code == 0
    after = read_log(tmp_path / "run" / "log.jsonl")
    assert after[: len(before)] == before
    assert [line["epoch"] for line in after] == list(range(40))
