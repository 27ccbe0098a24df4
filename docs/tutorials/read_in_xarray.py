"""A store in xarray

All fields as one lazy dataset with names on its axes: joints, x y z, statistics, time, sequences. It needs the
extra `xarray`, and nothing of the depth pass: `pip install 'auglift[xarray]'` is enough where stores are only read.
"""

from _shell import sh

# %%
# A store to look at, of simulated joints and depths ([synthetic.md](../synthetic.md)): four sequences with ground
# truth.
sh(
    "auglift-prep synth --domain street --sensor simulated --noise standard:map=64 --clips 4 --frames 40 --uadd paper "
    "--out build/tutorial/street.zarr"
)

# %%
# `to_xarray` reads nothing yet. What you select is read when its values are used, and no more than that.
from auglift.stores import FeatureStore

store = FeatureStore.open("build/tutorial/street.zarr")
data = store.to_xarray()
print(data)

# %%
# Joints, coordinates and statistics are chosen by name.
wrist = data["uadd/paper"].sel(joint="left_wrist", stat="d")
print("the left wrist is", wrist.mean().item(), "m away on average")

# %%
# How far is measured depth from the true one, by joint? Ground truth has the name `target/pose3d`, metres, and z is
# the depth.
error = data["uadd/paper"].sel(stat="d") - data["target/pose3d"].sel(xyz="z")
print(abs(error).mean("frame").to_series().sort_values().round(3))

# %%
# Frames know their sequence and their time in it.
score = data["score"].mean("joint").groupby("sequence").mean()
print(score.to_series().round(3))
first = store.to_xarray(store.sequences[0].id)
print("it lasts", first["time"].max().item(), "s")

# %%
# One sequence as the package [movement](https://movement.neuroinformatics.dev) takes poses, for its filters, plots
# and napari viewer.
poses = store.to_movement(store.sequences[0].id)
print(poses.sizes, poses.attrs)

# %%
# Next: [training from a store](train_and_compare.py). Stores grow and become others:
# [derived-stores.md](../derived-stores.md).
