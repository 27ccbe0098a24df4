"""Bring your own lifter

Any `torch.nn.Module` of the right shapes is trained, measured and put into grids as the lifters that come with
auglift. It needs no base class and no import of auglift.
"""

from pathlib import Path

from _shell import sh

# %%
# Stores to train on and to be tested on, as in [the tutorial before](train_and_compare.py); what is there already is
# not made again.
sh(
    "auglift-prep synth --domain studio --sensor simulated --noise standard:map=64 --split train --people 6 --clips 32 "
    "--frames 20 --uadd paper --out build/tutorial/train.zarr"
)
sh(
    "auglift-prep synth --domain street --sensor simulated --noise standard:map=64 --split test --people 4 --clips 8 "
    "--frames 20 --uadd paper --out build/tutorial/test.zarr"
)

# %%
# A lifter in a file of its own. `channels` and `window` come from auglift, everything else is a setting with a
# default. It takes (batch, frames, joints, channels) and returns (batch, frames, joints, 3), metres from the pelvis.
LIFTER = """
from torch import nn


class Small(nn.Module):
    def __init__(self, channels, window, joints=17, width=64):
        super().__init__()
        self.joints = joints
        self.layers = nn.Sequential(nn.Linear(joints * channels, width), nn.GELU(), nn.Linear(width, joints * 3))

    def forward(self, inputs):  # (B, T, J, C)
        return self.layers(inputs.flatten(2)).unflatten(2, (self.joints, 3))
"""
Path("build/tutorial/small.py").write_text(LIFTER)

# %%
# `FILE.py:CLASS` in the place of a lifter's name. Two windows of random numbers and one batch are tried before the
# first epoch, so that a wrong shape is one line with the line of your file.
sh(
    "auglift-train build/tutorial/train.zarr --lifter build/tutorial/small.py:Small --inputs uadd@root --window 1 "
    "--epochs 20 --batch 32 --set width=128 --set lr=2e-3 --out build/tutorial/small"
)
sh("auglift-eval build/tutorial/small build/tutorial/test.zarr --by action")

# %%
# [examples/own_lifter.py](../../examples/own_lifter.py) is a larger one, with attention over joints and frames and a
# loss of its own. The settings beside it, `own_lifter.toml`, are read; `--set` changes some.
sh(
    "auglift-train build/tutorial/train.zarr --lifter examples/own_lifter.py:JointsThenFrames --inputs uadd@root "
    "--window 5 --epochs 2 --set width=32 --set depth=1 --set heads=2 --out build/tutorial/attention"
)

# %%
# What a class must keep to, weights to begin with, and code of other repositories: [own-lifter.md](../own-lifter.md).
# When the training loop is what you want to change: [examples/own_loop.py](../../examples/own_loop.py).
