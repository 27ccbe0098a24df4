"""The three tiny networks as plain data: the classes of the large networks, with few channels and small inputs."""

from __future__ import annotations

from typing import Any

# OpenMMLab's colour statistics, in the order R, G, B.
_MEAN, _STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]

DETECTOR_SIDE = 192
POSE_SIZE = (96, 128)  # width, height
DEPTH_SIDE, DEPTH_PATCH = 126, 9  # short side: 14 patches of 9 px


def _cspnext(widen: float, **more: Any) -> dict[str, Any]:
    return {
        "type": "CSPNeXt",
        "arch": "P5",
        "expand_ratio": 0.5,
        "deepen_factor": 0.167,
        "widen_factor": widen,
        "channel_attention": True,
        "norm_cfg": {"type": "BN"},
        "act_cfg": {"type": "SiLU", "inplace": True},
        **more,
    }


def _detector() -> dict[str, Any]:
    """RTMDet-tiny (Lyu 2022) at a third of its width, one class; 192 px."""
    channels = 32
    norm, act = {"type": "BN"}, {"type": "SiLU", "inplace": True}
    steps = [
        {"type": "Resize", "scale": (DETECTOR_SIDE, DETECTOR_SIDE), "keep_ratio": True},
        {"type": "Pad", "size": (DETECTOR_SIDE, DETECTOR_SIDE), "pad_val": {"img": (114, 114, 114)}},
    ]
    return {
        "model": {
            "type": "RTMDet",
            "data_preprocessor": {
                "type": "DetDataPreprocessor",
                "mean": _MEAN[::-1],  # as all of mmdet's RTMDet: B, G, R
                "std": _STD[::-1],
                "bgr_to_rgb": False,
            },
            "backbone": _cspnext(channels / 256),
            "neck": {
                "type": "CSPNeXtPAFPN",
                "in_channels": [channels, 2 * channels, 4 * channels],
                "out_channels": channels,
                "num_csp_blocks": 1,
                "expand_ratio": 0.5,
                "norm_cfg": norm,
                "act_cfg": act,
            },
            "bbox_head": {
                "type": "RTMDetSepBNHead",
                "num_classes": 1,
                "in_channels": channels,
                "feat_channels": channels,
                "stacked_convs": 2,
                "anchor_generator": {"type": "MlvlPointGenerator", "offset": 0, "strides": [8, 16, 32]},
                "bbox_coder": {"type": "DistancePointBBoxCoder"},
                "loss_cls": {
                    "type": "QualityFocalLoss",
                    "use_sigmoid": True,
                    "beta": 2.0,
                    "loss_weight": 1.0,
                },
                "loss_bbox": {"type": "GIoULoss", "loss_weight": 2.0},
                "with_objectness": False,
                "exp_on_reg": False,
                "share_conv": True,
                "pred_kernel_size": 1,
                "norm_cfg": norm,
                "act_cfg": act,
            },
            "test_cfg": {
                "nms_pre": 1000,
                "min_bbox_size": 0,
                "score_thr": 0.05,
                "nms": {"type": "nms", "iou_threshold": 0.6},
                "max_per_img": 100,
            },
        },
        "test_dataloader": {"dataset": {"pipeline": steps, "metainfo": {"classes": ("person",)}}},
    }


def _pose() -> dict[str, Any]:
    """RTMPose (Jiang 2023) on three stages at once, the finest of 16 x 12 cells for a crop of 128 x 96.

    The last stage alone has 4 x 3 cells for so small a crop: too few to locate a joint.
    """
    codec = {
        "type": "SimCCLabel",
        "input_size": POSE_SIZE,
        "sigma": (3.5, 4.0),  # bins; MMPose's for 256 x 192, by the square root of the size
        "simcc_split_ratio": 2.0,
        "normalize": False,
        "use_dark": False,
    }
    # in, out, blocks, identity, pyramid pooling: CSPNeXt's own, the last stage not widened.
    stages = [
        [64, 128, 3, True, False],
        [128, 256, 6, True, False],
        [256, 512, 6, True, False],
        [512, 512, 3, False, True],
    ]
    channels = [96, 192, 192]
    steps = [{"type": "GetBBoxCenterScale"}, {"type": "TopdownAffine", "input_size": POSE_SIZE}]
    return {
        "model": {
            "type": "TopdownPoseEstimator",
            "data_preprocessor": {"type": "PoseDataPreprocessor", "mean": _MEAN, "std": _STD, "bgr_to_rgb": True},
            "backbone": _cspnext(channels[-1] / 512, _scope_="mmdet", arch_ovewrite=stages, out_indices=(2, 3, 4)),
            "neck": {"type": "FeatureMapProcessor", "concat": True},
            "head": {
                "type": "RTMCCHead",
                "in_channels": sum(channels),
                "out_channels": 17,
                "input_size": POSE_SIZE,
                "in_featuremap_size": (POSE_SIZE[0] // 8, POSE_SIZE[1] // 8),
                "simcc_split_ratio": codec["simcc_split_ratio"],
                "final_layer_kernel_size": 3,
                "gau_cfg": {
                    "hidden_dims": 128,
                    "s": 64,
                    "expansion_factor": 2,
                    "dropout_rate": 0.0,
                    "drop_path": 0.0,
                    "act_fn": "SiLU",
                    "use_rel_bias": False,
                    "pos_enc": False,
                },
                "loss": {"type": "KLDiscretLoss", "use_target_weight": True, "beta": 1.0, "label_softmax": False},
                "decoder": codec,
            },
            "test_cfg": {"flip_test": True},
        },
        "test_dataloader": {"dataset": {"pipeline": steps}},
    }


def _depth() -> dict[str, Any]:
    """Depth Anything V2 (Yang 2024), metric, with a quarter of the channels and half of the layers of its Small.

    Patches are 9 px wide, not 14: a person in so small an image is only a few of them wide.
    """
    hidden, layers = 96, 6
    return {
        "model_type": "depth_anything",
        "backbone_config": {
            "model_type": "dinov2",
            "image_size": DEPTH_SIDE,
            "patch_size": DEPTH_PATCH,
            "hidden_size": hidden,
            "num_attention_heads": 3,
            "num_hidden_layers": layers,
            "out_indices": [2, 3, 5, 6],
            "apply_layernorm": True,
            "reshape_hidden_states": False,
        },
        "patch_size": DEPTH_PATCH,
        "reassemble_hidden_size": hidden,
        "reassemble_factors": [2, 1, 0.5, 0.25],  # maps of 28, 14, 7 and 4 cells
        "neck_hidden_sizes": [32, 48, 96, 128],
        "fusion_hidden_size": 16,
        "head_hidden_size": 8,
        "depth_estimation_type": "metric",
        "max_depth": 20,
    }


DETECTOR, POSE, DEPTH = _detector(), _pose(), _depth()
