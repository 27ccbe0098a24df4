"""`CONFIG.py:CHECKPOINT`: what is run and what is not, and what is in the fingerprint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from auglift.pipeline.build import NetworkOptions
from auglift.pipeline.networks import openmmlab
from auglift.pipeline.networks.own_networks.config_file import config_file, digest, open_config
from auglift.stores.errors import InvalidValueError, MissingFileError

from ....fakes.configs import HALPE_26, write_checkpoint, write_config


def named(path: Path):
    found = config_file(str(path))
    assert found is not None
    return found


def test_names_of_the_table_and_repositories_are_no_configurations():
    assert config_file("rtmpose-l") is None
    assert config_file("owner/name") is None
    both = config_file("a/b.py:c/d.pth")
    assert both is not None
    assert (both.config, both.checkpoint) == (Path("a/b.py"), Path("c/d.pth"))
    assert both.name == "b.py:d.pth"  # where they lie is not what they are


def test_a_configuration_runs_only_when_its_network_is_built(tmp_path):
    """It is Python, and the user named it: looking for the files runs nothing yet."""
    config = tmp_path / "mine.py"
    config.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nmodel = dict(type='NoSuchThing')\n")
    checkpoint = write_checkpoint(tmp_path / "mine.pth", {"x": torch.ones(1)})
    NetworkOptions(pose=f"{config}:{checkpoint}", detector="tiny", depth="tiny").find_weights()
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InvalidValueError, match="cannot be built with mmpose"):
        open_config(named(config), "pose", "mmpose", "random")
    assert (tmp_path / "ran").exists()


def test_a_configuration_inside_a_checkpoint_is_never_run(tmp_path):
    config = write_config(tmp_path / "halpe.py", HALPE_26)
    opened = open_config(named(config), "pose", "mmpose", "random")
    checkpoint = write_checkpoint(tmp_path / "c.pth", opened.model.state_dict())  # its `cfg` would end this process
    again = config_file(f"{config}:{checkpoint}")
    assert again is not None
    assert open_config(again, "pose", "mmpose", None).seed is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise RuntimeError('not today')", "cannot be read as a configuration: RuntimeError: not today"),
        ("model = dict(", "cannot be read as a configuration: SyntaxError"),
        ("custom_imports = dict(imports=['no_such_module'])", "cannot be read as a configuration"),
        ("epochs = 3", "has no `model`"),
    ],
)
def test_a_configuration_that_fails_is_an_error_in_one_line(tmp_path, text, message):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(InvalidValueError, match=message) as caught:
        open_config(named(path), "pose", "mmpose", "random")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.py:c.pth", "there is no configuration"),
        ("here.py", "names no checkpoint"),
        ("here.py:absent.pth", "there is no checkpoint"),
    ],
)
def test_files_that_are_not_there_are_found_before_any_work(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    Path("here.py").touch()
    with pytest.raises(MissingFileError, match=message):
        NetworkOptions(detector=name, pose="tiny", depth="tiny").find_weights()


def test_the_digest_is_of_what_decides_and_of_nothing_else(tmp_path):
    def changed(*lines: str) -> str:
        return digest(openmmlab.run_config(write_config(tmp_path / "changed.py", HALPE_26, *lines)))

    base = changed()
    assert changed("data_root = '/elsewhere/'", "train_cfg = dict(max_epochs=3)") == base
    assert changed("model = dict(test_cfg=dict(flip_test=False))") != base
    assert changed("test_dataloader = dict(dataset=dict(metainfo=dict(from_file='other.py')))") != base
