"""How long does a trainer wait for its data, and how much slower is it than a bare loop over a tensor in memory?

A store of 65,536 frames in sequences of 2,000, six channels a joint (`uadd`), window 27; on a GPU also 81. Sixteen
steps at a time: a real epoch has hundreds for its one order and the batches read ahead at its end. The whole loop
reads windows through `WindowLoader`, normalises and flips them, steps, and counts MPJPE. The bare loop has windows
already normalised in one tensor, picks a random batch, and steps: the same model, loss, optimiser and precision. An
epoch of 1.5 M frames is what the whole loop's rate comes to; it is not run. Last, PoseFormer on learned features of
1280 channels (`v2`), whose store does not fit in the memory that the loader may have: it reads in blocks.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from auglift.lifters.data.batches import examples, loader_for
from auglift.lifters.inputs import Inputs
from auglift.lifters.training.distributed import team
from auglift.lifters.training.setup import Setup
from auglift.lifters.training.train import NoWatcher, Pace, Training
from auglift.stores.format.layout import StoreLayout
from auglift.stores.format.schema import FEATURES, Field, field
from auglift.stores.reading.store import FeatureStore

from .harness import Row, compare, main
from .windows import SHARD, begin, values

FRAMES, HUMAN36M = 65_536, 1_500_000
FIELDS = ("keypoints", "score", "uadd/paper", "target/pose3d", "valid")

# (lifter, window, windows a step): on two cores; on a GPU with the lifters' own batches.
ON_CPU = (("simple_baseline", 27, 256), ("video_pose3d", 27, 128))
ON_GPU = (("video_pose3d", 27, 1024), ("video_pose3d", 81, 1024), ("poseformer", 27, 512), ("poseformer", 81, 512))


def make(path: Path, fields: tuple[str, ...] = FIELDS, frames: int = FRAMES, shard: int = SHARD) -> FeatureStore:
    """People who drift about; what they are given as truth has nothing to do with it."""
    layout = StoreLayout(tuple(field(name) for name in fields), frames, shard)
    writer = begin(path, layout)
    rng = np.random.default_rng(0)

    def of(spec: Field, frames: int) -> np.ndarray:
        if spec.name == "target/pose3d":
            return rng.normal(0, 0.4, (frames, *spec.shape)).astype(np.float32)
        return values(spec, frames, rng)

    for index in range(layout.shards):
        start, stop = layout.bounds(index)
        arrays = {spec.name: of(spec, stop - start) for spec in layout.fields}
        writer.write(index, arrays, {"frames": stop - start, "valid": stop - start})
    writer.finalise({})
    return FeatureStore.open(path)


def bare(training: Training, steps: int) -> Callable[[], None]:
    """The loop without a store: windows of the first batches in one tensor each."""
    setup, device = training.setup, training.device
    batches = []
    for _, batch in zip(range(steps), training.loader, strict=False):
        found = examples(batch, setup.inputs, training.model, device)
        batches.append((found.inputs, found.target, found.mask))
    inputs, target, mask = (torch.cat(column) for column in zip(*batches, strict=True))
    size = len(batches[0][0])

    def loop() -> None:
        training.model.train()
        order = torch.randperm(len(inputs), device=device)
        for part in order.split(size):
            training.optimiser.zero_grad(set_to_none=True)
            with training.autocast:
                predicted = training.wrapped(inputs[part])
            training.loss(predicted.float(), target[part], mask[part]).backward()
            training.optimiser.step()

    return loop


def case(
    store: FeatureStore, folder: Path, lifter: str, window: int, batch: int, steps: int, seconds: float
) -> list[Row]:
    setup = Setup(
        (store.url,), lifter, Inputs("uadd"), window, batch, 1000, held_out=0.0, limit=steps * batch, split="train"
    )
    paces: list[Pace] = []
    with team("auto") as mates:
        training = Training(setup, folder / f"{lifter}-{window}", [store], mates, NoWatcher(), lambda: False)
        at = training.progress

        def whole() -> None:
            at.in_epoch = 0
            training.loader.set_epoch(at.epoch)
            pace = training.steps_of_epoch(setup.epochs or 1)
            at.epoch += 1
            if pace is not None:
                paces.append(pace)

        on_gpu = mates.device.type == "cuda"
        wait = torch.cuda.synchronize if on_gpu else lambda: None
        timing = compare(whole, bare(training, steps), seconds, wait=wait)
    # The first call reads the store into memory: an epoch does that once, however long it is.
    waited = sum(p.waited for p in paces[1:]) / sum(p.seconds for p in paces[1:])
    name = f"{lifter}, window {window}, batch {batch}"
    ours, theirs = steps * batch / timing.ours, steps * batch / timing.theirs
    text = f"a bare loop: {theirs:,.0f}/s"
    rows = [
        Row(f"{name}: waiting for data", 100 * waited, "% of the time", wanted="< 5"),
        Row(f"{name}: the whole loop", ours, "windows/s", text, timing.ratio, ">= 0.95"),
    ]
    if on_gpu:
        rows.append(Row(f"{name}: an epoch of 1.5 M frames", HUMAN36M / ours, "s"))
    return rows


def in_blocks(store: FeatureStore, folder: Path, batch: int, steps: int, share: float) -> list[Row]:
    """PoseFormer on `v2`, window 27, with memory for this share of the store."""
    inputs = Inputs("v2").bound(store.fields)
    setup = Setup((store.url,), "poseformer", inputs, 27, batch, 1000, held_out=0.0, limit=steps * batch)
    with team("auto") as mates:
        training = Training(setup, folder / "v2", [store], mates, NoWatcher(), lambda: False)
        budget = int(store.layout.bytes * share)
        ids = [store.sequences.values("id")]
        options = {"batch_size": batch, "drop_last": True, "memory": budget}
        training.loader = loader_for([store], ids, inputs, training.model, **options)
        if not training.loader.plan.pool:
            raise RuntimeError("the features fit in memory: a larger store is needed")
        training.loader.set_epoch(0)
        pace = training.steps_of_epoch(1000)
    assert pace is not None
    size = f"{store.layout.bytes / 1e6:,.0f} MB in {budget / 1e6:,.0f} MB of memory"
    name = f"poseformer on v2 (1280 channels), window 27, batch {batch}, in blocks"
    waited = Row(f"{name}: waiting for data", 100 * pace.waited / pace.seconds, "% of the time", size, wanted="< 10")
    return [waited, Row(f"{name}: the whole loop", pace.windows / pace.seconds, "windows/s")]


def rows(quick: bool) -> list[Row]:
    folder = Path(tempfile.mkdtemp(prefix="auglift-train-"))
    on_gpu = torch.cuda.is_available()
    steps, seconds = (32, 4.0) if on_gpu else (2 if quick else 16, 1.0 if quick else 60.0)
    try:
        store = make(folder / "people.zarr")
        cases = ON_GPU if on_gpu else ON_CPU
        found = [row for one in cases for row in case(store, folder, *one, steps, seconds)]
        shutil.rmtree(folder / "people.zarr")
        frames, batch = (8192, 32) if quick else (32_768, 512 if on_gpu else 64)
        learned = make(folder / "learned.zarr", (*FIELDS, *FEATURES.values()), frames, 512)
        return found + in_blocks(learned, folder, batch, 4 if quick else 24, 0.6)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(rows, __doc__)
