"""reproduce/: the experiments are what docs/reproduce.md says they are, and what they write follows from the rows."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from auglift.lifters.sweeps.grid import read_grid, read_tables
from auglift.lifters.training.setup import baseline_of, name_of_inputs
from reproduce import document, experiment, run
from tests.fakes.people import people

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = (
    "demo",
    "quick",
    "exact_depth",
    "synthetic",
    "longer",
    "scaled",
    "recorded",
    "full",
    "representations",
    "representations_quick",
)
FEW_TARGETS = ("demo", "representations_quick")
DOMAINS = {"studio", "greenscreen", "street", "gym"}


def grid_of(name: str):
    return read_grid(ROOT / "reproduce" / f"{name}.toml")


@pytest.mark.parametrize(
    ("name", "trainings", "sources", "lifters", "seeds"),
    [
        ("demo", 2, {"studio"}, 1, 1),
        ("quick", 6, {"studio"}, 2, 1),
        ("exact_depth", 6, {"studio"}, 2, 1),
        ("synthetic", 36, {"studio"}, 4, 3),
        ("longer", 2, {"studio"}, 1, 1),
        ("scaled", 6, {"studio"}, 2, 1),
        ("recorded", 18, {"studio"}, 2, 3),
        ("full", 144, DOMAINS, 4, 3),
        ("representations", 27, {"studio"}, 1, 3),
        ("representations_quick", 9, {"studio"}, 1, 1),
    ],
)
def test_an_experiment_is_as_large_as_it_says(name: str, trainings: int, sources: set[str], lifters: int, seeds: int):
    jobs = grid_of(name).jobs
    assert len(jobs) == trainings
    assert {job.source for job in jobs} == sources
    assert len({job.setup.lifter for job in jobs}) == lifters
    assert len({job.setup.seed for job in jobs}) == seeds
    assert all(set(job.targets) == ({"studio", "gym"} if name in FEW_TARGETS else DOMAINS) for job in jobs)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_store_that_is_read_is_made_and_none_is_trained_and_tested_on(name: str):
    stores = read_tables(ROOT / "reproduce" / f"{name}.toml")["stores"]
    jobs = grid_of(name).jobs
    trained = {url for job in jobs for url in job.setup.stores}
    tested = {url for job in jobs for url in job.targets.values()}
    assert trained | tested == set(stores)
    assert not trained & tested
    assert {stores[url]["split"] for url in trained} == {"train"}
    assert {stores[url]["split"] for url in tested} == {"test"}


@pytest.mark.parametrize(
    ("name", "option", "value", "seeds"),
    [("exact_depth", "depth", "ground-truth", [0]), ("recorded", "mocap", "../shared/data/cmu_mocap", [0, 1, 2])],
)
def test_one_option_of_the_stores_is_all_that_differs_from_quick_beside_seeds(
    name: str, option: str, value: str, seeds: list[int]
):
    ours, quick = ((ROOT / "reproduce" / f"{each}.toml").read_text() for each in (name, "quick"))
    ours, quick = tomllib.loads(ours.replace(f"reproduce/{name}", "reproduce/quick")), tomllib.loads(quick)
    assert ours["every_store"].pop(option) == value
    assert (ours["grid"].pop("seed"), quick["grid"].pop("seed")) == (seeds, [0])
    assert ours == quick


def test_all_inputs_are_trained_alike():
    """Whatever helps the one is there for the others."""
    for name in EXPERIMENTS:
        by_inputs: dict[str, list[Any]] = {}
        for job in grid_of(name).jobs:
            setup = {k: v for k, v in job.setup.as_dict().items() if k != "inputs"}
            by_inputs.setdefault(name_of_inputs(job.setup.inputs), []).append(setup)
        assert len(by_inputs) > 1
        assert all(setups == by_inputs[baseline_of(inputs)] for inputs, setups in by_inputs.items())


def rows() -> list[dict[str, Any]]:
    figures = {("xy", "studio"): 100.0, ("uadd", "studio"): 95.0, ("xy", "gym"): 200.0, ("uadd", "gym"): 150.0}
    same = {"lifter": "simple_baseline", "window": 1, "source": "studio", "epochs": 40, "seconds": 60.0}
    return [
        {**same, "inputs": inputs, "target": target, "seed": seed, "mpjpe": value + seed, "p_mpjpe": value / 2}
        for (inputs, target), value in figures.items()
        for seed in (-1, 0, 1)
    ]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folders, with results in it."""
    for folder in ("reproduce", "docs"):
        (tmp_path / folder).mkdir()
    for name in ("reproduce/quick.toml", "docs/reproduce.md"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    out = tmp_path / "runs" / "reproduce" / "quick"
    out.mkdir(parents=True)
    (out / "results.json").write_text(json.dumps(rows()))
    (out / "times.json").write_text(json.dumps({"store a": 90.0, "store b": 30.0, "training": 600.0}))
    for module in (run, document, experiment):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(document, "DOCUMENT", tmp_path / "docs" / "reproduce.md")
    monkeypatch.setattr(document, "FIGURES", tmp_path / "docs" / "results")
    return tmp_path


def test_the_document_has_what_was_measured_and_only_that_section_changes(written: Path):
    before = (written / "docs" / "reproduce.md").read_text()
    done = CliRunner().invoke(run.main, ["quick", "--write-only"])
    assert done.exit_code == 0, done.output
    after = (written / "docs" / "reproduce.md").read_text()
    for words in (
        "6 of 6 trainings done: 2.0 min for the stores, 10.0 min for 6 trainings",
        "| studio | gym | simple_baseline | 200.0 ± 1.0 | 150.0 ± 1.0 (-25.0 %) |",
        "MPJPE -5.0 % in distribution",
        "-25.0 % out of distribution",
        "model.width = 256",
    ):
        assert words in after
    head, tail = before.index("<!-- quick -->"), before.index("<!-- /quick -->")
    assert after.startswith(before[:head])
    assert after.endswith(before[tail:])
    saved = json.loads((written / "docs" / "results" / "quick.json").read_text())
    assert len(saved) == 12
    assert saved[0].keys() >= {"lifter", "inputs", "source", "target", "seed", "mpjpe", "p_mpjpe", "seconds"}


def test_a_lifter_is_also_compared_on_the_subjects_that_training_kept_aside(written: Path):
    for job in grid_of("quick").jobs:
        inputs = name_of_inputs(job.setup.inputs)
        if job.setup.lifter == "simple_baseline" and inputs in ("xy", "uadd"):
            log = written / "runs" / "reproduce" / "quick" / job.name / "log.jsonl"
            log.parent.mkdir()
            figures = (90.0, 80.0, 85.0) if inputs == "xy" else (90.0, 100.0)
            log.write_text("".join(json.dumps({"held_out_mpjpe": figure}) + "\n" for figure in figures))
    assert CliRunner().invoke(run.main, ["quick", "--write-only"]).exit_code == 0
    after = (written / "docs" / "reproduce.md").read_text()
    assert "| simple_baseline | uadd | -5.0 % | +12.5 % | -25.0 % |" in after
    assert document.by_lifter(rows(), [])[2:] == ["| simple_baseline | uadd | -5.0 % | - | -25.0 % |"]


def test_the_networks_that_made_the_stores_are_named_with_their_digests(written: Path):
    assert document.networks(["none.zarr"]) == ""
    detector = {"name": "tiny-detector", "weights": "sha256:0123456789abcdef"}
    exact = {"name": "ground-truth", "weights": "none"}
    for name, pose in (("a.zarr", "aaaaaaaaaa"), ("b.zarr", "bbbbbbbbbb")):
        networks = {"detector": detector, "pose": {"name": "tiny-pose", "weights": f"sha256:{pose}"}, "depth": exact}
        people(written / name, lengths=(20,), configuration=networks)
    named = "tiny-detector 01234567, tiny-pose aaaaaaaa, tiny-pose bbbbbbbb, ground-truth"
    assert document.networks(["a.zarr", "b.zarr", "none.zarr"]) == f" Networks: {named}."


def test_the_same_rows_give_the_same_files(written: Path):
    files = []
    for _ in range(2):
        assert CliRunner().invoke(run.main, ["quick", "--write-only"]).exit_code == 0
        files.append({p.name: p.read_bytes() for p in (written / "docs").rglob("*") if p.is_file()})
    assert files[0] == files[1]
    assert set(files[0]) == {"reproduce.md", "quick.json", "quick.svg"}


def test_shown_the_table_is_printed_and_the_documents_are_left_alone(written: Path):
    before = {p: p.read_bytes() for p in (written / "docs").rglob("*") if p.is_file()}
    figure = written / "build" / "not yet there" / "comparison.png"
    done = CliRunner().invoke(run.main, ["quick", "--write-only", "--show", str(figure)])
    assert done.exit_code == 0, done.output
    assert "| studio | gym | simple_baseline | 200.0 ± 1.0 | 150.0 ± 1.0 (-25.0 %) |" in done.output
    assert figure.stat().st_size > 1000
    assert {p: p.read_bytes() for p in (written / "docs").rglob("*") if p.is_file()} == before


def test_nothing_measured_is_nothing_written(written: Path):
    (written / "runs" / "reproduce" / "quick" / "results.json").unlink()
    done = CliRunner().invoke(run.main, ["quick", "--write-only"])
    assert done.exit_code == 1
    assert "nothing has been measured yet" in done.output
    assert "no experiment" in CliRunner().invoke(run.main, ["quik"]).output
