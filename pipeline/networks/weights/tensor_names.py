"""Rename a file's tensors to the names of the architecture at hand: libraries rename, files do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

# Each row is one thing under all the names it has had. Files keep the names of the version that saved them, the
# installed version knows its own: no version number is looked at, so either may be the older one.
_SPELLINGS: tuple[tuple[str, ...], ...] = (
    # DINOv2's attention: transformers before 5, and since. Hugging Face's Depth Anything files have the first.
    (".attention.attention.query.", ".attention.q_proj."),
    (".attention.attention.key.", ".attention.k_proj."),
    (".attention.attention.value.", ".attention.v_proj."),
    (".attention.output.dense.", ".attention.o_proj."),
)

# What an architecture may have and a file may lack, or the other way round, as no inference reads it: DINOv2's token
# for masked patches serves its training.
_TRAINING_ONLY: tuple[str, ...] = ("embeddings.mask_token",)


def match_names(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename every tensor of `state` that `own` does not know to the name that it knows; the rest stays.

    own  the architecture's own state; its values stand in for training's tensors that the file lacks
    A name that is in the file already is never written over: such a file holds two different things, and is refused
    where it is fitted.
    """
    renamed = {key: _known_as(key, own, state) for key in state if key not in own}
    matched = {renamed.get(key, key): value for key, value in state.items()}
    for key in [key for key in matched if key not in own and key.endswith(_TRAINING_ONLY)]:
        del matched[key]
    return {key: value for key, value in own.items() if key.endswith(_TRAINING_ONLY)} | matched


def _known_as(key: str, own: Mapping[str, Tensor], taken: Mapping[str, Tensor]) -> str:
    for spelling, others in ((each, row) for row in _SPELLINGS for each in row if each in key):
        for other in others:
            candidate = key.replace(spelling, other)
            if candidate in own and candidate not in taken:
                return candidate
    return key


def constants(model: nn.Module, keys: Iterable[str]) -> dict[str, Tensor]:
    """Return those of `keys` that `model` computes from its configuration and no longer stores, with its values.

    OpenMMLab's files from before September 2022 hold the colour statistics, `data_preprocessor.mean` and `.std`.
    """
    stored = model.state_dict().keys()
    buffers = dict(model.named_buffers())
    return {key: buffers[key] for key in keys if key in buffers and key not in stored}
