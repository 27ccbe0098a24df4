"""cli/derive.py, cli/compare.py: merge, select, diff and log as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from auglift.cli.store import main
from auglift.stores.locations.choose import locate
from auglift.stores.reading.store import FeatureStore
from auglift.stores.writing.lock import StoreLock

from ..fakes.derived import Part

SMALL = ("keypoints", "valid", "source_frame")


def run(*arguments: object, **options) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], **options)


@pytest.fixture
def parts(tmp_path) -> list[Path]:
    paths = [tmp_path / "a", tmp_path / "b"]
    for seed, path in enumerate(paths):
        Part(lengths=(20, 12, 9), prefix="x", seed=seed, only=SMALL).run(path)
    return paths


def test_merge_says_what_it_renamed_copied_and_verified(parts, tmp_path):
    done = run("merge", *parts, "--out", tmp_path / "c")
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'c'}: 6 sequences, 82 frames, 6 shards" in done.stdout
    assert "files copied as they are" in done.stdout
    assert f"'x/S1/walk 0/cam1' of {parts[1]} is called 'x/S1/walk 0/cam1 (2)' here" in done.stderr
    again = run("merge", *parts, "--out", tmp_path / "c")
    assert "0 files copied as they are, 0 written anew, 6 shards were there already" in again.stdout


def test_merge_and_select_as_json_are_one_line(parts, tmp_path):
    merged = json.loads(run("merge", *parts, "--out", tmp_path / "c", "--json").stdout)
    assert merged["renamed"][0] == {"store": str(parts[1]), "id": "x/S1/walk 0/cam1", "new_id": "x/S1/walk 0/cam1 (2)"}
    selected = json.loads(run("select", tmp_path / "c", "--split", "test", "--out", tmp_path / "d", "--json").stdout)
    assert (selected["sequences"], selected["frames"]) == (2, 18)


def test_select_takes_an_expression_a_file_of_ids_and_fields(parts, tmp_path):
    listed = tmp_path / "ids.txt"
    listed.write_text("x/S2/walk 1/cam1\n\nx/S1/walk 0/cam1\r\n")
    done = run("select", parts[0], "--sequences", listed, "--fields", "keypoints", "--out", tmp_path / "c")
    assert done.exit_code == 0, done.output
    store = FeatureStore.open(tmp_path / "c")
    assert [row.id for row in store.sequences] == ["x/S1/walk 0/cam1", "x/S2/walk 1/cam1"]
    again = run("select", parts[0], "--sequences", "-", "--out", tmp_path / "d", input="x/S1/walk 0/cam2\n")
    assert "1 sequences, 12 frames" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--where", 'subject == "S7"'), "no sequence of"),
        (("--where", "subject == S1"), "no column 'S1'"),
        (("--sequences", "nowhere.txt"), "there is no such file"),
        (("--fields", "uadd/paper"), "has no uadd/paper"),
        (("--fields", ","), "names no field"),
        (("--split", "val"), "split=val"),
    ],
)
def test_a_select_that_cannot_be_is_one_line_and_leaves_nothing(parts, tmp_path, arguments, says):
    done = run("select", parts[0], *arguments, "--out", tmp_path / "c")
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "c").exists()


def test_merging_what_differs_what_is_unfinished_and_what_is_locked_is_one_line_each(parts, tmp_path):
    other = tmp_path / "other"
    Part(lengths=(9,), only=SMALL, changes=(("depth", {"name": "deeper"}),)).run(other)
    half = tmp_path / "half"
    Part(lengths=(40,), only=SMALL, seed=5).run(half, shards=1)
    with StoreLock(locate(tmp_path / "c")):
        locked = run("merge", *parts, "--out", tmp_path / "c")
    for done, says in (
        (run("merge", parts[0], other, "--out", tmp_path / "d"), "depth.name"),
        (run("merge", parts[0], half, "--out", tmp_path / "d"), "is not complete"),
        (run("merge", parts[0], "--out", tmp_path / "d"), "at least two"),
        (run("merge", parts[0], tmp_path / "none", "--out", tmp_path / "d"), "there is no store"),
        (locked, "is being written by process"),
    ):
        assert done.exit_code == 2
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "d").exists()


def test_diff_exits_0_where_nothing_differs_and_1_where_something_does(parts, tmp_path):
    run("select", parts[0], "--out", tmp_path / "copy")
    same = run("diff", parts[0], tmp_path / "copy", "--values")
    assert (same.exit_code, same.stdout) == (0, "the same: 3 fields, 41 frames\n")
    made = run("diff", parts[0], tmp_path / "copy")
    assert made.exit_code == 1
    assert "derived" in made.stdout
    other = run("diff", *parts, "--json")
    assert other.exit_code == 1
    found = json.loads(other.stdout)
    assert found["same"] is False
    assert found["values"]["keypoints"]["first"]["sequence"] == "x/S1/walk 0/cam1"
    assert "keypoints" in run("diff", *parts).stdout
    Part(lengths=(9,), prefix="y", only=SMALL).run(tmp_path / "others")
    assert "not compared" in run("diff", parts[0], tmp_path / "others").stdout
    missing = run("diff", parts[0], tmp_path / "none")
    assert missing.exit_code == 2


def test_log_lists_every_command_in_order_with_versions(parts, tmp_path):
    run("merge", *parts, "--out", tmp_path / "c")
    run("select", tmp_path / "c", "--where", 'split == "test"', "--out", tmp_path / "d")
    entries = json.loads(run("log", tmp_path / "d", "--json").stdout)
    commands = [entry["command"] for entry in entries]
    assert commands == ["auglift-prep", "auglift-prep", "auglift-store merge", "auglift-store select"]
    assert all(entry["versions"]["auglift"] for entry in entries)
    assert entries[3]["options"] == {"where": 'split == "test"'}
    assert str(tmp_path) not in json.dumps(entries)
    shown = run("log", tmp_path / "d").stdout
    assert "1, 2" in shown
    assert "auglift-store select" in shown
    assert [entry["command"] for entry in json.loads(run("log", parts[0], "--json").stdout)] == ["auglift-prep"]
