"""Ship a run: `python -m auglift.lifters.zoo.ship RUN NAME`, the last step of `make zoo`."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...stores.errors import InvalidValueError, MissingExtraError
from ...stores.reading.store import FeatureStore
from ..plane import ROOT
from ..training.checkpoint import BEST, LOG, Run, load, write_atomically
from .shipped import FOLDER, FORMAT

LARGEST = 5_000_000  # bytes of the weights


def ship(run: str | Path, name: str, about: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Write a run's best weights and what they are into the zoo; return the path of the weights.

    about   networks, licence, and how it was made, as plain data
    InvalidValueError where the weights are larger than 5 MB, or the lifter is not one of auglift's.
    """
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise MissingExtraError("shipping needs safetensors: pip install 'auglift[prep]'") from error
    trained = Run(run)
    if trained.own is not None:
        raise InvalidValueError(f"{run} is a lifter of your own; the zoo holds lifters of auglift's")
    weights = load(trained.folder / BEST, needed=("weights",))["weights"]
    data = save({key: value.contiguous() for key, value in weights.items()})
    if len(data) > LARGEST:
        raise InvalidValueError(f"{run} has {len(data)} bytes of weights, and the zoo takes {LARGEST}; take fewer")
    log = [json.loads(line) for line in (trained.folder / LOG).read_text().splitlines()]
    setup = trained.setup.as_dict()
    content = {
        "format": FORMAT,
        "name": name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        **about,
        "mean_pose": mean_pose([FeatureStore.open(store) for store in trained.setup.stores]),
        "epochs": [{key: line[key] for key in ("epoch", "mpjpe", "held_out_mpjpe") if key in line} for line in log],
        "description": trained.description,
        # Where its stores lay says nothing elsewhere.
        "setup": {**setup, "stores": [Path(store).name for store in setup["stores"]]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    write_atomically(path, data)
    write_atomically(path.with_suffix(".json"), (json.dumps(content, indent=1) + "\n").encode())
    return path


def mean_pose(stores: Sequence[FeatureStore]) -> list[list[float]]:
    """Return the mean of all true poses less their pelvis, (17, 3) m to the millimetre: what is no lifter at all."""
    poses = np.concatenate([store.read("target/pose3d", 0, store.frames) for store in stores])
    return np.nanmean(poses - poses[:, ROOT, None], axis=0).round(3).tolist()


def main() -> None:
    run, name, about = sys.argv[1:]
    print(ship(run, name, json.loads(Path(about).read_text())))


if __name__ == "__main__":
    main()
