"""lifters/evaluation/figures.py: figures of any group, from sums, are those of the group's frames alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.lifters.evaluation import figures
from auglift.lifters.evaluation.figures import tally
from auglift.lifters.metrics import JOINTS_3DHP_14, MEASURES, auc, errors, mean, measure, pck


def made(lengths: list[int], share: float, seed: int):
    """Frames with gaps: poses, truths of which some joints and some whole frames are NaN, frame, row."""
    rng = np.random.default_rng(seed)
    starts = np.cumsum([0, *lengths[:-1]])
    frame = np.concatenate(
        [start + np.flatnonzero(rng.random(n) > 0.2) for start, n in zip(starts, lengths, strict=True)]
    )
    row = np.searchsorted(starts, frame, side="right") - 1
    target = rng.normal(0, 0.3, (len(frame), 17, 3)).astype(np.float32)
    pose = target + rng.normal(0, 0.1, target.shape).astype(np.float32)
    target[rng.random(target.shape[:2]) < share] = np.nan
    target[rng.random(len(frame)) < share] = np.nan
    pose[rng.random(pose.shape[:2]) < share / 30] = np.nan  # a prediction that is no number is infinitely wrong
    return torch.from_numpy(pose), torch.from_numpy(target), frame, row


def piece(frame: np.ndarray, row: np.ndarray) -> list[int]:
    """Which run of neighbouring frames of a sequence each is of, a frame at a time."""
    numbers, number = [], 0
    for at in range(len(frame)):
        if at and (frame[at] != frame[at - 1] + 1 or row[at] != row[at - 1]):
            number += 1
        numbers.append(number)
    return numbers


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=9),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    joints=st.sampled_from([None, JOINTS_3DHP_14]),
    together=st.sampled_from([1, 2, 5, 4096]),
    seed=st.integers(0, 99),
)
def test_figures_of_groups_are_those_of_their_frames(lengths, share, joints, together, seed):
    pose, target, frame, row = made(lengths, share, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "FRAMES", together)
        found = tally(pose, target, frame, row, len(lengths), joints)
    every = errors(pose, target, joints=joints, sequence=piece(frame, row)) if len(frame) else None

    def expected(frames: np.ndarray, joint: int | None = None) -> dict[str, float]:
        part = torch.from_numpy(frames)
        return {
            name: m.reduce(every[m.of][part] if joint is None else every[m.of][part, joint]) if every else math.nan
            for name, m in MEASURES.items()
            if joint is None or m.of != "ordinal"
        }

    def same(ours: dict[str, float], theirs: dict[str, float]) -> None:
        assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-12, nan_ok=True)

    same(found.overall(), expected(np.ones(len(frame), bool)))
    group = np.arange(len(lengths)) % 3
    for number, of in enumerate(found.by_sequence(group, 3)):
        same(of, expected(group[row] == number))
    for number, of in enumerate(found.by_sequence(np.arange(len(lengths)), len(lengths))):
        same(of, expected(row == number))
    for joint in (0, 3, 16):
        same(found.by_joint(joint), expected(np.ones(len(frame), bool), joint))
    assert found.frames.tolist() == [int((row == n).sum()) for n in range(len(lengths))]


@settings(max_examples=60)
@given(st.lists(st.one_of(st.floats(0, 400), st.sampled_from([5.0, 150.0, math.inf, math.nan])), min_size=1))
def test_a_figure_is_the_mean_of_what_each_error_is_worth(values):
    error = torch.tensor(values, dtype=torch.float64)
    for name, by_hand in (("pck", pck), ("auc", auc), ("mpjpe", mean)):
        ours, theirs = MEASURES[name].reduce(error), by_hand(error)
        assert ours == pytest.approx(theirs, rel=1e-12, nan_ok=True), name


def test_the_figures_of_everything_are_those_of_measure():
    pose, target, frame, row = made([40, 30], 0.1, 1)
    ours = tally(pose, target, frame, row, 2, None).overall()
    assert ours == pytest.approx(measure(pose, target, sequence=piece(frame, row)), rel=1e-12)
