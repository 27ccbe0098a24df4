"""UADD against a brute-force oracle: NumPy float64, the whole map upsampled, a loop over every pixel."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auglift.pipeline.uadd import disks_device, disks_host
from auglift.pipeline.uadd.descriptor import PRESETS, Preset, Uadd, compute, radius
from auglift.stores.errors import AugliftError

from .uadd_oracle import JOINTS, check_joint, oracle_radius, upsample
from .uadd_scenes import people, run, same_bits, scenes


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_every_preset_equals_the_oracle(scene):
    depth, keypoints, confidence, size = scene
    found = run(*scene)
    for frame in range(len(depth)):
        with np.errstate(invalid="ignore"):
            full = upsample(depth[frame], size)
        for name, uadd in found.items():
            for joint in range(JOINTS):
                r = oracle_radius(name, keypoints[frame].astype(np.float64), confidence[frame], joint)
                got = float(uadd.radius[frame, joint])
                np.testing.assert_allclose(got, r, rtol=1e-6)
                check_joint(name, full, keypoints[frame, joint], got, uadd.stats[frame, joint].numpy())


@pytest.mark.parametrize(("size", "cells"), [((1000, 1000), (518, 518)), ((90, 160), (70, 42)), ((40, 30), (224, 308))])
def test_real_sizes_equal_the_oracle_also_where_the_frame_is_smaller_than_the_map(size, cells):
    rng = np.random.default_rng(4)
    depth = rng.uniform(0.5, 10, (1, *cells)).astype(np.float32)
    keypoints = rng.uniform(0, 70, (1, JOINTS, 2)).astype(np.float32)
    confidence = np.linspace(0, 1, JOINTS, dtype=np.float32)[None]
    # Only the corner of a large frame is looked at: its pixels are those of a smaller frame with the same spacing.
    near = tuple(min(length, 110) for length in size)
    spacing = [(count - 1) / (length - 1) for count, length in zip(cells[::-1], size, strict=True)]
    full = np.empty(near[::-1])
    for v in range(near[1]):
        for u in range(near[0]):
            px, py = u * spacing[0], v * spacing[1]
            c, r = min(int(px), cells[1] - 2), min(int(py), cells[0] - 2)
            a, b = px - c, py - r
            corner = depth[0, r : r + 2, c : c + 2].astype(np.float64)
            full[v, u] = np.array([1 - b, b]) @ corner @ np.array([1 - a, a])
    for name, uadd in run(depth, keypoints, confidence, size).items():
        for joint in range(0, JOINTS, 4):
            check_joint(name, full, keypoints[0, joint], float(uadd.radius[0, joint]), uadd.stats[0, joint].numpy())


@pytest.mark.parametrize(
    ("size", "cells"), [((31, 57), (14, 9)), ((20, 20), (20, 20)), ((8, 5), (40, 33)), ((1, 9), (4, 4))]
)
def test_depth_at_a_pixel_is_that_of_torch_upsampling_to_the_frame(size, cells):
    rng = np.random.default_rng(1)
    depth = torch.tensor(rng.uniform(1, 9, (1, *cells)))
    full = torch.nn.functional.interpolate(depth[None], size=size[::-1], mode="bilinear", align_corners=True)[0, 0]
    v, u = np.mgrid[: size[1], : size[0]]
    keypoints = torch.tensor(np.stack([u.ravel(), v.ravel()], -1)[None].astype(np.float32))
    own = Preset("own", PRESETS["fixed"].replace(r=0.25).radius, d=50)  # a disk that holds its own pixel alone
    found = compute(depth.float(), keypoints, torch.ones(keypoints.shape[:2]), size, [own])["own"].stats
    np.testing.assert_allclose(found[0, :, 0].numpy(), full.numpy().ravel(), rtol=1e-6)


def test_a_frame_alone_and_in_any_batch_gives_the_same_bits():
    depth, keypoints, confidence, size = people(9)
    depth[4, 30:60] = np.nan
    together = run(depth, keypoints, confidence, size)
    order = np.random.default_rng(2).permutation(9)
    shuffled = run(depth[order], keypoints[order], confidence[order], size)
    for place, frame in enumerate(order):
        alone = run(depth[[frame]], keypoints[[frame]], confidence[[frame]], size)
        assert same_bits(alone, {n: Uadd(u.stats[[frame]], u.radius[[frame]]) for n, u in together.items()})
        assert same_bits(alone, {n: Uadd(u.stats[[place]], u.radius[[place]]) for n, u in shuffled.items()})


def test_nan_has_one_bit_pattern():
    depth, keypoints, confidence, size = people(3)
    depth[0] = np.inf
    depth[1, ::2] = -np.inf
    keypoints[2, :6] = [[np.nan, 1], [1e9, 5], [-200, -200], [np.inf, 0], [5, -np.inf], [-3, np.nan]]
    for uadd in run(depth, keypoints, confidence, size).values():
        for values in (uadd.stats.numpy(), uadd.radius.numpy()):
            assert set(values[np.isnan(values)].view(np.uint32)) <= {np.float32(np.nan).view(np.uint32)}
        assert uadd.stats.isnan().any()


def test_a_joint_alone_and_a_preset_alone_give_the_same_bits():
    scene = people(2)
    together = run(*scene)
    for name in PRESETS:
        assert same_bits(run(*scene, presets=[name]), {name: together[name]})
    depth, keypoints, confidence, size = scene
    alone = run(depth, keypoints[:, 5:6], confidence[:, 5:6], size, presets=["paper", "fixed"])
    assert same_bits(alone, {n: Uadd(together[n].stats[:, 5:6], together[n].radius[:, 5:6]) for n in alone})


def test_positions_of_several_presets_do_not_mix():
    scene = people(2)
    other = Preset("other", PRESETS["paper"].radius, d="pixel", low=5, high=77.77, positions=True)
    together = run(*scene, presets=["spatial", other])
    assert same_bits(run(*scene, presets=[other]), {"other": together["other"]})
    assert same_bits(run(*scene, presets=["spatial"]), {"spatial": together["spatial"]})


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    scene = people(6)
    threads = torch.get_num_threads()
    try:
        found = []
        for count, pixels in ((1, 8_192), (2, 8_192), (4, 5_000), (3, 1), (4, 10**9)):
            torch.set_num_threads(count)
            monkeypatch.setattr(disks_host, "THREAD_PIXELS", pixels)
            found.append(run(*scene))
    finally:
        torch.set_num_threads(threads)
    assert all(same_bits(found[0], other) for other in found[1:])


@settings(max_examples=25, deadline=None)
@given(scenes())
def test_the_code_for_other_devices_gives_the_same_bits_on_the_cpu(scene):
    here = run(*scene)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            disks_host,
            "percentiles_on_host",
            lambda maps, *given: disks_device.percentiles_on_device(torch.from_numpy(maps), *given).numpy(),
        )
        patch.setattr(disks_device, "CHUNK_PIXELS", 20_000)
        there = run(*scene)
    for name in here:
        np.testing.assert_array_equal(here[name].stats.numpy(), there[name].stats.numpy())


@pytest.mark.gpu
def test_a_gpu_gives_the_same_bits_as_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    depth, keypoints, confidence, size = people(5)
    depth[2, 30:60] = np.nan
    here = run(depth, keypoints, confidence, size)
    there = compute(torch.tensor(depth).cuda(), torch.tensor(keypoints).cuda(), torch.tensor(confidence).cuda(), size)
    for name in here:
        np.testing.assert_array_equal(here[name].stats.numpy(), there[name].stats.cpu().numpy())


def test_room_to_work_in_is_a_few_disks_whatever_the_batch():
    def peak(frames: int) -> int:
        depth, keypoints, confidence = (torch.tensor(part) for part in people(frames)[:3])
        compute(depth, keypoints, confidence, (1000, 1000))
        tracemalloc.start()  # sees NumPy's arrays; the loop's own room is that of one disk
        compute(depth, keypoints, confidence, (1000, 1000))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        few, many = peak(4), peak(32)
    finally:
        torch.set_num_threads(threads)
    assert few < 2e5
    # What grows is a number a statistic and disk; a frame's map alone is 1 MB.
    assert (many - few) / 28 < 1e4


def test_no_frames_and_no_joints_give_empty_results():
    none = compute(torch.ones(0, 4, 4), torch.ones(0, JOINTS, 2), torch.ones(0, JOINTS), (9, 9))
    assert none["spatial"].stats.shape == (0, JOINTS, 7)
    assert compute(torch.ones(2, 4, 4), torch.ones(2, 0, 2), torch.ones(2, 0), (9, 9), ["paper"])[
        "paper"
    ].stats.shape == (2, 0, 3)


def test_half_precision_strided_and_inference_maps_are_taken():
    depth, keypoints, confidence, size = people(2)
    plain = run(depth, keypoints, confidence, size)
    strided = torch.tensor(depth).repeat_interleave(2, dim=2)[:, :, ::2]
    with torch.inference_mode():
        inference = torch.tensor(depth) * 1
        assert same_bits(plain, compute(inference, torch.tensor(keypoints), torch.tensor(confidence), size))
    assert same_bits(plain, compute(strided, torch.tensor(keypoints), torch.tensor(confidence), size))
    half = compute(torch.tensor(depth).half(), torch.tensor(keypoints), torch.tensor(confidence), size)
    rounded = run(depth.astype(np.float16).astype(np.float32), keypoints, confidence, size)
    assert same_bits(half, rounded)


@given(st.lists(st.floats(-2, 3, width=32), min_size=JOINTS, max_size=JOINTS), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_the_radius_is_the_same_bits_in_any_batch_and_never_leaves_its_bounds(confidence, copies):
    keypoints = torch.tensor(np.random.default_rng(0).uniform(0, 900, (1, JOINTS, 2)).astype(np.float32))
    c = torch.tensor([confidence])
    for preset in PRESETS.values():
        one = radius(preset, keypoints, c)
        many = radius(preset, keypoints.repeat(copies, 1, 1), c.repeat(copies, 1))
        assert all(row.numpy().tobytes() == one[0].numpy().tobytes() for row in many)
        assert (one >= 3).all()
        assert (one <= 30).all()


def test_replaced_constants_are_used():
    depth, keypoints, confidence, size = people(1)
    wide = PRESETS["paper"].replace(r_min=10, r_max=40)
    found = run(depth, keypoints, np.zeros_like(confidence), size, presets=[wide])["paper"]
    assert (found.radius == 40).all()
    assert PRESETS["quantile"].replace(low=5).low == 5


def test_shapes_sizes_and_names_that_cannot_be_are_refused():
    depth, keypoints, confidence = torch.ones(2, 4, 4), torch.ones(2, JOINTS, 2), torch.ones(2, JOINTS)
    calls: tuple[tuple[Any, str], ...] = (
        ((depth[0], keypoints, confidence, (9, 9)), r"depth \(B, h, w\)"),
        ((depth[:1], keypoints, confidence, (9, 9)), r"depth \(B, h, w\)"),
        ((depth, keypoints[..., :1], confidence, (9, 9)), r"keypoints \(B, J, 2\)"),
        ((depth, keypoints, confidence[:, :3], (9, 9)), r"confidence \(B, J\)"),
        ((depth, keypoints, confidence, (0, 9)), r"frame size"),
        ((depth, keypoints, confidence, (9, 9), ["papr"]), "no UADD preset 'papr'; there are paper, quantile"),
        ((depth, keypoints, confidence, (9, 9), ["paper", "paper"]), "two have one name"),
        ((depth, keypoints[:, :5], confidence[:, :5], (9, 9), ["quantile"]), "needs H36M-17 joints, got 5"),
    )
    for arguments, says in calls:
        with pytest.raises(AugliftError, match=says):
            compute(*arguments)
