"""On a GPU that is there: what only a real one can show. Skipped without."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from auglift.pipeline.device.precision import choose_precision
from auglift.pipeline.device.traffic import download, page_locked, upload
from auglift.pipeline.execution.batch_memory import ForwardLimit
from auglift.pipeline.execution.overlap import Given, run
from auglift.pipeline.extract import StageTimes
from auglift.pipeline.frames.resize import resize_bicubic

from ...fakes.tiny_networks import blocks, tiny_extractor

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:torch.meshgrid:UserWarning"),
]


@pytest.mark.parametrize("tf32", [False, True])
def test_resizing_is_pils_to_the_bit_whatever_its_factors_are_rounded_to(tf32):
    """The claim of `_resample_by_matrix`: tf32 holds its factors, and its sums are exact."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        for size in ((1080, 1920), (518, 518), (2160, 3840), (300, 200)):
            frames = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
            found = download(resize_bicubic(upload(frames, torch.device("cuda", 0)), (518, 686))).wait()
            np.testing.assert_array_equal(found, resize_bicubic(torch.from_numpy(frames), (518, 686)).numpy())
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize(("precision", "near"), [("float32", 0.05), ("tf32", 0.5), ("float16", 0.5)])
def test_the_networks_say_what_they_say_on_a_cpu(precision, near):
    frames, readable = blocks(4, 480, 640), np.ones(4, bool)
    choose_precision(precision, torch.device("cuda", 0)).apply()
    expected = tiny_extractor("cpu").extract(frames, readable)
    found = tiny_extractor("cuda:0", precision).extract(frames, readable)
    assert expected["valid"].all()
    assert found["valid"].all()
    assert np.median(np.abs(found["keypoints"] - expected["keypoints"])) <= near
    assert np.nanmedian(np.abs(found["uadd/paper"] / expected["uadd/paper"] - 1)) <= 0.01


def test_batches_that_overlap_are_to_the_bit_what_each_is_alone():
    extractor = tiny_extractor("cuda:0", "float16")
    given = [Given(n, page_locked(blocks(6) + n, extractor.device), np.ones(6, bool), None) for n in range(5)]
    alone = [extractor.extract(each.frames, each.readable) for each in given]
    times = StageTimes(extractor.device)
    found = [features for _, features in run(extractor, given, ForwardLimit(), times)]
    times.settle()
    for one, other in zip(alone, found, strict=True):
        assert one["valid"].all()
        for name, values in one.items():
            np.testing.assert_array_equal(other[name], values, name)
    assert times.seconds["depth"] > 0
