"""Make mmdet and mmpose usable without compiled mmcv ops; nothing else in the project imports them.

mmcv-lite is mmcv without its compiled half, `mmcv._ext`. All that RTMDet and RTMPose need of that is non-maximum
suppression, which is a few lines of torch (`nms`). MMPose also imports xtcocotools, a fork of pycocotools with the
same functions, whose wheel does not load beside NumPy 2. Both names are supplied here before the first import, and
only where the real thing is not installed.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...stores.errors import InvalidValueError, MissingExtraError
from .weights.load import seeded

_lock = threading.RLock()
_ready = False

# Only what these modules say is silenced, and only while they are imported, configured or built: old escapes in their
# docstrings, moved names, deprecated torch calls. Compiling a module reports its file's path instead of its name.
_NOISY = r"(?:.*[/\\])?(?:mmcv|mmengine|mmdet|mmpose|pycocotools|pkg_resources|torch[./\\]jit)(?:[./\\].*)?$"


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silence what OpenMMLab's packages say while they are imported, configured or built."""
    with _lock, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=_NOISY)
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")  # laid at importlib's door
        yield


def prepare() -> None:
    """Supply the names that the installed mmcv and mmpose lack; once, from whichever thread comes first.

    Raises MissingExtraError where mmcv, mmdet or mmpose are not installed.
    """
    global _ready
    with _lock:
        if _ready:
            return
        absent = [name for name in ("mmengine", "mmcv", "mmdet", "mmpose") if importlib.util.find_spec(name) is None]
        if absent:
            raise MissingExtraError(f"detection and pose need {absent[0]}: pip install 'auglift[prep]'")
        with quietly():
            if importlib.util.find_spec("mmcv._ext") is None:
                sys.modules["mmcv._ext"] = _ops_module()
            _supply_xtcocotools()
        _ready = True


def load(module: str) -> Any:
    """Import a module of mmcv, mmengine, mmdet or mmpose."""
    prepare()
    with quietly():
        return importlib.import_module(module)


def read_config(path: str | Mapping[str, Any] | None) -> Any:
    """Read the official configuration (an mmengine Config) at a path like `mmdet/.mim/configs/rtmdet/....py`.

    Or one of our own, as plain data.
    """
    prepare()
    if isinstance(path, Mapping):
        return load("mmengine.config").Config(path)
    assert path is not None
    package, _, inside = path.partition("/")
    spec = importlib.util.find_spec(package)
    folder = Path((spec.submodule_search_locations or [""])[0]) if spec else Path()
    file = folder / inside
    if not file.is_file():
        raise InvalidValueError(
            f"{package} has no {inside} in {folder}: auglift is made for mmdet 3.3 and mmpose 1.3, "
            "pip install 'auglift[prep]'"
        )
    return run_config(file)


def run_config(file: Path) -> Any:
    """The configuration in a file, with those that it inherits from. It is Python: reading it runs it."""
    config = load("mmengine.config").Config
    with quietly():
        return config.fromfile(str(file))


def build(config: Any, package: str, seed: int | None = None, settle_head: bool = True) -> nn.Module:
    """Build the network of a configuration's `model` section with `package`'s own builder; evaluating, no gradients.

    seed  None: the weights are to be loaded. Else they are random, a function of it alone: the architecture's own
          initialisation, and see `_settle`
    settle_head  also the layers of a detector's head, which must then take feature maps alone
    Pretrained backbones are not fetched: a checkpoint holds the whole network.
    """
    load("mmdet.models")  # RTMPose's backbone is mmdet's too
    load(f"{package}.models")
    registry = load(f"{package}.registry").MODELS
    section = load("mmengine.config").ConfigDict(_plain(config.model))
    if package == "mmpose":  # its own inference leaves that out too; detectors of two stages want it
        section.pop("train_cfg", None)
    with quietly(), seeded(seed or 0), registry.switch_scope_and_registry(package) as models:
        model: Any = models.build(section)
        if seed is not None:
            model._dump_init_info = lambda: None  # it would log a paragraph a parameter
            model.init_weights()
            del model._dump_init_info
            _settle(model, settle_head)
    for message, category, module in _AT_EVERY_PASS:
        warnings.filterwarnings("ignore", message, category, module)
    return model.eval().requires_grad_(False)


# What the networks say while they run, where no context of ours can be open without making the user's own warnings
# repeat. So these filters stay; they name the message and where it comes from.
_AT_EVERY_PASS = (
    ("`torch.cuda.amp.autocast", FutureWarning, r"(?:mmdet|mmpose)\."),
    ("torch.meshgrid: in an upcoming release", UserWarning, r"torch\.functional"),
)


def _settle(model: Any, settle_head: bool) -> None:
    """Give random weights the batch statistics of noise, layer after layer, so that the picture matters.

    Without, each of some fifty layers weakens its input, and every frame would get the same result: a trial
    run could not tell a frame from another. One thread, and means and deviations rounded: the same bits on machines
    that would add up in another order.
    """

    def measure(layer: Any, inputs: tuple[Tensor]) -> None:
        deviation = inputs[0].std((0, 2, 3)).clamp(min=1e-6).log2().round().exp2()
        layer.running_var.copy_(deviation.square())
        layer.running_mean.copy_((inputs[0].mean((0, 2, 3)) / deviation * 8).round() / 8 * deviation)

    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(measure) for layer in norms]
    sides = (1, 2, 4, 8, 16, 32, 64, 128)  # as much of every size, like a photograph
    noise = sum(F.interpolate(torch.randn(16, 3, side, side), size=(128, 128), mode="bilinear") for side in sides)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        maps = model.eval().extract_feat(noise / len(sides) ** 0.5)
        if settle_head and hasattr(model, "bbox_head"):
            model.bbox_head(maps)
    torch.set_num_threads(threads)
    for hook in hooks:
        hook.remove()


class Normalisation:
    """The colour statistics of a configuration's data_preprocessor, applied to RGB frames."""

    def __init__(self, settings: Any, device: torch.device):
        # mean and std are in the order the network sees; OpenMMLab reads images as BGR.
        self._rgb = bool(settings.get("bgr_to_rgb", False))
        mean, std = settings.get("mean") or [0.0] * 3, settings.get("std") or [1.0] * 3
        self._mean = torch.tensor(mean, dtype=torch.float32, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, dtype=torch.float32, device=device).view(1, 3, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """(B, h, w, 3) RGB in 0..255, to (B, 3, h, w) as the network wants it."""
        pixels = pixels if self._rgb else pixels.flip(-1)
        return (pixels.permute(0, 3, 1, 2) - self._mean) / self._std


def _plain(section: Any) -> Any:
    """A configuration without what needs several processes (SyncBN) or a download (pretrained backbones)."""
    if isinstance(section, Mapping):
        section = {key: _plain(value) for key, value in section.items()}
        if section.get("type") == "SyncBN":
            section["type"] = "BN"
        initial = section.get("init_cfg")
        if isinstance(initial, Mapping) and initial.get("type") == "Pretrained":
            section["init_cfg"] = None
        return section
    if isinstance(section, (list, tuple)):
        return type(section)(_plain(value) for value in section)
    return section


# ---------------------------------------------------------------------------------------------------------------------
# What is supplied
# ---------------------------------------------------------------------------------------------------------------------


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Suppress non-maxima greedily, as `mmcv._ext.nms`: return the indices of the boxes kept, best score first.

    boxes   (N, 4)  x1, y1, x2, y2; `offset` is added to widths and heights (1 for pixel-inclusive corners)
    scores  (N,)    equal scores keep the boxes' order
    A box goes if its IoU with a kept, better one is above the threshold. No loop over boxes: in blocks of the sorted
    boxes, the kept set is found as the fixed point of "no kept, better box overlaps me", which is unique (by induction
    over the rank) and found after as many rounds as the longest chain of boxes suppressing one another.
    """
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    kept = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    for start in range(0, len(boxes), _BLOCK):
        block = boxes[start : start + _BLOCK]
        free = ~(_iou(boxes[:start][kept[:start]], block, offset) > iou_threshold).any(0)
        beats = (_iou(block, block, offset) > iou_threshold).triu(1)
        keep = free
        while True:
            settled = free & ~(beats & keep[:, None]).any(0)
            if torch.equal(settled, keep):
                break
            keep = settled
        kept[start : start + _BLOCK] = keep
    return order[kept]


_BLOCK = 1024


def _iou(a: Tensor, b: Tensor, offset: int) -> Tensor:
    """(N, M): intersection over union of boxes (N, 4) and (M, 4); NaN for two empty boxes."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a[:, :, None].unbind(1), b.T
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1) + offset).clamp(min=0)
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1) + offset).clamp(min=0)
    area_a, area_b = ((x2 - x1 + offset) * (y2 - y1 + offset) for x1, y1, x2, y2 in ((ax1, ay1, ax2, ay2), b.T))
    return width * height / (area_a + area_b - width * height)


def _ops_module() -> types.ModuleType:
    """A stand-in for `mmcv._ext`: mmcv looks up every op in it by name when it is imported, and calls one of them."""
    module = types.ModuleType("mmcv._ext", "nms in torch; any other op says that it is not here.")
    module.__spec__ = importlib.machinery.ModuleSpec("mmcv._ext", None)

    def missing(name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def op(*_: Any, **__: Any) -> Any:
            raise MissingExtraError(
                f"mmcv's compiled op {name!r} was called, but mmcv-lite is installed, and auglift supplies nms alone: "
                "for other models than RTMDet and RTMPose install a compiled mmcv (2.0 or 2.1)"
            )

        return op

    vars(module).update(nms=nms, __getattr__=missing)
    return module


def _supply_xtcocotools() -> None:
    parts = ("", ".coco", ".cocoeval", ".mask")
    before = set(sys.modules)
    try:
        importlib.import_module("xtcocotools.mask")
        return
    except (ImportError, ValueError):  # ValueError: built for another NumPy
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "xtcocotools":
                del sys.modules[name]
    try:
        real = {part: importlib.import_module(f"pycocotools{part}") for part in parts}
    except ImportError as error:
        raise MissingExtraError("pose needs pycocotools: pip install 'auglift[prep]'") from error
    for part, module in real.items():
        sys.modules[f"xtcocotools{part}"] = module
