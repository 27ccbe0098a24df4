"""Between store and lifter: which stores are usable, loaders over chosen sequences, batches as tensors, predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...stores.errors import InvalidValueError, MissingFieldError
from ...stores.format.depth_unit import RELATIVE, depth_unit
from ...stores.format.families import split_field
from ...stores.format.schema import FEATURES, UADD_STATISTICS
from ...stores.reading.store import FeatureStore
from ...stores.reading.window_table import WindowShape
from ...stores.reading.windows import WindowLoader
from ..inputs import REPRESENTATIONS, Inputs, flip_pose, swap_sides, targets
from ..models import Lifter
from .features import require_one_feature_model
from .holdout import only
from .truth import TARGET, centres_near


@dataclass(frozen=True)
class Examples:
    """A batch for a lifter: inputs (B, T, J, C), target (B, T_out, J, 3) m and which of its joints count."""

    inputs: Tensor
    target: Tensor
    mask: Tensor


def open_stores(urls: Sequence[str], inputs: Inputs, allow_incomplete: bool = False) -> list[FeatureStore]:
    """Open stores that hold what these inputs are made of, and ground truth.

    Raises what `FeatureStore.open` does (a store still being written is an error unless allowed), and MissingFieldError
    that says which representations the store does hold.
    """
    if not urls:
        raise InvalidValueError("no store was given")
    stores = [FeatureStore.open(url, allow_incomplete) for url in urls]
    for store in stores:
        if TARGET not in store.fields:
            raise MissingFieldError(
                f"{store.url} has no ground truth ({TARGET}): a lifter can neither be trained nor measured on it; "
                "take a store of a data set that has 3D"
            )
        require_inputs(store, inputs)
    if inputs.preset is not None:
        _require_one_unit(stores, inputs)
    require_one_feature_model(stores, inputs)
    return stores


def require_inputs(store: FeatureStore, inputs: Inputs) -> None:
    """Raise MissingFieldError, with what the store does hold, where it lacks what these inputs are made of."""
    missing = [name for name in inputs.fields if name not in store.fields]
    if missing:
        hint = store.without_depth + _without_features(store, missing)
        raise MissingFieldError(
            f"{store.url} has no {', '.join(missing)}, which '{inputs.name}' is made of; it holds what "
            f"{', '.join(held(store)) or 'no representation'} needs{hint}"
        )
    _require_one_set_of_joints(store, inputs)


def _without_features(store: FeatureStore, missing: Sequence[str]) -> str:
    streams = ",".join(stream for stream, field in FEATURES.items() if field in missing)
    if not streams:
        return ""
    return f"; add them: auglift-prep extend {store.url} --features {streams} --name v2, and take @features=v2"


def _require_one_unit(stores: Sequence[FeatureStore], inputs: Inputs) -> None:
    """InvalidValueError where some stores' depth is in metres and others' is relative: one lifter cannot mean both.

    The same where metres are needed, and there are none.
    """
    preset = inputs.preset or ""
    units: dict[str, FeatureStore] = {}
    for store in stores:
        units.setdefault(depth_unit(store.configuration_of(preset)), store)
    if len(units) > 1:
        (one, first), (other, second) = units.items()
        raise InvalidValueError(
            f"depth is in the unit '{one}' in {first.url} and '{other}' in {second.url}: one lifter takes "
            "stores of one kind of depth; leave one kind out, or take xy or xyc, which use none"
        )
    if inputs.distance is not None and RELATIVE in units:
        raise InvalidValueError(f"@dscale needs metres, and depth in {units[RELATIVE].url} is relative: take @scaled")


def _require_one_set_of_joints(store: FeatureStore, inputs: Inputs) -> None:
    """InvalidValueError where depths or features were measured at other joints than those given beside them."""
    sources = [f"uadd/{inputs.preset}"] if inputs.preset is not None else []
    for field in [*sources, *inputs.streams.values()]:
        family = split_field(field)[1]
        own = family if family and "keypoints" in store.families[family].own_fields else ""
        if own != inputs.joints:
            where, right = (
                (f"keypoints@{own}", f"@joints={own}") if own else ("the store's own keypoints", "no @joints")
            )
            raise InvalidValueError(
                f"{field} of {store.url} was measured at {where}: write {right} in --inputs, so that all channels are "
                "of the same joints"
            )


def held(store: FeatureStore) -> list[str]:
    """Return the representations that this store can give, as `setup.inputs_by_name` takes them."""
    found = []
    for name, row in REPRESENTATIONS.items():
        if TARGET in Inputs(name).fields:
            continue  # an oracle, which takes the truth itself
        presets = [None] if row.preset is None else [row.preset, *(p for p in UADD_STATISTICS if p != row.preset)]
        for preset in presets:
            try:
                inputs = Inputs(name, preset)
            except InvalidValueError:
                continue  # the preset has not these statistics
            if all(field in store.fields for field in inputs.fields):
                found.append(name if preset == row.preset else f"{name}/{preset}")
                break
    return found


def loader_for(
    stores: Sequence[FeatureStore],
    ids: Sequence[Sequence[str]],
    inputs: Inputs,
    model: Lifter,
    centres: Sequence[np.ndarray | None] | None = None,
    **options: Any,
) -> WindowLoader:
    """Load windows of these sequences, by store, with the ground truth of the frames that the lifter predicts.

    centres, options   of `WindowLoader`
    Where a store has no ground truth, as that of a user's own clip, there is none in the windows.
    """
    centres = centres or [None] * len(stores)
    some = [store for store, names in zip(stores, ids, strict=True) if names]
    truth = (TARGET,) if all(TARGET in store.fields for store in some) else ()
    return WindowLoader(
        some,
        dict.fromkeys([*inputs.fields, *truth]),
        model.window,
        causal=causal(model),
        where=_these(stores, ids),
        centres=[mask for mask, names in zip(centres, ids, strict=True) if names],
        centre_fields=() if model.many_to_many or TARGET in inputs.fields else truth,
        **options,
    )


def frames_of(
    stores: Sequence[FeatureStore], ids: Sequence[Sequence[str]], inputs: Inputs, allow_incomplete: bool = False
) -> WindowLoader:
    """Load the frames of these sequences that show a person, by store, one by one in their order: for `Inputs.fit`."""
    some = [store for store, names in zip(stores, ids, strict=True) if names]
    options = {"where": _these(stores, ids), "shuffle": False, "allow_incomplete": allow_incomplete}
    return WindowLoader(some, inputs.fields, 1, batch_size=4096, **options)


def _these(stores: Sequence[FeatureStore], ids: Sequence[Sequence[str]]) -> Any:
    """The Arrow expression over tables of sequences that is true of these, by store."""
    chosen = [(store, names) for store, names in zip(stores, ids, strict=True) if names]
    expression = None
    for store, names in chosen:
        here = only(names)
        if len({s.attributes.get("dataset") for s, _ in chosen}) > 1:
            # Ids are unique inside a data set, not between them.
            import pyarrow.compute as pc

            here = here & pc.field("dataset").isin(store.sequences.values("dataset"))
        expression = here if expression is None else expression | here
    return expression


def centres_of(model: Lifter, store: FeatureStore, usable: np.ndarray) -> np.ndarray:
    """Return (frames,) bool: the centres of the windows for which the lifter predicts a usable frame."""
    if not model.many_to_many:
        return usable
    return centres_near(store, usable, WindowShape(model.window, causal=causal(model)))


def thinned(loader: WindowLoader, stride: int, most: int) -> list[np.ndarray]:
    """Choose by store the centres of at most so many windows: every n-th frame, then every n-th of what is left.

    stride   of the loader
    """
    table = loader.table
    offset = table.centre - table.sequences["start"][table.sequence]
    kept = np.flatnonzero(offset % (stride * -(-len(table) // most)) == 0)
    if not len(kept):
        kept = np.arange(len(table))
    kept = kept[:: -(-len(kept) // most)]
    store = table.sequences["store"][table.sequence[kept]]
    masks = [np.zeros(store.frames, dtype=bool) for store in loader.stores]
    for number, mask in enumerate(masks):
        mask[table.centre[kept[store == number]]] = True
    return masks


def causal(model: Lifter) -> bool:
    """Return whether the prediction is of the window's last frame."""
    return bool(getattr(model, "options", {}).get("causal", False))


def examples(batch: Mapping[str, Any], inputs: Inputs, model: Lifter, device: torch.device) -> Examples:
    """Make examples of a loader's batch for this lifter. Frames past the ends, and without a person, do not count."""
    given = inputs.without_mask(batch, device)
    target, mask = targets(batch, device)
    if not model.many_to_many and target.shape[1] > 1:
        # The inputs are of the whole window's truth (`ordinal3`), and the output of one frame.
        centre = slice(-1, None) if causal(model) else slice(target.shape[1] // 2, target.shape[1] // 2 + 1)
        target, mask = target[:, centre], mask[:, centre]
    if model.many_to_many:
        frames = torch.as_tensor(batch["valid"] & batch["inside"], device=device)
        mask = mask & frames[..., None]
    return Examples(given, target, mask)


def flip_some(batch: Examples, inputs: Inputs, which: Tensor) -> Examples:
    """Mirror the windows chosen, (B,) bool. The given inputs are changed in place."""
    some = which[:, None, None, None]
    # The inputs are by far the largest: no work is done on those that stay as they are.
    chosen = which.nonzero().flatten()
    return Examples(
        batch.inputs.index_copy_(0, chosen, inputs.flip(batch.inputs.index_select(0, chosen))),
        torch.where(some, flip_pose(batch.target), batch.target),
        torch.where(some[..., 0], swap_sides(batch.mask, -1), batch.mask),
    )


def predict(model: nn.Module, given: Tensor, inputs: Inputs, flip: bool) -> Tensor:
    """Predict (B, T_out, J, 3) float32, m; with `flip` averaged with the mirrored prediction of the mirror image."""
    pose = model(given).float()
    if flip:
        pose = (pose + flip_pose(model(inputs.flip(given)).float())) / 2
    return pose
