"""ViTPose and object detectors in folders as the hub has them: published settings and tensor names, few weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file

from auglift.pipeline.networks.weights.load import seeded

# usyd-community's repositories name COCO's joints so.
JOINTS = ("Nose", *(f"{side}_{part}" for part in ("Eye", "Ear", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
                    for side in "LR"))  # fmt: skip
COLOURS = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}

# usyd-community/vitpose-base-simple and vitpose-plus-base, but for widths and depths. The plus ones are mixtures of
# experts: num_experts 6, part_features 192.
VITPOSE: dict[str, Any] = {
    "architectures": ["VitPoseForPoseEstimation"],
    "model_type": "vitpose",
    "backbone_config": {
        "model_type": "vitpose_backbone",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "mlp_ratio": 4,
        "num_channels": 3,
        "image_size": [256, 192],
        "patch_size": [16, 16],
        "num_experts": 1,
        "part_features": 0,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "qkv_bias": True,
        "out_features": ["stage2"],
        "out_indices": [2],
    },
    "id2label": {str(number): name for number, name in enumerate(JOINTS)},
    "label2id": {name: number for number, name in enumerate(JOINTS)},
    "initializer_range": 0.02,
    "scale_factor": 4,
    "use_simple_decoder": True,
    "torch_dtype": "float32",
}
VITPOSE_PROCESSOR: dict[str, Any] = {
    "do_affine_transform": True,
    "do_normalize": True,
    "do_rescale": True,
    "image_processor_type": "VitPoseImageProcessor",
    "normalize_factor": 200.0,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 256, "width": 192},
    **COLOURS,
}
EXPERTS = {"num_experts": 6, "part_features": 8}  # of `backbone_config`

CLASSES = ("person", "bicycle", "car")
_NAMED = {
    "id2label": {str(number): name for number, name in enumerate(CLASSES)},
    "label2id": {name: number for number, name in enumerate(CLASSES)},
}
# PekingU/rtdetr_r50vd, but for widths and depths.
RT_DETR: dict[str, Any] = {
    "architectures": ["RTDetrForObjectDetection"],
    "model_type": "rt_detr",
    "backbone": None,
    "backbone_config": {
        "model_type": "rt_detr_resnet",
        "depths": [1, 1, 1, 1],
        "downsample_in_bottleneck": False,
        "downsample_in_first_stage": False,
        "embedding_size": 8,
        "hidden_act": "relu",
        "hidden_sizes": [16, 16, 32, 32],
        "layer_type": "bottleneck",
        "num_channels": 3,
        "out_features": ["stage2", "stage3", "stage4"],
        "out_indices": [2, 3, 4],
    },
    "d_model": 16,
    "encoder_hidden_dim": 16,
    "encoder_in_channels": [16, 32, 32],
    "encoder_ffn_dim": 16,
    "encoder_attention_heads": 2,
    "decoder_in_channels": [16, 16, 16],
    "decoder_ffn_dim": 16,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "decoder_n_points": 2,
    "num_queries": 30,
    "num_denoising": 100,
    "disable_custom_kernels": True,
    "use_focal_loss": True,
    "use_pretrained_backbone": False,
    "use_timm_backbone": False,
    "torch_dtype": "float32",
    **_NAMED,
}
RT_DETR_PROCESSOR: dict[str, Any] = {
    "do_convert_annotations": True,
    "do_normalize": False,
    "do_pad": False,
    "do_rescale": True,
    "do_resize": True,
    "format": "coco_detection",
    "image_processor_type": "RTDetrImageProcessor",
    "pad_size": None,
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": 640, "width": 640},
    **COLOURS,
}
# hustvl/yolos-tiny and facebook/detr-resnet-50, made small in the same way.
YOLOS: dict[str, Any] = {
    "architectures": ["YolosForObjectDetection"],
    "model_type": "yolos",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_detection_tokens": 20,
    "image_size": [128, 160],
    "patch_size": 16,
    "use_mid_position_embeddings": False,
    **_NAMED,
}
DETR: dict[str, Any] = {
    "architectures": ["DetrForObjectDetection"],
    "model_type": "detr",
    "backbone": None,
    "backbone_config": {
        "model_type": "resnet",
        "depths": [1, 1, 1, 1],
        "embedding_size": 8,
        "hidden_sizes": [8, 8, 16, 16],
        "out_features": ["stage4"],
    },
    "d_model": 16,
    "encoder_layers": 1,
    "encoder_ffn_dim": 16,
    "encoder_attention_heads": 2,
    "decoder_layers": 1,
    "decoder_ffn_dim": 16,
    "decoder_attention_heads": 2,
    "num_queries": 20,
    "use_pretrained_backbone": False,
    "use_timm_backbone": False,
    **_NAMED,
}


def keeps_aspect(kind: str, short: int) -> dict[str, Any]:
    """The preparation of DETR and YOLOS: the short side so long, normalised, a mask of what is no padding."""
    return {
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "format": "coco_detection",
        "image_processor_type": kind,
        "resample": 2,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": short, "longest_edge": 4 * short},
        **COLOURS,
    }


# RT-DETR's files have the names on the left; transformers 5 has changed them to those on the right.
_RENAMED = (
    ("encoder.encoder.0.", "encoder.aifi.0."),
    ("self_attn.out_proj.", "self_attn.o_proj."),
    (".fc1.", ".mlp.fc1."),
    (".fc2.", ".mlp.fc2."),
)


def write_model(folder: Path, config: Mapping[str, Any], processor: Mapping[str, Any], noise: float = 0.05) -> Path:
    """The folder, as `huggingface-cli download --local-dir` leaves it; weights are noise that finds a lot."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    kind = getattr(transformers, config["architectures"][0])
    with seeded(0):
        model = kind._from_config(transformers.AutoConfig.from_pretrained(folder, local_files_only=True))
        for name, value in model.state_dict().items():
            if value.is_floating_point() and "running_" not in name:
                value.add_(noise * torch.randn_like(value))  # so that no layer is 0 or the same everywhere
            if "class_" in name and name.endswith("bias"):
                value.zero_()  # a published one begins where nothing scores 0.3
    state = {old_name(name, config): value.clone() for name, value in model.state_dict().items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    return folder


def old_name(name: str, config: Mapping[str, Any]) -> str:
    """As a published file has it."""
    if config["model_type"] == "rt_detr":
        for old, new in _RENAMED:
            name = name.replace(new, old)
    return name


def changed(config: Mapping[str, Any], *without: str, **values: Any) -> dict[str, Any]:
    """The same with other values, and without some keys."""
    return {key: value for key, value in {**config, **values}.items() if key not in without}
