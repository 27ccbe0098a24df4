"""Training: it lowers the loss, it is a function of the seed, and an interrupted one ends as an undisturbed one."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from auglift.pipeline.embedded import augment
from auglift.pipeline.embedded.cache import CachePlan, render_cache
from auglift.pipeline.embedded.depth_task import depth_of_part, nearest_depth
from auglift.pipeline.embedded.detector_task import wanted_people
from auglift.pipeline.embedded.tasks import TASKS
from auglift.pipeline.embedded.train import Run, Trainer, _schedule
from auglift.pipeline.networks import tiny
from auglift.pipeline.networks.detect import build_detector
from auglift.stores.errors import InvalidValueError

from .conftest import PLAN


def trainer(frames, out: Path, name: str = "pose", **options) -> Trainer:
    return Trainer(Run(name, steps=6, batch=4, **options), frames, PLAN.per_clip, out)


@pytest.mark.parametrize("name", TASKS)
def test_steps_on_one_batch_lower_its_loss(frames, tmp_path, name):
    run = trainer(frames, tmp_path, name)
    batch = run.task.sample(frames, np.arange(4), np.random.default_rng(0))
    optimiser = torch.optim.Adam(run.model.parameters(), 1e-3)

    def step() -> float:
        optimiser.zero_grad()
        loss = torch.stack(list(run.task.loss(run.model, batch).values())).sum()
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    losses = [step() for _ in range(10)]
    assert np.isfinite(losses).all()
    if name == "detector":  # its first losses are small: as long as no box overlaps, none has a target
        losses = losses[int(np.argmax(losses)) :]
    assert losses[-1] < 0.95 * losses[0]


def test_an_interrupted_training_ends_with_the_same_weights(frames, tmp_path):
    trainer(frames, tmp_path / "whole").run()
    trainer(frames, tmp_path / "parts").run(until=0.5)
    again = trainer(frames, tmp_path / "parts")
    assert again.step == 3
    again.run()
    one, other = (load_file(tmp_path / folder / "tiny-pose.safetensors") for folder in ("whole", "parts"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    lines = [json.loads(line) for line in (tmp_path / "parts" / "pose.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6]


def test_another_seed_gives_other_weights_and_may_not_go_on_with_these(frames, tmp_path):
    first = trainer(frames, tmp_path, seed=0)
    first.save([])
    assert not torch.equal(
        next(first.model.parameters()), next(trainer(frames, tmp_path / "b", seed=1).model.parameters())
    )
    with pytest.raises(InvalidValueError, match="is of seed 0, not 1"):
        trainer(frames, tmp_path, seed=1)


def test_a_damaged_checkpoint_is_an_error_that_says_so(frames, tmp_path):
    (tmp_path / "pose.ckpt").write_bytes(b"PK nothing")
    with pytest.raises(InvalidValueError, match=r"pose\.ckpt is no checkpoint"):
        trainer(frames, tmp_path)


def test_what_is_written_is_what_the_ordinary_code_loads(frames, tmp_path):
    run = trainer(frames, tmp_path, "detector")
    run.save([])
    detector = build_detector("tiny", tmp_path)
    for key, value in run.average.state_dict().items():
        assert torch.equal(value.half().float(), detector._model.state_dict()[key].float()), key


def test_the_rate_rises_then_falls():
    rates = [_schedule(progress) for progress in np.linspace(0, 1, 101)]
    assert rates.index(max(rates)) == 2
    assert rates[-1] == pytest.approx(0.01)
    assert rates[2:] == sorted(rates[2:], reverse=True)


@pytest.mark.parametrize(
    ("options", "message"), [({"name": "hand"}, "detector, pose, depth"), ({"minutes": 0}, "nothing")]
)
def test_a_training_of_nothing_is_refused(options, message):
    with pytest.raises(InvalidValueError, match=message):
        Run(**{"name": "pose", **options})


# ---------------------------------------------------------------------------------------------------------------------
# Frames and what is done to them
# ---------------------------------------------------------------------------------------------------------------------


def test_frames_are_drawn_once_and_the_same_again(frames, tmp_path):
    plan = CachePlan("train", seed=7, clips=1, per_clip=2)
    cache = render_cache(tmp_path, plan)
    np.testing.assert_array_equal(cache.image, frames.image[:2])
    done = tmp_path / "image.npy"
    before = done.stat().st_mtime_ns
    render_cache(tmp_path, plan)
    assert done.stat().st_mtime_ns == before
    with pytest.raises(InvalidValueError, match="holds other frames"):
        render_cache(tmp_path, CachePlan("train", seed=8, clips=1, per_clip=2))


def test_without_chance_a_pose_batch_is_the_crop_that_inference_makes(frames):
    from auglift.pipeline.networks.pose import crop, crop_frame

    batch = TASKS["pose"].sample(frames, np.arange(4), None)
    boxes = torch.from_numpy(frames.boxes[:4, 0])
    centre, extent = crop_frame(boxes, (96, 128), 1.25)
    crops = crop(torch.from_numpy(frames.image[:4]), torch.arange(4), centre, extent, (96, 128))
    # OpenCV interpolates with five bits.
    assert (crops - batch["images"]).abs().mean() < 1
    corner = (centre - extent / 2)[:, None]
    # Half a pixel: the renderer puts the first pixel's centre there, and a crop of a store's frame at 0.
    expected = (torch.from_numpy(frames.keypoints_coco[:4]) - 0.5 - corner) / extent[:, None] * torch.tensor([96, 128])
    torch.testing.assert_close(batch["xy"], expected, atol=1e-2, rtol=0)


def test_without_chance_a_detector_batch_is_the_input_that_inference_makes(frames, tmp_path):
    batch = TASKS["detector"].sample(frames, np.arange(4), None)
    inputs, (scale, _) = build_detector("tiny", "random").inputs(torch.from_numpy(frames.image[:4]))
    mean = torch.tensor([103.53, 116.28, 123.675]).view(3, 1, 1)
    std = torch.tensor([57.375, 57.12, 58.395]).view(3, 1, 1)
    grey = (inputs * std + mean).flip(1).permute(0, 2, 3, 1)
    assert (grey - batch["images"]).abs().mean() < 1
    known = torch.isfinite(batch["boxes"])
    torch.testing.assert_close(batch["boxes"][known], torch.from_numpy(frames.boxes[:4])[known] * scale)


def test_what_is_thin_and_near_is_not_lost_on_the_way_to_the_depth_networks_size():
    depth, person = np.full((9, 9), 7.0, np.float16), np.zeros((9, 9), np.uint8)
    depth[:, 2], person[:, 2] = 3.0, 1
    depth[4, :], person[4, :] = 5.0, 2
    nearest, label = nearest_depth(depth, person)
    assert (nearest[0] == [7, 3, 3, 3, 7, 7, 7, 7, 7]).all()
    assert (label[0] == [0, 1, 1, 1, 0, 0, 0, 0, 0]).all()
    assert (nearest[3] == [5, 3, 3, 3, 5, 5, 5, 5, 5]).all()
    assert (label[3] == [2, 1, 1, 1, 2, 2, 2, 2, 2]).all()


def test_a_part_of_a_picture_knows_where_in_it_it_is(frames):
    task = TASKS["depth"]
    model = task.build(0).eval()
    picture = torch.randn(2, 3, tiny.DEPTH_SIDE, tiny.DEPTH_SIDE)
    whole = model(picture).predicted_depth
    assert torch.equal(depth_of_part(model, picture, torch.zeros(2, 2, dtype=torch.long)), whole)
    cut = picture[..., :72, :72]
    here, there = (depth_of_part(model, cut, torch.tensor([corner, corner])) for corner in ([0, 0], [6, 5]))
    assert here.shape == (2, 72, 72)
    assert not torch.allclose(here, there)
    assert torch.equal(model(picture).predicted_depth, whole)  # the network itself is as it was


def test_parts_that_are_cut_out_are_whole_patches_about_the_subject(frames):
    known = np.flatnonzero([(person == 1).sum() > 200 for person in frames.person])[:4]
    sizes = set()
    for seed in range(12):
        batch = TASKS["depth"].sample(frames, known, np.random.default_rng(seed))
        side = batch["images"].shape[-1]
        sizes.add(side)
        assert batch["depth"].shape == batch["person"].shape == (len(known), side, side)
        most = (tiny.DEPTH_SIDE - side) // tiny.DEPTH_PATCH
        assert ((batch["corner"] >= 0) & (batch["corner"] <= most)).all()
        assert (batch["person"] == 1).flatten(1).any(1).all()
    assert sizes == {8 * tiny.DEPTH_PATCH, tiny.DEPTH_SIDE}


def test_chance_keeps_boxes_on_their_people(frames):
    """A box of the moved image holds the pixels of its person: the image shows nothing else."""
    index = int(np.flatnonzero([wanted_people(b, h)[0] for b, h in zip(frames.boxes, frames.hidden, strict=True)])[0])
    x1, y1, x2, y2 = frames.boxes[index, 0]
    image = np.zeros_like(frames.image[index : index + 1])
    image[0, round(y1) : round(y2), round(x1) : round(x2)] = 255
    marked = type(frames)(**{**vars(frames), "image": np.repeat(image, len(frames), 0)})
    for seed in range(12):
        batch = TASKS["detector"].sample(marked, np.array([index]), np.random.default_rng(seed))
        box = batch["boxes"][0, 0]
        if not torch.isfinite(box).all():
            continue
        light = batch["images"][0].float().mean(-1)
        left, top, right, bottom = (int(v) for v in box.round())
        inside = light[top:bottom, left:right].median()
        row = light[(top + bottom) // 2]
        beyond = torch.cat([row[: max(0, left - 3)], row[right + 3 :]])
        if len(beyond) and inside > 150:  # not painted dark, not covered
            assert beyond.median() < inside


def test_the_mask_holds_what_is_covered(frames):
    image = np.asarray(frames.image[0])
    covered, mask = augment.cover(image, np.random.default_rng(3), most=3, largest=0.4)
    assert mask.any()
    assert not mask.all()
    np.testing.assert_array_equal(covered[~mask], image[~mask])
    points = np.array([[300.0, 3.0], [-1.0, 3.0], *np.argwhere(mask)[:1, ::-1] + 0.5])
    assert augment.joint_in(mask, points).tolist() == [False, False, True]


def test_painting_depends_on_the_seed_alone(frames):
    image = np.asarray(frames.image[0])
    one, other, third = (augment.paint(image.copy(), np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, other)
    assert (one != third).any()
    assert cv2.getNumThreads() <= 1
