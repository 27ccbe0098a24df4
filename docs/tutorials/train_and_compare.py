"""Train, and compare inputs

One store, two trainings: the 2D joints alone (`xy`), and with depth (`uadd@root`). Both are measured on people and
rooms that neither has seen.
"""

from _shell import sh

# %%
# Simulated people in a studio to learn from, others in a street to be tested on ([synthetic.md](../synthetic.md)).
# Stores of real video take their place as they are.
sh(
    "auglift-prep synth --domain studio --sensor simulated --noise standard:map=64 --split train --people 6 --clips 32 "
    "--frames 20 --uadd paper --out build/tutorial/train.zarr"
)
sh(
    "auglift-prep synth --domain street --sensor simulated --noise standard:map=64 --split test --people 4 --clips 8 "
    "--frames 20 --uadd paper --out build/tutorial/test.zarr"
)

# %%
# The same lifter twice; only what it is given differs. The best epoch is chosen on a person of the training store
# that is held out. A training that was stopped continues when you run the same command again.
sh(
    "auglift-train build/tutorial/train.zarr --inputs xy --out build/tutorial/xy --lifter simple_baseline --window 1 "
    "--batch 32 --epochs 60 --set width=128 --set dropout=0 --set lr=2e-3"
)
sh(
    "auglift-train build/tutorial/train.zarr --inputs uadd@root --out build/tutorial/uadd --lifter simple_baseline "
    "--window 1 --batch 32 --epochs 60 --set width=128 --set dropout=0 --set lr=2e-3"
)

# %%
# The figures, in mm: MPJPE after the pelvis is moved to the same place, P-MPJPE after turning and scaling too.
sh("auglift-eval build/tutorial/xy build/tutorial/test.zarr")
sh("auglift-eval build/tutorial/uadd build/tutorial/test.zarr")

# %%
# The same from Python, for a comparison of your own.
from pathlib import Path

from auglift.lifters.evaluation.evaluate import evaluate
from auglift.lifters.training.checkpoint import Run

for name in ("xy", "uadd"):
    run = Run(Path("build/tutorial") / name)
    (found,) = evaluate(run, ["build/tutorial/test.zarr"])
    print(name, {measure: round(found.measures[measure], 1) for measure in ("mpjpe", "p_mpjpe")})

# %%
# 640 frames, one seed and a small lifter show how it is done, and not which input is better. A comparison to believe
# takes more people, several seeds and more than one test set: `auglift-sweep` runs such a grid, and
# [reproduce.md](../reproduce.md) has ours with all its figures. Next: [your own lifter](own_lifter.py).
