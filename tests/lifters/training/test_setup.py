"""lifters/training/setup.py: settings as they are written, and those that cannot be."""

from __future__ import annotations

import json

import pytest

from auglift.lifters.training.setup import Setup, inputs_by_name, name_of_inputs, parse_changes
from auglift.stores.errors import InvalidValueError


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("lr", "KEY=VALUE"),
        ("widht=3", "no 'widht'"),
        ("optimiser.learning_rat=3", "did you mean 'learning_rate'"),
        ("lr=fast", "must be a float"),
        ("loss.mpjp=1", "did you mean 'mpjpe'"),
        ("loss.mpjpe=inf", "must be finite"),
        ("lr=nan", "must be finite"),
        ("schedule.batch_norm_momentum=[0.1, nan]", "must be finite"),
    ],
)
def test_settings_that_do_not_exist_are_refused(assignment: str, words: str):
    with pytest.raises(InvalidValueError, match=words):
        parse_changes("simple_baseline", [assignment])


@pytest.mark.parametrize(
    "text",
    [
        *("xy", "uadd", "xycd/paper", "uadd@root", "xycd/quantile@root", "xy@scaled", "uadd@root@scaled=0.85"),
        *("xy@centred", "ordinal3@standard", "uadd@root@scaled@centred@standard", "spatial/spatial@base@standard"),
    ],
)
def test_names_of_inputs_are_read_as_they_are_written(text: str):
    assert name_of_inputs(inputs_by_name(text)) == text
    setup = Setup(("a.zarr",), "poseformer", inputs_by_name(text), window=9)
    assert Setup.from_dict(json.loads(json.dumps(setup.as_dict()))) == setup


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("uadd@rot", "no option '@rot'; there are @root, @scaled, @dscale, @centred, @standard, @paper, @joints=NAME"),
        ("uadd@root=1", "no option '@root=1'"),
        ("xy@scaled=big", "'big' is no number"),
        ("xy@scaled=-1", "must be above 0"),
        ("xy@scaled=inf", "must be"),
        ("xy@centerd", "no option '@centerd'"),
        ("xy@standard=2", "no option '@standard=2'"),
        ("xy@paper@centred", "@paper is without @centred and @standard"),
    ],
)
def test_an_option_of_inputs_that_cannot_be_is_an_error(text: str, words: str):
    with pytest.raises(InvalidValueError, match=words):
        inputs_by_name(text)
