"""Checkpoints: weights and plain data only, written whole or not at all, refused where they are of something else.

A run's folder holds
    run.json      the settings, and what the weights are of
    best.pt       the weights that did best on the held-out data
    last.pt       everything needed to go on
    log.jsonl     a line an epoch
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...stores.errors import CorruptStoreError, InvalidValueError, MissingFileError, StoreWriteError, reason
from ...stores.format.depth_unit import METRES, depth_unit
from ...stores.format.families import split_field
from ...stores.format.fingerprint import describe_difference
from ...stores.reading.store import FeatureStore
from ..data.features import feature_models
from ..inputs import Inputs
from ..models import Lifter, Streamed, build, channels_behind
from ..own_lifters.adapter import adapt
from ..own_lifters.find import find_lifter
from ..own_lifters.own_lifter import OwnLifter
from .setup import Setup, name_of_inputs, what_counts

FORMAT = 1
RUN, BEST, LAST, LOG = "run.json", "best.pt", "last.pt", "log.jsonl"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that has its name only once it is whole and on disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreWriteError(f"{path} cannot be written ({error.strerror or error})") from error


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Save tensors and plain data; what cannot be loaded again without running code is refused."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    write_atomically(path, buffer.getvalue())


def load(path: Path, device: torch.device | str = "cpu", needed: Iterable[str] = ()) -> dict[str, Any]:
    """Load what `save` was given; `needed` must be in it.

    Raises MissingFileError; CorruptStoreError for a file that is no checkpoint, was cut off or has a byte changed, or
    would run code when loaded; InvalidValueError for a checkpoint of another program.
    """
    if not path.is_file():
        raise MissingFileError(f"there is no checkpoint {path}: give the --out folder of an auglift-train run")
    try:
        data = path.read_bytes()
        _check_whole(data)
        content = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
        known = content.get("format") == FORMAT
    except Exception as error:
        raise CorruptStoreError(f"{path} cannot be read as a checkpoint ({reason(error)}); train again") from error
    if not known:
        raise InvalidValueError(f"{path} is a checkpoint of another program or version, not of this auglift-train")
    if missing := [name for name in needed if name not in content]:
        raise CorruptStoreError(f"{path} is a checkpoint without {', '.join(missing)}; train again")
    return content


def _check_whole(data: bytes) -> None:
    """ValueError where bytes are not those that were written: torch.load takes a changed weight as it is."""
    if not data:
        raise ValueError("the file is empty")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"{damaged} in it is damaged")


def description(setup: Setup, stores: list[FeatureStore]) -> dict[str, Any]:
    """Describe what weights are of: code that loads them must mean the same by every word of it."""
    preset = setup.inputs.preset
    return {
        "lifter": setup.own.identity if setup.own else setup.lifter,
        "model": json.loads(json.dumps(dict(setup.hyperparameters.model))),
        "window": setup.window,
        "inputs": setup.inputs.as_dict(),
        "skeleton": skeleton_of(stores[0]),
        "uadd": None if preset is None else uadd_of(stores[0], preset),
        # Only where there are any: runs of before are what they were.
        **({"features": features} if (features := feature_models(stores[0], setup.inputs)) else {}),
    }


def skeleton_of(store: FeatureStore) -> Any:
    return store.attributes.get("skeleton")


def uadd_of(store: FeatureStore, preset: str) -> Any:
    """Return how the descriptor was made, and the unit of its depth where that is not the metre."""
    made = store.configuration_of(preset)
    described, unit = (made.get("uadd") or {}).get(split_field(preset)[0]), depth_unit(made)
    return described if unit == METRES else {**(described or {}), "depth_unit": unit}


def unit_of(uadd: Any) -> str:
    """The unit of the depth in what `uadd_of` returns."""
    return (uadd or {}).get("depth_unit", METRES)


def same_description(ours: Mapping[str, Any], content: Mapping[str, Any], path: Path) -> None:
    """Raise InvalidValueError where a checkpoint is of something else than its run's description, `ours`."""
    if content.get("description") != ours:
        difference = describe_difference(ours, content.get("description") or {}, where=("there", "in the checkpoint"))
        raise InvalidValueError(
            f"{path} is of another lifter, skeleton, representation or training set than {path.parent / RUN} "
            f"({difference}); take a run's files together"
        )


class Run:
    """A run's folder, for reading: its settings and its best model.

    inputs   the representation, with the statistics of the training set where it is standard
    lifter   of a run of the user's own lifter: where its class is now, if not where it was; see `find_lifter`
    allow_changed_lifter   load that class though its file is not what it was in training
    """

    def __init__(
        self, folder: str | Path, lifter: str | type | OwnLifter | None = None, allow_changed_lifter: bool = False
    ):
        self.folder = Path(folder)
        path = self.folder / RUN
        if not path.is_file():
            raise MissingFileError(f"{self.folder} is no run: it has no {RUN}; give the --out folder of auglift-train")
        content = _read_run(path, "train again")
        self.description: dict[str, Any] = content["description"]
        try:
            self.setup = Setup.from_dict(content["setup"])
            self.inputs = Inputs(**self.description["inputs"])
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptStoreError(f"{path} cannot be read ({reason(error)}); train again") from error
        self.allow_changed_lifter = allow_changed_lifter
        self._found = None if lifter is None else find_lifter(lifter)
        if isinstance(self._found, str):
            self.expect(self._found)
        elif self._found is not None and self.setup.own is None:
            self.expect(self._found.name)

    @property
    def own(self) -> OwnLifter | None:
        """Return the user's own lifter, as it was in training or where it is now; None where it is one of auglift's."""
        return self._found if isinstance(self._found, OwnLifter) else self.setup.own

    def model(self, device: torch.device | str = "cpu", checkpoint: str = BEST) -> Lifter:
        """Load the trained lifter, in evaluation mode. InvalidValueError where the checkpoint is of another run."""
        path = self.folder / checkpoint
        content = load(path, device, ("weights",))
        same_description(self.description, content, path)
        model = self._untrained(device)
        load_weights(model, content["weights"], path)
        return model.to(device).eval()

    def _untrained(self, device: torch.device | str) -> Lifter:
        settings, inputs, window = self.description["model"], self.inputs, self.setup.window
        base, widths = [channel.name for channel in inputs.channels], inputs.widths_by_stream
        if self.own is None:
            return build(self.setup.lifter, len(base), window, streams=widths, **settings)
        self._check_own(self.own)
        lifter = adapt(self.own, len(channels_behind("", base, widths)), window or 1, settings, device)
        return Streamed(lifter, widths) if widths else lifter

    def _check_own(self, own: OwnLifter) -> None:
        """No code runs that lies in the run itself, or is not what it was in training, unless the user says so."""
        trained = self.setup.own or own
        if self._found is None and Path(own.file).is_relative_to(self.folder.resolve()):
            raise InvalidValueError(
                f"the lifter of {self.folder} lies in that folder itself ({own.file}), and code that comes with a "
                f"checkpoint is not run; where you trust it, name it: --lifter {own.file}:{own.path}"
            )
        if not Path(own.file).is_file():
            raise MissingFileError(
                f"the lifter of {self.folder} is no longer in {own.file}; say where: --lifter FILE.py:{own.path}"
            )
        # As it is now, by what it was in training.
        changed = replace(trained, file=own.file).changed()
        if (changed or own.path != trained.path) and not self.allow_changed_lifter:
            other = f"{own.path} is not {trained.path}" if own.path != trained.path else "changed"
            raise InvalidValueError(
                f"the lifter of {self.folder} is not what it was in training ({other}: {', '.join(changed)}); bring "
                f"that back, name the right file with --lifter FILE.py:{trained.path}, or load it as it is with "
                "--allow-changed-lifter"
            )

    def check_store(self, store: FeatureStore) -> None:
        """Raise InvalidValueError where this store means something else by joints or descriptors than training did."""
        if skeleton_of(store) != self.description["skeleton"]:
            raise InvalidValueError(
                f"{store.url} has the skeleton {skeleton_of(store)!r}, {self.folder} was trained on "
                f"{self.description['skeleton']!r}; evaluate on a store of that skeleton"
            )
        preset = self.inputs.preset
        if preset is None:
            return
        ours, theirs = self.description["uadd"], uadd_of(store, preset)
        if unit_of(ours) != unit_of(theirs):
            raise InvalidValueError(
                f"depth is in the unit '{unit_of(theirs)}' in {store.url} ('{preset}'), and {self.folder} was trained "
                f"on depth in '{unit_of(ours)}': evaluate on stores of that kind of depth"
            )
        if ours != theirs:
            difference = describe_difference(ours or {}, theirs or {})
            raise InvalidValueError(
                f"{store.url} computed the descriptor '{preset}' otherwise than the stores that {self.folder} was "
                f"trained on ({difference}); prepare it again with the same settings"
            )

        if (found := feature_models(store, self.inputs)) != (trained := self.description.get("features")):
            difference = describe_difference(trained or {}, found or {}, where=("there", "here"))
            raise InvalidValueError(
                f"{store.url} has learned features of another kind than {self.folder} was trained on ({difference}); "
                "prepare it again with the same networks"
            )

    def expect(self, lifter: str | None = None, inputs: Inputs | None = None) -> None:
        """Raise InvalidValueError where the run is of another lifter or representation than these."""
        if lifter is not None and lifter != self.setup.lifter:
            raise InvalidValueError(f"{self.folder} is a {self.setup.lifter}, not a {lifter}; leave out --lifter")
        if inputs is not None and inputs != self.setup.inputs:
            ours, theirs = name_of_inputs(self.setup.inputs), name_of_inputs(inputs)
            raise InvalidValueError(f"{self.folder} was trained on '{ours}', not on '{theirs}'; leave out --inputs")


def load_weights(model: Lifter, weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load weights; InvalidValueError, in one line, where they are of another architecture."""
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        lines = [line.strip() for line in str(error).splitlines()[1:]] or [reason(error)]
        raise InvalidValueError(
            f"the weights in {path} do not fit this {type(model).__name__} ({lines[0][:160]}); take a checkpoint of "
            "this lifter"
        ) from error


def begin(folder: Path, setup: Setup, described: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
    """Make a run's folder, or find it. True: it holds something of this training, to continue with.

    data   what it reads: fingerprints of stores, ids held out
    InvalidValueError, naming what differs, where the folder holds another training.
    """
    path = folder / RUN
    content = json.loads(
        json.dumps({"setup": setup.as_dict(), "description": dict(described), "data": dict(data)}, allow_nan=False)
    )
    if path.is_file():
        there = _read_run(path, "give another --out")
        _check_code(setup, folder, there)
        if (ours := _fixed(content)) != (theirs := _fixed(there)):
            difference = describe_difference(ours, theirs).replace("in the store", "there")
            raise InvalidValueError(f"{folder} holds another training ({difference}); give another --out")
        return (folder / LAST).is_file()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreWriteError(f"{folder} cannot be made ({error.strerror or error})") from error
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())
    return False


def _read_run(path: Path, remedy: str) -> dict[str, Any]:
    """What `begin` wrote. CorruptStoreError where it is something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(content[part], dict) for part in ("setup", "description")):
            raise ValueError("its parts have the wrong kind")
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptStoreError(f"{path} cannot be read ({reason(error)}); {remedy}") from error
    return content


def _check_code(setup: Setup, folder: Path, there: Mapping[str, Any]) -> None:
    """InvalidValueError where the class is the user's own, and its code is not what the run began with."""
    then = there["setup"].get("own")
    if setup.own is None or then is None:
        return
    if changed := replace(OwnLifter.from_dict(then), file=setup.own.file).changed():
        raise InvalidValueError(
            f"{folder} was trained with {there['setup']['lifter']} as it was before, and {', '.join(changed)} has "
            f"changed since: undo that, or give another --out and --init {folder} to begin with its weights"
        )


def _fixed(content: Mapping[str, Any]) -> dict[str, Any]:
    """All of run.json but where stores lie (their fingerprints say what they are) and how the training is run."""
    setup = what_counts(content["setup"])
    if "own" in setup:  # its imports are known where it was named by its file: `_check_code` compares them
        setup["own"] = {key: value for key, value in setup["own"].items() if key != "imports"}
    return {**content, "setup": setup}
