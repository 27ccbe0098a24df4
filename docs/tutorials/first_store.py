"""Your first store

A short video goes through detector, pose and depth network once. What they see is then on disk, for any number of
trainings. On a CPU this takes half a minute, and needs neither data nor published weights.
"""

from _shell import sh

# %%
# First a video is needed. Here a person is rendered, and the cache then has their `video.mp4`. Take a clip of your own
# in its place, with weights as [install.md](../install.md) says.
sh(
    "auglift-prep synth --domain studio --clips 1 --frames 8 --pose ground-truth --depth ground-truth "
    "--cache build/tutorial/cache --out build/tutorial/true.zarr"
)

# %%
# The depth pass. The `tiny` networks come with auglift and know rendered people only
# ([tiny-models.md](../tiny-models.md)); for real people leave the three options out, and the published networks are
# taken. Stop the command and run it again: it continues where it was, to the same bytes.
sh(
    "auglift-prep video build/tutorial/cache/synth/studio-*-8f-*/*/video.mp4 --out build/tutorial/first.zarr "
    "--detector tiny --pose tiny --depth tiny"
)

# %%
# What is in it: frames, joints, scores, depths, what was odd about the video, and how it was made.
sh("auglift-store info build/tutorial/first.zarr")

# %%
# Is every byte what was written? Ask it after a copy, too.
sh("auglift-store verify build/tutorial/first.zarr --deep")

# %%
# From Python: one frame axis for all sequences, and a name for every field ([store-format.md](../store-format.md)
# lists them).
from auglift.stores import FeatureStore

store = FeatureStore.open("build/tutorial/first.zarr")
keypoints = store.read("keypoints", 0, 8)  # (8, 17, 2) float32, px
depth = store.read("uadd/paper", 0, 8)  # (8, 17, 3) float32, m: d, d_min, d_max in the disk about each joint
found = store.read("valid", 0, 8)  # (8,) uint8; 0: nobody was found, and the rest is NaN
for frame in range(8):
    x, y = keypoints[frame, 0]
    print(f"frame {frame}: pelvis at ({x:.0f}, {y:.0f}) px, {depth[frame, 0, 0]:.2f} m away, found {found[frame]}")

# %%
# Next: [the store in xarray](read_in_xarray.py), and [training from it](train_and_compare.py).
