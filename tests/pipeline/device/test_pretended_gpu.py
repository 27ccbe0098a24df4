"""The GPU that is not there (tests/fakes/cuda.py) refuses what a GPU would make wrong or slow: were it lenient, nothing
that is tested with it would hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from auglift.pipeline.device.traffic import Uplink, download, page_locked, upload

from ...fakes.cuda import DEVICE, MixedDevicesError, PretendedGpu
from ...fakes.cuda_streams import StreamError


def on_gpu(values: list[float]) -> Tensor:
    return upload(np.array(values, np.float32), DEVICE)


WAITING: dict[str, Callable[[Tensor], object]] = {
    "item": lambda t: t[0].item(),
    "a truth value": lambda t: bool((t > 1).any()),
    "tolist": lambda t: t.tolist(),
    "cpu": lambda t: t.cpu(),
    "to the host": lambda t: t.to("cpu"),
    "nonzero": lambda t: t.nonzero(),
    "a mask": lambda t: t[t > 1],
    "a masked assignment": lambda t: t.__setitem__(t > 1, t[:2] + 1),
    "masked_select": lambda t: t.masked_select(t > 1),
    "equal": lambda t: torch.equal(t, t),
    "unique": lambda t: t.unique(),
    "repeats of unknown number": lambda t: torch.arange(3, device=DEVICE).repeat_interleave(t.long()),
    "a copy up from ordinary memory": lambda t: torch.ones(3).to(DEVICE),
    "a list as an index": lambda t: t[[0, 2]],
    "a tensor made of a list": lambda t: torch.tensor([1.0, 2.0], device=DEVICE),
    "new_tensor": lambda t: t.new_tensor([1.0]),
    "synchronize": lambda t: torch.cuda.synchronize(),
}


@pytest.mark.parametrize("what", WAITING)
def test_what_makes_the_host_wait_is_counted(what):
    with PretendedGpu() as gpu:
        there = on_gpu([1, 2, 3])
        gpu.reset()
        WAITING[what](there)
        assert gpu.waits.total() >= 1


def test_what_does_not_make_the_host_wait_is_not_counted():
    with PretendedGpu() as gpu:
        there = on_gpu([3, 1, 2])
        order = there.argsort(stable=True)
        there[order] = there.sort().values * 2 + 1
        there.masked_fill_(there > 5, 0.0)
        torch.where(there > 1, there, 0.0).view(3, 1).expand(3, 4).sum(dim=1)
        download(there)
        assert gpu.waits.total() == 0
        assert gpu.copies == {"up": 1, "down": 1}
        assert gpu.operations.total() > 5


def test_results_are_those_of_a_cpu():
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 3, 9, 9)).astype(np.float32))
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.BatchNorm2d(5), torch.nn.SiLU()).eval()
    with torch.inference_mode():
        expected = layer(values)
        with PretendedGpu():
            found = download(layer.to(DEVICE)(upload(values, DEVICE))).wait()
    np.testing.assert_array_equal(found, expected.numpy())


def test_tensors_of_two_devices_are_refused_but_a_number_goes_along():
    with PretendedGpu():
        there = on_gpu([1, 2])
        assert download(there * torch.tensor(2.0)).wait().tolist() == [2, 4]
        with pytest.raises(MixedDevicesError):
            _ = there + torch.ones(2)
        with pytest.raises(MixedDevicesError):
            there[torch.tensor([0])]
        with pytest.raises(TypeError):
            there.numpy()


def test_what_nobody_waited_for_is_rubbish():
    with PretendedGpu():
        arriving = download(on_gpu([1, 2]))
        assert np.isnan(arriving._values.numpy()).all()
        assert arriving.wait().tolist() == [1, 2]


def test_work_that_no_one_ordered_behind_a_copy_is_refused():
    with PretendedGpu():
        stream = torch.cuda.Stream()
        locked = page_locked(np.ones(3, np.float32), DEVICE)
        with torch.cuda.stream(stream):
            there = locked.to(DEVICE, non_blocking=True)
        with pytest.raises(StreamError, match="wait_event or wait_stream"):
            _ = there + 1
        torch.cuda.current_stream().wait_stream(stream)
        with pytest.raises(StreamError, match="record_stream"):
            _ = there + 1
        there.record_stream(torch.cuda.current_stream())
        _ = there + 1


def test_the_uplink_does_both():
    with PretendedGpu() as gpu:
        there = Uplink(DEVICE).send(np.arange(200_000, dtype=np.float32))
        assert download(there + 1).wait()[-1] == 200_000
        assert gpu.waits == {"event": 1}


def test_a_page_locked_buffer_that_is_written_to_too_early_is_refused():
    with PretendedGpu():
        locked = page_locked(np.ones(3, np.float32), DEVICE)
        there = locked.to(DEVICE, non_blocking=True)
        locked.zero_()
        with pytest.raises(StreamError, match="before its copy had ended"):
            download(there).wait()


def test_a_large_copy_from_ordinary_memory_makes_the_host_wait_whatever_it_says():
    with PretendedGpu() as gpu:
        torch.ones(1 << 20).to(DEVICE, non_blocking=True)
        assert gpu.waits.total() == 1


def test_the_time_between_events_that_may_not_have_happened_is_refused():
    with PretendedGpu():
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        end.record()
        with pytest.raises(StreamError, match="may not have happened"):
            begin.elapsed_time(end)


def test_afterwards_there_is_no_gpu():
    with PretendedGpu():
        assert torch.cuda.is_available()
    assert torch.cuda.is_available() is (torch.cuda.device_count() > 0)
    assert torch.tensor([1.0]).new_tensor([2.0]).device.type == "cpu"
