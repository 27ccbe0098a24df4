"""The table of named models: how each is built, where its weights come from, and under which licence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ...stores.errors import InvalidValueError
from . import tiny as tiny
from .model_spec import WHEEL, Family, Kind, ModelSpec, digest_in_name

__all__ = ["ALIASES", "DEFAULTS", "MODELS", "Family", "Kind", "ModelSpec", "digest_in_name", "names", "resolve"]

_APACHE = "Apache-2.0"
_NON_COMMERCIAL = "CC-BY-NC-4.0"

_OPENMMLAB = "https://download.openmmlab.com"
_PERSON = "mmpose/.mim/demo/mmdetection_cfg"


def _openmmlab(
    name: str, kind: Kind, config: str, path: str, size: tuple[int, int], weighs: float, sha256: str, megabytes: float
) -> ModelSpec:
    """`megabytes`: of the file, 0 where that is not known; `weighs`: of the weights alone."""
    url = f"{_OPENMMLAB}/{path}"
    digest = sha256 or digest_in_name(url)
    return ModelSpec(name, kind, config, url, digest, _APACHE, megabytes or weighs, size, None, bool(megabytes))


def _detector(
    name: str, config: str, path: str, weighs: int, sha256: str = "", megabytes: float = 0, side: int = 640
) -> ModelSpec:
    return _openmmlab(name, "detector", config, path, (side, side), weighs, sha256, megabytes)


def _rtmdet(size: str, stamp: str, weighs: int, sha256: str = "", megabytes: float = 0) -> ModelSpec:
    stem = f"rtmdet_{size}_8xb32-300e_coco"
    config = f"mmdet/.mim/configs/rtmdet/{stem}.py"
    path = f"mmdetection/v3.0/rtmdet/{stem}/{stem}_{stamp}.pth"
    return _detector(f"rtmdet-{size}", config, path, weighs, sha256, megabytes)


def _rtmpose(name: str, size: str, pixels: str, digest: str, weighs: int) -> ModelSpec:
    config = f"mmpose/.mim/configs/body_2d_keypoint/rtmpose/body8/rtmpose-{size}_8xb256-420e_body8-{pixels}.py"
    file = f"rtmpose-{size}_simcc-body7_pt-body7_420e-{pixels}-{digest}_20230504.pth"
    height, width = map(int, pixels.split("x"))
    return _openmmlab(name, "pose", config, f"mmpose/v1/projects/rtmposev1/{file}", (width, height), weighs, "", 0)


@dataclass(frozen=True)
class _DepthAnything:
    """A size of Depth Anything V2: its DINOv2 encoder, the layers its decoder reads, the decoder's widths."""

    hidden: int
    heads: int
    layers: int
    taps: tuple[int, ...]
    neck: tuple[int, ...]
    fusion: int
    megabytes: float
    licence: str
    sha256: Mapping[str, str]  # by scene


_DEPTH_ANYTHING = {
    "small": _DepthAnything(
        384, 6, 12, (3, 6, 9, 12), (48, 96, 192, 384), 64, 99.2, _APACHE,
        {
            "Indoor": "e990eb82fbf11b05b7813261196a2b841bdcf5a05f64396724a8987fa90504a3",
            "Outdoor": "ad065c77a7421ca55159a1f0db9433397a607690f2d76bb8a6fc54b1be7a3124",
        },
    ),
    "base": _DepthAnything(
        768, 12, 12, (3, 6, 9, 12), (96, 192, 384, 768), 128, 389.9, _NON_COMMERCIAL,
        {
            "Indoor": "8b902f5d9a8c8a9520f3a8c6a00afe442b464eff5aaf0cb405d1da721cd9f79f",
            "Outdoor": "1f2e9ed13ee39126686994669f8d1bfd9cd8f093a4d2a0891e5a0e5263b480c9",
        },
    ),
    "large": _DepthAnything(
        1024, 16, 24, (5, 12, 18, 24), (256, 512, 1024, 1024), 256, 1341.3, _NON_COMMERCIAL,
        {
            "Indoor": "04d3295ff4f9cbee72b8998a85930fe870b45ba4431e7af47415fbded02388ca",
            "Outdoor": "15f7de4b22f1b1194847ea694ee9ed6395563ba5cd52b70b87901f183c232c9a",
        },
    ),
}  # fmt: skip


def _depth_anything(scene: str, size: str, max_depth: int) -> ModelSpec:
    """Written out as transformers configures it, so that it can be built without asking the hub."""
    shape = _DEPTH_ANYTHING[size]
    config = {
        "model_type": "depth_anything",
        "backbone_config": {
            "model_type": "dinov2",
            "image_size": 518,
            "patch_size": 14,
            "hidden_size": shape.hidden,
            "num_attention_heads": shape.heads,
            "num_hidden_layers": shape.layers,
            "out_indices": list(shape.taps),
            "apply_layernorm": True,
            "reshape_hidden_states": False,
        },
        "patch_size": 14,
        "reassemble_hidden_size": shape.hidden,
        "neck_hidden_sizes": list(shape.neck),
        "fusion_hidden_size": shape.fusion,
        "head_hidden_size": 32,
        "depth_estimation_type": "metric",
        "max_depth": max_depth,
    }
    return ModelSpec(
        name=f"depth-anything-v2-{size}" if scene == "Indoor" else f"depth-anything-v2-{scene.lower()}-{size}",
        kind="depth",
        config=config,
        origin=f"hf://depth-anything/Depth-Anything-V2-Metric-{scene}-{size.title()}-hf/model.safetensors",
        sha256=shape.sha256[scene],
        licence=shape.licence,
        megabytes=shape.megabytes,
        input_size=(518, 518),
        max_depth=max_depth,
        family="transformers",
    )


def _tiny(kind: Kind, config: dict[str, Any], sha256: str, megabytes: float, size: tuple[int, int]) -> ModelSpec:
    """Ours: small, shipped in the package, trained on rendered people alone (docs/tiny-models.md)."""
    return ModelSpec(
        name=f"tiny-{kind}",
        kind=kind,
        config=config,
        origin=f"package://embedded/tiny-{kind}.safetensors",
        sha256=sha256,
        licence=_APACHE,
        megabytes=megabytes,
        input_size=size,
        max_depth=config.get("max_depth"),
        family="transformers" if kind == "depth" else "openmmlab",
    )


# One of the wheels of that version; the files in it are the same in all.
_MEDIAPIPE = "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl"


def _blazepose(name: str, kind: Kind, file: str, side: int, sha256: str, megabytes: float) -> ModelSpec:
    """MediaPipe's, as its package carries them: graph and weights in one file."""
    origin = f"{WHEEL}{_MEDIAPIPE}/mediapipe/modules/{file}.tflite"
    return ModelSpec(name, kind, {}, origin, sha256, _APACHE, megabytes, (side, side), family="blazepose")


# Addresses: RTMDet from mmdet's metafile.yml, RTMPose from mmpose's rtmpose_body8-coco.yml, rtmdet-m-person from
# mmpose's default_det_models.py, all inside the installed packages (tests compare). That of rtmdet-nano stands in none
# of them but on MMPose's RTMPose page.
# Digests and sizes: as public projects pin them that download these files; nothing could be fetched where this was
# written. The sizes of the files of rtmdet-l, rtmdet-m-person and RTMPose were found nowhere, nor more
# digits of rtmdet-l and RTMPose than their names carry. What was loaded is recorded with its full digest.
_ROWS: tuple[ModelSpec, ...] = (
    # RTMDet-nano was trained for persons alone; there is no COCO one.
    _detector(
        "rtmdet-nano",
        f"{_PERSON}/rtmdet_nano_320-8xb32_coco-person.py",
        "mmpose/v1/projects/rtmpose/rtmdet_nano_8xb32-100e_coco-obj365-person-05d8511e.pth",
        4,
        "05d8511e7b3fabc62e27d2f624179e004ad14ee63a86ca9d9d22c88f3db0eee1",
        42.2,
        side=320,
    ),
    _rtmdet(
        "tiny",
        "20220902_112414-78e30dcc",
        20,
        "78e30dcce0c6f594eaff0d6977b84b4103688b4aff0ad1aa16008a8cc854a7fb",
        57.5,
    ),
    _rtmdet(
        "s",
        "20220905_161602-387a891e",
        36,
        "387a891e157cf0ab57d76b3ffc17bf77247089d672532427930b3140f9e789d6",
        91.5,
    ),
    _rtmdet(
        "m",
        "20220719_112220-229f527c",
        99,
        "229f527ca88498e8894a778a62a878a322b4a3ea2cae09ea537d34b7e907792b",
        224.3,
    ),
    _rtmdet("l", "20220719_112030-5a0be7c4", 210),
    _detector(
        "rtmdet-m-person",
        f"{_PERSON}/rtmdet_m_640-8xb32_coco-person.py",
        "mmpose/v1/projects/rtmposev1/rtmdet_m_8xb32-100e_coco-obj365-person-235e8209.pth",
        99,
        "235e820939cb2ff33c505441e71f7e9532958c281636a963c6829d100867aed9",
    ),
    _rtmpose("rtmpose-t", "t", "256x192", "026a1439", 13),
    _rtmpose("rtmpose-s", "s", "256x192", "acd4a1ef", 22),
    _rtmpose("rtmpose-m", "m", "256x192", "e48f03d0", 54),
    _rtmpose("rtmpose-m-384x288", "m", "384x288", "65e718c4", 55),
    _rtmpose("rtmpose-l-256x192", "l", "256x192", "4dba18fc", 111),
    _rtmpose("rtmpose-l-384x288", "l", "384x288", "3f5a1437", 113),
    *(_depth_anything("Indoor", size, 20) for size in _DEPTH_ANYTHING),
    *(_depth_anything("Outdoor", size, 80) for size in _DEPTH_ANYTHING),
    _blazepose(
        "blazepose-detector",
        "detector",
        "pose_detection/pose_detection",
        224,
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        3.0,
    ),
    _blazepose(
        "blazepose-full",
        "pose",
        "pose_landmark/pose_landmark_full",
        256,
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        6.4,
    ),
    _tiny("detector", tiny.DETECTOR, "fb60d483755e142c", 2.2, (tiny.DETECTOR_SIDE, tiny.DETECTOR_SIDE)),
    _tiny("pose", tiny.POSE, "2a160a3e936a3cf9", 5.6, tiny.POSE_SIZE),
    _tiny("depth", tiny.DEPTH, "d6165a15e6b94cc9", 4.25, (tiny.DEPTH_SIDE, tiny.DEPTH_SIDE)),
)

MODELS: Mapping[str, ModelSpec] = MappingProxyType({row.name: row for row in _ROWS})

# As in MMPose's own list, rtmpose-l is the 384 x 288 one: the paper's.
ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "rtmdet-nano-person": "rtmdet-nano",
        "rtmpose-t-256x192": "rtmpose-t",
        "rtmpose-s-256x192": "rtmpose-s",
        "rtmpose-m-256x192": "rtmpose-m",
        "rtmpose-l": "rtmpose-l-384x288",
        "depth-anything-v2-indoor-small": "depth-anything-v2-small",
        "depth-anything-v2-indoor-base": "depth-anything-v2-base",
        "depth-anything-v2-indoor-large": "depth-anything-v2-large",
    }
)

# One name for a network of each kind.
_FAMILIES: Mapping[str, Mapping[str, str]] = {
    "tiny": {"detector": "tiny-detector", "pose": "tiny-pose", "depth": "tiny-depth"},
    "blazepose": {"detector": "blazepose-detector", "pose": "blazepose-full"},
}

# What the paper uses (method.md, sections 1 and 2).
DEFAULTS: Mapping[str, str] = MappingProxyType(
    {"detector": "rtmdet-m", "pose": "rtmpose-l-384x288", "depth": "depth-anything-v2-large"}
)


def names(kind: Kind) -> list[str]:
    """Return every name of that kind in the table, aliases left out."""
    return [row.name for row in _ROWS if row.kind == kind]


def is_named(name: str, kind: Kind) -> bool:
    """Return whether the table has a model of that kind under that name. It goes before a folder."""
    spec = MODELS.get(_key(name, kind))
    return spec is not None and spec.kind == kind


def _key(name: str, kind: Kind) -> str:
    key = name.strip().lower()
    return _FAMILIES.get(key, {}).get(kind) or ALIASES.get(key, key)


def resolve(name: str, kind: Kind) -> ModelSpec:
    """Return the row called `name`; `tiny` and `blazepose` are one of each kind.

    It may also be any Hugging Face repository, `owner/name`.
    Raises InvalidValueError with the nearest name and the list, if there is no such model of that kind.
    """
    key = _key(name, kind)
    spec = MODELS.get(key)
    if spec is not None and spec.kind == kind:
        return spec
    if spec is None and re.fullmatch(r"[\w.-]+/[\w.-]+", name.strip()):
        repository = name.strip()
        return ModelSpec(
            repository, kind, None, f"hf://{repository}/model.safetensors", "", "see its page", 0, (518, 518),
            family="transformers",
        )  # fmt: skip
    known = names(kind)
    if spec is not None:
        raise InvalidValueError(f"{name} is a {spec.kind} model, not a {kind} model: choose one of {', '.join(known)}")
    near = difflib.get_close_matches(key, [*known, *(a for a, n in ALIASES.items() if n in known)], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    config = "" if kind == "depth" else ", CONFIG.py:CHECKPOINT of OpenMMLab's"
    raise InvalidValueError(
        f"no {kind} model is called {name!r}: {hint}There are {', '.join(known)}, a folder that holds a model as "
        f"transformers saves it{config}, or a Hugging Face repository, owner/name"
    )
