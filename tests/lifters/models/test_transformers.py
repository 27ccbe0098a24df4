"""PoseFormer and DSTformer against torch's own encoder layer with the same weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from auglift.lifters.models import build
from auglift.lifters.models.transformer import Attention, Block, DropPath
from auglift.stores.errors import InvalidValueError

from .small_lifters import shuffle_weights, small

torch.set_num_threads(1)


def encoder_layer(block: Any) -> nn.TransformerEncoderLayer:
    width, hidden = block.norm1.weight.numel(), block.mlp[0].weight.shape[0]
    layer = nn.TransformerEncoderLayer(
        width, block.attn.heads, hidden, 0.0, "gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    )
    ours = {
        "self_attn.in_proj_": block.attn.qkv,
        "self_attn.out_proj.": block.attn.proj,
        "linear1.": block.mlp[0],
        "linear2.": block.mlp[3],
        "norm1.": block.norm1,
        "norm2.": block.norm2,
    }
    layer.load_state_dict({f"{name}{k}": v for name, part in ours.items() for k, v in part.state_dict().items()})
    return layer.train()  # the fused path of evaluation is another implementation, less exact


def normed(x: Tensor, norm: Any) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight + norm.bias


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_block_is_a_pre_norm_encoder_layer():
    block = shuffle_weights(Block(24, 4, 2.5)).eval()
    tokens = torch.randn(3, 7, 24)
    close(block(tokens), encoder_layer(block)(tokens))


def test_poseformer_is_joints_then_frames_then_a_weighted_mean():
    model = shuffle_weights(small("poseformer")).eval()
    inputs = torch.randn(2, 9, 17, 6)
    frames = []
    for t in range(9):
        tokens = nn.functional.linear(inputs[:, t], model.joint_embedding.weight, model.joint_embedding.bias)
        tokens = tokens + model.spatial_position
        for block in model.spatial_blocks:
            tokens = encoder_layer(block)(tokens)
        frames.append(normed(tokens, model.spatial_norm).reshape(2, -1))
    tokens = torch.stack(frames, 1) + model.temporal_position
    for block in model.temporal_blocks:
        tokens = encoder_layer(block)(tokens)
    tokens = normed(tokens, model.temporal_norm)
    weights = model.weighted_mean.weight[0, :, 0]
    mixed = sum(weights[t] * tokens[:, t] for t in range(9)) + model.weighted_mean.bias
    close(model(inputs), model.head(mixed).view(2, 1, 17, 3))


@pytest.mark.parametrize("frames", [9, 4])
def test_dstformer_is_two_streams_in_opposite_orders_mixed_by_weights_of_both(frames: int):
    model = shuffle_weights(small("dstformer")).eval()
    inputs = torch.randn(2, frames, 17, 6)

    def over_joints(block: Any, x: Tensor) -> Tensor:
        return torch.stack([encoder_layer(block)(x[:, t]) for t in range(frames)], 1)

    def over_frames(block: Any, x: Tensor) -> Tensor:
        return torch.stack([encoder_layer(block)(x[:, :, j]) for j in range(17)], 2)

    x = model.joint_embedding(inputs) + model.spatial_position + model.temporal_position[:, :frames]
    for st_block, ts_block, fusion in zip(model.joints_first, model.frames_first, model.fusion, strict=True):
        a = over_frames(st_block.temporal, over_joints(st_block.spatial, x))
        b = over_joints(ts_block.spatial, over_frames(ts_block.temporal, x))
        score = fusion(torch.cat([a, b], -1)).exp()
        x = (a * score[..., :1] + b * score[..., 1:]) / score.sum(-1, keepdim=True)
    x = normed(x, model.norm)
    close(model(inputs), model.head(model.representation(x)))


def test_dstformer_weighs_both_streams_the_same_at_first():
    model = small("dstformer")
    for fusion in model.fusion:
        assert (fusion(torch.randn(5, 32)).softmax(-1) == 0.5).all()


def test_drop_path_leaves_out_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop = DropPath(0.25)
    out = drop(torch.ones(20_000, 2, 3)).flatten(1)
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out == out[:, :1]).all()
    assert out.mean().item() == pytest.approx(1, abs=0.02)
    assert (drop.eval()(torch.ones(9, 2)) == 1).all()


def test_drop_path_rises_along_the_stack_to_its_rate():
    for blocks in (small("poseformer").spatial_blocks, small("poseformer").temporal_blocks):
        assert [block.drop_path.rate for block in blocks] == pytest.approx([0, 0.1 / 3, 0.2 / 3, 0.1])


def test_attention_dropout_acts_in_training_alone():
    attention, tokens = Attention(8, 2, attention_dropout=0.5), torch.randn(2, 6, 8)
    assert not torch.equal(attention(tokens), attention(tokens))
    attention.eval()
    assert torch.equal(attention(tokens), attention(tokens))


@pytest.mark.parametrize(("name", "heads"), [("poseformer", 5), ("dstformer", 7)])
def test_heads_that_do_not_divide_the_width_are_refused(name: str, heads: int):
    with pytest.raises(InvalidValueError, match="does not divide"):
        build(name, 2, 9, heads=heads)
