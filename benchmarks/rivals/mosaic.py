"""MosaicML Streaming: shards of MDS with a window a sample, on a local disk, through `StreamingDataset`.

As its documentation recommends: `batch_size` given to the dataset too, shuffled, `StreamingDataLoader`. Its format
holds samples and no overlapping windows, so that each frame is stored as often as it is in a window. `epoch_size`
makes an epoch longer than what is written: the beginning of an epoch is not what is measured.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterable

import torch

from .material import Batch, Cut, Material, Way

NAME, PACKAGE = "MosaicML Streaming", "streaming"
STAND_INS = {
    "torchvision": {},
    "torchvision.datasets": {"VisionDataset": torch.utils.data.Dataset, "CIFAR10": None},
    "torchvision.transforms": {},
    "torchvision.transforms.functional": {"to_tensor": None},
}


def ways(material: Material) -> dict[str, Way]:
    streaming = _streaming()
    shape = (material.window, *material.data.shape[1:])
    columns = {"windows": f"ndarray:float32:{','.join(map(str, shape))}"}
    with streaming.MDSWriter(out=str(material.folder / "mds"), columns=columns) as out:
        for row in material.rows(material.some_windows()):
            out.write({"windows": material.data[row]})

    def loader(workers: int) -> Iterable[Batch]:
        # What two of these know of the same folder, in one process, would be mixed up.
        streaming.base.util.clean_stale_shared_memory()
        dataset = streaming.StreamingDataset(
            local=str(material.folder / "mds"), shuffle=True, batch_size=material.batch, epoch_size=1 << 18
        )
        made = streaming.StreamingDataLoader(
            dataset, batch_size=material.batch, num_workers=workers, drop_last=True, persistent_workers=workers > 0
        )
        return Cut(made, "windows")

    return {"a window a sample": loader}


def _streaming() -> types.ModuleType:
    """Import Streaming where torchvision is missing: it wants it for its own picture data sets, as it is imported.

    torchvision's wheel needs a CUDA build of torch, so that auglift installs none.
    """
    if importlib.util.find_spec("torchvision") is not None:
        return importlib.import_module("streaming")
    import transformers

    # Looks for torchvision as well, and must not find what stands in for it.
    _ = transformers.BatchEncoding, transformers.BatchFeature
    for name, values in STAND_INS.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(values)
    try:
        return importlib.import_module("streaming")
    finally:
        for name in STAND_INS:
            del sys.modules[name]
