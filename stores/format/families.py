"""Families of further fields: where they lie in a store, and what a store calls their fields (`uadd/paper@base`)."""

from __future__ import annotations

import re

from ..errors import InvalidValueError

FAMILIES = "families"
AT = "@"
# Small letters: no two names are one folder on a file system that takes `Base` and `base` for the same.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
# Where fields are named, these words after an @ mean something else: `--inputs uadd@root`.
TAKEN = ("root", "nearest", "scaled", "joints", "dscale", "features", "centred", "standard", "paper")


def require_family_name(name: str) -> str:
    """The name itself; InvalidValueError where no family can be called that."""
    if _NAME.fullmatch(name) is None:
        raise InvalidValueError(
            f"'{name}' is no name for new fields: take small letters, digits, '-' and '_', at most 64, as in 'base'"
        )
    if name in TAKEN:
        raise InvalidValueError(f"new fields cannot be called '{name}': --inputs has an option @{name}")
    return name


def is_family_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name not in TAKEN


def folder_of(family: str) -> str:
    """`base` to `families/base`, relative to the store."""
    return f"{FAMILIES}/{family}"


def field_of(name: str, family: str) -> str:
    """What a store calls a family's field: `uadd/paper` of `base` is `uadd/paper@base`."""
    return f"{name}{AT}{family}"


def split_field(name: str) -> tuple[str, str]:
    """`uadd/paper@base` to (`uadd/paper`, `base`); a field of the store itself has the family ``."""
    plain, _, family = name.partition(AT)
    return plain, family


def array_path(name: str) -> str:
    """Where the array of a field lies in its store: `families/base/uadd/paper` of `uadd/paper@base`."""
    plain, family = split_field(name)
    return f"{folder_of(family)}/{plain}" if family else plain
