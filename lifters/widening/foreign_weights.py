"""Read weights of other code without running code in them, and rename them."""

from __future__ import annotations

import difflib
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...stores.errors import CorruptStoreError, InvalidValueError, MissingExtraError, MissingFileError

State = Mapping[str, Tensor]

_REFUSED = re.compile(r"Unsupported global: GLOBAL (\S+) was not an allowed global")


class _LeftOut:
    """Stands for every class that is not of weights (an error as a NumPy number, arguments, a random state): inert."""

    def __init__(self, *arguments: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_weights(path: Path) -> dict[str, State]:
    """Read the state dicts of a file, by the key of each; "" for a file that is one itself.

    Raises CorruptStoreError where reading would run code, and InvalidValueError where there is none. `.safetensors` is
    read, too, where safetensors is installed.
    """
    content = _content(path)
    found = {"": content, **content} if isinstance(content, Mapping) else {}
    states = {key: state for key, value in found.items() if (state := _state_dict(value))}
    if not states:
        raise InvalidValueError(
            f"{path} holds no weights by name: save them with torch.save(model.state_dict(), 'weights.pth')"
        )
    return states


def renamed(state: State, renames: Iterable[str]) -> State:
    """Change names, one OLD=NEW after the other, where OLD begins a name or a part of it after a dot.

    `module.=` removes what DataParallel puts before every name. InvalidValueError for a rename that changes nothing,
    and where two names become one.
    """
    for text in renames:
        old, equals, new = text.partition("=")
        if not equals or not old:
            raise InvalidValueError(f"--rename {text}: write OLD=NEW, such as module.= or attn.=attention.")
        place = re.compile(rf"(?:^|(?<=\.)){re.escape(old)}")
        names = {name: place.sub(lambda _, new=new: new, name) for name in state}
        if all(name == after for name, after in names.items()):
            near = difflib.get_close_matches(old, {part for name in names for part in _parts(name)}, 3, 0.5)
            raise InvalidValueError(
                f"--rename {text}: neither a name nor a part of one after a dot begins with '{old}'; "
                f"{'near are ' + ', '.join(near) if near else 'a name is ' + next(iter(names), 'none')}"
            )
        after = {names[name]: value for name, value in state.items()}
        if len(after) < len(state):
            twice = next(name for name in after if list(names.values()).count(name) > 1)
            raise InvalidValueError(f"--rename {text}: two tensors would be called '{twice}'; write more of OLD")
        state = after
    return state


def chosen(states: Mapping[str, State], renames: Iterable[str], own: State) -> State:
    """Choose the state dict, renamed, that has most names of this model."""
    renames, first = list(renames), None
    ready: list[State] = []
    for state in states.values():
        try:
            ready.append(renamed(state, renames))
        except InvalidValueError as error:
            first = first or error
    if not ready and first is not None:
        raise first
    return max(ready, key=lambda state: len(own.keys() & state.keys()))


def _content(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(str(path))
        return _tensors_alone(path)
    except ImportError as error:
        raise MissingExtraError(f"{path} needs safetensors: pip install safetensors") from error
    except OSError as error:
        raise MissingFileError(f"{path} cannot be read ({error.strerror or error}); give a file of weights") from error
    except Exception as error:
        reason = str(error).rpartition("WeightsUnpickler error: ")[2].strip().splitlines() or [type(error).__name__]
        raise CorruptStoreError(
            f"{path} cannot be read as weights ({reason[0].partition('. ')[0][:120]}), and code in it is not run; in "
            "the code that it is of, save the weights alone: torch.save(model.state_dict(), 'weights.pth')"
        ) from error


def _tensors_alone(path: Path) -> Any:
    """A checkpoint as `weights_only` reads it, where what is neither tensor nor plain data is left out.

    Most trainers put more than weights into it, which `weights_only` refuses. None of those classes and functions is
    looked up: the inert one above stands for each. Functions of Python itself and of the system stay refused.
    """
    left_out: list[Any] = []
    while True:
        try:
            with torch.serialization.safe_globals(left_out):
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            name = _REFUSED.search(str(error))
            if name is None or "." not in name[1] or (_LeftOut, name[1]) in left_out:
                raise
            left_out.append((_LeftOut, name[1]))


def _state_dict(value: Any) -> State:
    """Tensors by name; empty where it is anything else."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return {}
    values = {key: tensor for key, tensor in value.items() if not key.endswith("_extra_state")}
    return values if all(isinstance(tensor, Tensor) for tensor in values.values()) else {}


def _parts(name: str) -> Iterator[str]:
    """Beginnings of a name and of its parts, up to a dot: what OLD could have been."""
    pieces = name.split(".")
    yield from (f"{piece}." for piece in pieces[:-1])
    yield ".".join(pieces[:2])
