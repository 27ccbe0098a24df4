"""cli/store.py and cli/common.py: what a user types, what a script relies on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from auglift.cli.common import AugliftCommand, AugliftGroup, echo_json
from auglift.cli.store import main
from auglift.stores.errors import MissingFieldError
from auglift.stores.locations.choose import locate
from auglift.stores.writing.lock import StoreLock
from auglift.stores.writing.verify import verify

from ..fakes.folders import digest_of_folder
from ..fakes.servers import BUCKET, s3_server
from ..fakes.stores import MadeStore

WARNING = "RANDOM WEIGHTS in rtmpose-l: THE FEATURES ARE NOISE"
MADE = MadeStore(configuration={"pose": {"name": "rtmpose-l", "weights": "random:0"}}, warnings=(WARNING,))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "s.zarr"
    MADE.run(path)
    return path


@pytest.fixture
def store(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "s.zarr"))


# --- info, sequences, report


def test_info_shows_what_is_there_and_shouts_about_random_weights(store):
    shown = run("info", store)
    assert shown.exit_code == 0
    assert WARNING in shown.stdout
    for part in ("complete", "rtmpose-l (weights: random:0)", "uadd/paper", "left_wrist", "depth, m", "1.0 seconds"):
        assert part in shown.stdout


def test_info_as_json_is_one_line_of_plain_data(store):
    shown = run("info", store, "--json")
    assert shown.stdout.count("\n") == 1
    about = json.loads(shown.stdout)
    assert about["frames"] == 50
    assert about["warnings"] == [WARNING]
    assert about["status"] == "complete"


def test_info_of_a_store_that_is_being_written_says_how_far_it_is(tmp_path):
    MADE.run(tmp_path / "s", shards=2)
    shown = run("info", tmp_path / "s")
    assert "building: 2 of 4 shards are finished and can be read" in shown.stdout


def test_sequences_are_listed_and_filtered(store):
    assert "3 sequences, 50 frames" in run("sequences", store).stdout
    shown = run("sequences", store, "--camera", "cam1", "--subject", "S1", "--subject", "S2", "--json")
    assert [row["id"] for row in json.loads(shown.stdout)] == ["S1/walk 0/cam1", "S2/walk 1/cam1"]


def test_a_filter_that_finds_nothing_shows_what_there_is(store):
    shown = run("sequences", store, "--subject", "S9", "--subject", "S11")
    assert shown.exit_code == 2
    assert shown.stderr.startswith("error: no sequence has subject=S9 or S11; the store has")
    assert "'S1', 'S2'" in shown.stderr


def test_a_camera_without_calibration_is_null_in_json(tmp_path):
    rows = [type(row)(**{**vars(row), "fx": float("nan"), "fps": float("nan")}) for row in MADE.sequences]

    class Uncalibrated(MadeStore):
        @property
        def sequences(self):
            return type(super().sequences).from_sequences(rows)

    Uncalibrated().run(tmp_path / "s")
    (first, *_) = json.loads(run("sequences", tmp_path / "s", "--json").stdout)
    assert first["fx"] is None
    assert first["cx"] == 512
    assert "-" in run("sequences", tmp_path / "s").stdout
    assert json.loads(run("info", tmp_path / "s", "--json").stdout)["seconds"] is None


def test_report_lists_the_worst_first(store):
    shares = [row["valid_share"] for row in json.loads(run("report", store, "--json").stdout)["sequences"]]
    assert shares == sorted(shares)
    assert "S1/walk 0/cam1" in run("report", store).stdout


# --- verify


def test_verify_of_a_sound_store_is_0(store):
    for options in ([], ["--deep"], ["--repair"]):
        shown = run("verify", store, *options)
        assert shown.exit_code == 0
        assert "nothing wrong" in shown.stdout


def test_verify_finds_repairs_and_the_next_job_brings_the_bytes_back(store, whole):
    path = store / "uadd" / "paper" / "c" / "2" / "0" / "0"
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    assert run("verify", store).exit_code == 0, "the size is right"
    shown = run("verify", store, "--deep")
    assert shown.exit_code == 1
    assert "uadd/paper/c/2/0/0" in shown.stdout
    assert "--repair marks what is bad" in shown.stdout
    mended = run("verify", store, "--deep", "--repair")
    assert mended.exit_code == 1
    assert "repaired: marked shard 2 to be done again" in mended.stdout
    assert run("info", store, "--json").stdout.count('"building"') == 1
    assert MADE.run(store) == [2]
    assert run("verify", store, "--deep").exit_code == 0
    assert digest_of_folder(store) == digest_of_folder(whole)


def test_verify_as_json_says_what_and_what_was_done(store):
    (store / "valid" / "c" / "0").unlink()
    found = json.loads(run("verify", store, "--json").stdout)
    assert [(f["key"], f["shard"], f["remedy"]) for f in found["findings"]] == [("valid/c/0", 0, "redo")]
    assert found["repaired"] == []
    found = json.loads(run("verify", store, "--json", "--repair").stdout)
    assert found["repaired"] == ["marked the store unfinished", "marked shard 0 to be done again"]


def test_repair_beside_a_running_job_is_refused_with_its_process(store):
    (store / "valid" / "c" / "0").unlink()
    with StoreLock(locate(store)):
        shown = run("verify", store, "--repair")
    assert shown.exit_code == 2
    assert f"is being written by process {os.getpid()}" in shown.stderr
    assert verify(store)


# --- card, export


def test_a_card_is_written_once_and_replaced_with_force(store):
    assert run("card", store).exit_code == 0
    assert (store / "README.md").read_text().startswith("---\n")
    (store / "README.md").write_text("mine")
    refused = run("card", store)
    assert refused.exit_code == 2
    assert "--force replaces it" in refused.stderr
    assert (store / "README.md").read_text() == "mine"
    assert run("card", store, "--force").exit_code == 0
    assert WARNING in (store / "README.md").read_text()
    assert run("verify", store, "--deep").exit_code == 0


@pytest.mark.parametrize("kind", ["videopose3d", "mmpose", "parquet"])
def test_export_writes_a_selection(store, tmp_path, kind):
    shown = run("export", store, "--format", kind, "--out", tmp_path / "out", "--split", "test", "--json")
    about = json.loads(shown.stdout)
    assert about["frames"] == 18
    assert all(Path(path).stat().st_size > 0 for path in about["paths"])
    again = run("export", store, "--format", kind, "--out", tmp_path / "out")
    assert again.exit_code == 2
    assert "is there already" in again.stderr
    shown = run("export", store, "--format", kind, "--out", tmp_path / "out", "--force")
    assert shown.exit_code == 0
    assert "50 frames" in shown.stdout


def test_every_command_takes_a_url_and_a_bucket_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    pytest.importorskip("obstore")
    pytest.importorskip("moto")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with s3_server() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server)
        url = f"s3://{BUCKET}/s.zarr"
        MADE.run(url)
        assert json.loads(run("info", url, "--json").stdout)["frames"] == 50
        assert run("card", url).exit_code == 0
        assert run("verify", url, "--deep").exit_code == 0
        assert run("export", url, "--format", "parquet", "--out", tmp_path).exit_code == 0
        shown = run("info", "s3://nowhere/s.zarr")
    assert shown.exit_code == 2
    assert shown.stderr.count("\n") == 1
    assert "there is no bucket 'nowhere'" in shown.stderr


# --- errors and exit codes


@pytest.mark.parametrize("command", [["info"], ["verify"], ["sequences"], ["report"], ["card"]])
def test_no_store_is_one_line_and_2(tmp_path, command):
    shown = run(*command, tmp_path / "nowhere")
    assert shown.exit_code == 2
    assert shown.stdout == ""
    assert shown.stderr.startswith("error: there is no store at")
    assert shown.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["info"], ["nonsense"], ["info", "a", "b"], ["info", "a", "--frob"], ["export", "a"]]
)
def test_a_wrong_call_is_one_line_with_where_to_look(arguments):
    shown = run(*arguments)
    assert shown.exit_code == 2
    assert shown.stderr.startswith("error: ")
    assert "--help)" in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_called_bare_the_group_shows_its_help():
    shown = run()
    assert shown.exit_code == 2
    for name in ("info", "verify", "sequences", "report", "card", "export"):
        assert name in shown.output


@pytest.mark.parametrize("kind", [AugliftCommand, AugliftGroup])
def test_errors_of_ours_are_one_line_others_stay_themselves(kind):
    def fail_with(error):
        if kind is AugliftCommand:
            return click.command(cls=AugliftCommand)(lambda: (_ for _ in ()).throw(error)), []
        group = click.group(cls=AugliftGroup)(lambda: None)
        group.command("do")(lambda: (_ for _ in ()).throw(error))
        return group, ["do"]

    command, arguments = fail_with(MissingFieldError("has no\nuadd/paper"))
    shown = CliRunner().invoke(command, arguments)
    assert (shown.exit_code, shown.stderr) == (2, "error: has no uadd/paper\n")
    command, arguments = fail_with(ZeroDivisionError("a bug"))
    shown = CliRunner().invoke(command, arguments)
    assert isinstance(shown.exception, ZeroDivisionError), "a bug keeps its traceback"
    command, arguments = fail_with(KeyboardInterrupt())
    shown = CliRunner().invoke(command, arguments)
    assert shown.exit_code == 130
    assert "run the same command again" in shown.stderr


def test_json_has_no_nan():
    with pytest.raises(ValueError, match="JSON"):
        echo_json({"a": float("nan")})


def test_a_real_ctrl_c_is_130():
    slow = (
        "import signal, time, click; from auglift.cli.common import AugliftGroup\n"
        # Where tests run in the background it is ignored, and a child inherits that.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "main = click.group(cls=AugliftGroup)(lambda: None)\n"
        "main.command('wait')(lambda: (print('ready', flush=True), time.sleep(60)))\n"
        "main(['wait'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", slow], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors


def test_in_a_pipe_nothing_is_cut_off_and_no_colour_is_written(store):
    """A table in a log file is as wide as what is in it."""
    name = "auglift-store"
    tool = shutil.which(name, path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.skip(f"{name} is not installed beside this Python")
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "FORCE_COLOR")}
    done = subprocess.run([tool, "info", str(store)], capture_output=True, text=True, check=True, env=environment)
    assert "…" not in done.stdout
    assert "\x1b" not in done.stdout
    assert "depth statistics of the `paper` disk about each joint" in done.stdout
