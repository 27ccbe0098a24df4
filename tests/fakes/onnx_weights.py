"""The weights in an ONNX file, under the names that a PyTorch network of the same architecture has for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def state_from_onnx(path: Path, network: nn.Module, run: Any) -> dict[str, Tensor]:
    """A state for `network` that computes what the graph does, whose batch normalisations are folded away.

    run  calls the network once: its convolutions run in the order that the graph has them in
    A convolution's bias goes to the normalisation that follows it, which otherwise does nothing: its variance and its
    epsilon add up to 1. Where none follows, the convolution has a bias itself.
    """
    import onnx

    graph = onnx.load(str(path)).graph
    stored = {each.name: torch.from_numpy(onnx.numpy_helper.to_array(each).copy()) for each in graph.initializer}
    folded = [[stored[name] for name in node.input[1:]] for node in graph.node if node.op_type == "Conv"]

    names = {layer: name for name, layer in network.named_modules()}
    order: list[str] = []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output: order.append(names[layer]))
        for layer in names
        if isinstance(layer, nn.Conv2d)
    ]
    with torch.no_grad():
        run(network)
    for hook in hooks:
        hook.remove()
    assert len(order) == len(set(order)) == len(folded)

    state = {key: value.clone() for key, value in network.state_dict().items()}
    for name, (weight, bias) in zip(order, folded, strict=True):
        assert state[f"{name}.weight"].shape == weight.shape, name
        state[f"{name}.weight"] = weight
        if f"{name}.bias" in state:
            state[f"{name}.bias"] = bias
            continue
        norm = name.rsplit(".", 1)[0] + ".bn"
        layer = network.get_submodule(norm)
        assert isinstance(layer, nn.BatchNorm2d), norm
        state[f"{norm}.weight"] = torch.ones_like(bias)
        state[f"{norm}.bias"] = bias
        state[f"{norm}.running_mean"] = torch.zeros_like(bias)
        state[f"{norm}.running_var"] = torch.full_like(bias, 1 - layer.eps)
    return state


def write_rtmdet_nano(path: Path, onnx_file: Path) -> Path:
    """The real RTMDet-nano as a checkpoint in OpenMMLab's layout, with the colour statistics that older ones have."""
    from auglift.pipeline.networks import openmmlab
    from auglift.pipeline.networks.models import MODELS

    config = openmmlab.read_config(MODELS["rtmdet-nano"].config)
    network = openmmlab.build(config, "mmdet")
    picture = torch.zeros(1, 3, 320, 320)
    state = state_from_onnx(onnx_file, network, lambda each: each.bbox_head(each.extract_feat(picture)))
    settings = config.model.data_preprocessor
    old = {f"data_preprocessor.{key}": torch.tensor(settings[key]).view(3, 1, 1) for key in ("mean", "std")}
    torch.save({"meta": {"epoch": 300}, "state_dict": {**old, **state}}, path)
    return path
